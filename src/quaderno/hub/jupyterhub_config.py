"""JupyterHub's configuration: settings in, `c` out. The same file on one machine and on
Kubernetes; it decides nothing."""

import logging
import os
import sys
from pathlib import Path
from typing import Any

from quaderno import config as quaderno_config
from quaderno.hub import (
    TEMPLATES,
    culling,
    database,
    file_pages,
    options,
    own_images,
    running_servers,
    scoped,
    tokens,
)
from quaderno.hub.authenticator import QuadernoAuthenticator, good_for
from quaderno.hub.failures import WithoutTraces
from quaderno.hub.login_state import keep_newest_tokens
from quaderno.hub.proxy import EdgeProxy
from quaderno.hub.spawner_docker import QuadernoDockerSpawner

c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821 - given by JupyterHub
config = quaderno_config.load_file(Path(os.environ["QUADERNO_CONFIG"]))
logging.getLogger("JupyterHub").addFilter(WithoutTraces())
https = config.public_url.startswith("https://")

# --- where it listens, and where it keeps what it knows
c.JupyterHub.bind_url = config.public_url
c.JupyterHub.public_url = config.public_url
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{config.ports.hub}"
c.JupyterHub.db_url = database.url(config)
c.JupyterHub.cookie_secret = bytes.fromhex(config.hub.cookie_secret.get_secret_value())
c.CryptKeeper.keys = [bytes.fromhex(config.hub.crypt_key.get_secret_value())]
c.JupyterHub.trusted_downstream_ips = ["127.0.0.1"]

# --- a restart of the hub touches nothing that runs
c.JupyterHub.cleanup_servers = False
c.JupyterHub.cleanup_proxy = False
# Seconds for looks at all servers before it answers; what takes longer goes on meanwhile.
c.JupyterHub.init_spawners_timeout = 3

# --- edge: Traefik is there already, the hub adds its routes
c.JupyterHub.proxy_class = EdgeProxy
c.EdgeProxy.should_start = False
c.EdgeProxy.enable_setup_dynamic_config = False
c.EdgeProxy.dynamic_config_file = str(config.routes / "hub.yaml")
c.EdgeProxy.traefik_api_url = f"http://127.0.0.1:{config.ports.edge_api}"
c.EdgeProxy.traefik_api_username = "hub"
c.EdgeProxy.traefik_api_password = config.edge.api_password.get_secret_value()
c.EdgeProxy.traefik_entrypoint = "web"

# --- login
c.JupyterHub.authenticator_class = QuadernoAuthenticator
c.QuadernoAuthenticator.quaderno = config
c.QuadernoAuthenticator.auto_login = True
c.QuadernoAuthenticator.client_id = config.oidc.client_id
c.QuadernoAuthenticator.client_secret = config.oidc.client_secret.get_secret_value()
c.QuadernoAuthenticator.oauth_callback_url = f"{config.public_url}/hub/oauth_callback"
c.QuadernoAuthenticator.scope = config.oidc.scopes
c.QuadernoAuthenticator.username_claim = config.oidc.username_claim
c.QuadernoAuthenticator.basic_auth = True
c.QuadernoAuthenticator.http_request_kwargs = {"connect_timeout": 5, "request_timeout": 20}
c.QuadernoAuthenticator.enable_auth_state = True
c.QuadernoAuthenticator.reconcile_auth_state_hook = keep_newest_tokens
c.QuadernoAuthenticator.manage_groups = True
c.QuadernoAuthenticator.allow_all = not (config.oidc.allowed_groups or config.oidc.allowed_subjects)
c.QuadernoAuthenticator.any_allow_config = True
c.QuadernoAuthenticator.allowed_groups = set(config.oidc.allowed_groups)
c.QuadernoAuthenticator.admin_groups = set(config.oidc.admin_groups)
c.QuadernoAuthenticator.auth_refresh_age = config.oidc.recheck - good_for(config.oidc)
# A token is worth no more than its person, whose removal ends it, too.
c.QuadernoAuthenticator.auth_refresh_strict = True
c.QuadernoAuthenticator.custom_403_message = "You are in no group that is admitted."

# --- servers
c.JupyterHub.allow_named_servers = config.servers.named_limit > 0
c.JupyterHub.named_server_limit_per_user = config.servers.named_limit
c.JupyterHub.spawner_class = QuadernoDockerSpawner
c.QuadernoDockerSpawner.quaderno = config
c.QuadernoDockerSpawner.remove = True
c.QuadernoDockerSpawner.use_internal_ip = True
c.QuadernoDockerSpawner.hub_connect_url = (
    f"http://{config.servers.gateway}:{config.ports.servers_hub}"
)
c.QuadernoDockerSpawner.options_form = "spawn.html asks the spawner for its offer"
c.QuadernoDockerSpawner.options_from_form = options.from_form
# `start` reads and checks the options; JupyterHub must not warn that nobody does.
c.QuadernoDockerSpawner.apply_user_options = lambda _spawner, _options: None
# The last resort, in seconds: each step has limits of its own, and a pull that moves has none.
c.QuadernoDockerSpawner.start_timeout = 24 * 3600
c.QuadernoDockerSpawner.http_timeout = config.servers.http_timeout
c.QuadernoDockerSpawner.poll_interval = 10
# One user's broken image must not take the hub down.
c.Spawner.consecutive_failure_limit = 0

# --- who may do what
c.JupyterHub.custom_scopes = scoped.SCOPE_DEFINITIONS
c.JupyterHub.services = [
    {"name": "agent", "api_token": config.agent.hub_token.get_secret_value(), "display": False},
    file_pages.service(config),
    *culling.services(config),
    *own_images.services(config, os.environ),
    *running_servers.services(),
    *tokens.declared_services(config),
]
c.JupyterHub.load_roles = [
    {"name": "user", "scopes": ["self", *scoped.OWN, file_pages.ACCESS]},
    {"name": "server", "scopes": ["users:activity!user", "access:servers!server", *scoped.OWN]},
    {"name": "agent", "services": ["agent"], "scopes": [scoped.S3_KEYS_SCOPE]},
    *culling.roles(config),
    *running_servers.roles(),
    *tokens.declared_roles(config),
]

# --- pages
c.JupyterHub.template_paths = [str(TEMPLATES)]
c.JupyterHub.template_vars = {
    "viewer": lambda user: user,  # who looks at the page; `user` may be whose server it is of
    "service_name": config.name,
    "contact": config.contact,
    "site_name": config.sites.name,
    "iam_account_url": config.iam_url if config.iam.embedded else None,
    "files_url": file_pages.ADDRESS,
    "s3_endpoint": config.store_public_endpoint,
}
c.JupyterHub.cookie_host_prefix_enabled = https
c.JupyterHub.tornado_settings = {
    "cookie_options": {"SameSite": "Lax", "Secure": https},
    "headers": {
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    },
    "slow_spawn_timeout": 3,
}
c.JupyterHub.shutdown_on_logout = False

# --- the operator's last word
override = config.dir / "jupyterhub_config.d"
for path in sorted(override.glob("*.py")) if override.is_dir() else []:
    print(f"Loading {path}", file=sys.stderr)  # noqa: T201 - the logger does not exist yet
    load_subconfig(str(path))  # type: ignore[name-defined]  # noqa: F821
