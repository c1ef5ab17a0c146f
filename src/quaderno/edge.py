"""The edge: Traefik's configuration for one machine.

The static part (`traefik.yaml`) holds the ports. Of the dynamic part (`config.routes`), the hub
writes `hub.yaml`, the routes of the hub and of people's servers, and we write `quaderno.yaml`: the
identity provider, the object store, what people's servers may reach, and Traefik's own API for the
hub. The directory belongs to the edge's group, of which the hub is a member, and is sticky, so the
hub cannot replace our file. Its set-group-ID bit gives `hub.yaml` to that group, for which the hub
must make it readable (0640).

Access is not logged here: login callbacks carry codes in their URLs, and the hub logs requests
without them.
"""

from typing import Any
from urllib.parse import urlsplit

import bcrypt
import yaml

from quaderno import traefik
from quaderno.config import Config
from quaderno.files import BASE as FILES
from quaderno.hub import AWAY, PATIENCE

NAME = "edge"
API_USER = "hub"
# A request for a component that is being restarted waits for it, some 14 seconds in all.
_TRIES = {"attempts": 20, "initialInterval": "500ms"}
ALIVE = "/health/edge"
PUBLIC = ("web", "iam", "s3")
_ROUTES = "quaderno.yaml"
_BEFORE_THE_HUBS = 10**6  # the priority of its routes is the length of their rules
# A store that hangs takes connections and says nothing, which some S3 clients bear for minutes. It
# is asked whether it lives, and gets no new connections meanwhile. No limit on how long an answer
# takes: the end of an upload in parts may take minutes.
_STORE_LIVES = {
    "send": "GET /healthz HTTP/1.1\r\nHost: store\r\nConnection: close\r\n\r\n",
    "expect": "HTTP/1.",  # whatever it answers, clients may hear
    "interval": "1s",
    "timeout": "4s",
}
_YEAR = 365 * 24 * 3600


def prepare(config: Config, user: int, group: int) -> None:
    """Write Traefik's configuration; `user` and `group` are the edge's numbers.

    Run again while Traefik runs, it puts changed routes and renewed certificates into force.
    """
    home = config.dir / NAME
    traefik.directory(home, 0, group, 0o751)
    traefik.directory(config.routes, 0, group, 0o3770)
    traefik.directory(home / "acme", user, group, 0o700)
    traefik.copy_certificates(config, home, user, group)
    traefik.write(home, home / "traefik.yaml", static(config), group)
    traefik.write(home, config.routes / _ROUTES, dynamic(config, _api_user(config)), group)


def command(config: Config) -> list[str]:
    """Traefik with the configuration that `prepare` wrote."""
    return traefik.command(config.dir / NAME)


def certificates_renewed(config: Config) -> bool:
    """Whether the operator's certificate or key is not what Traefik has; raises OSError."""
    return traefik.certificates_renewed(config, config.dir / NAME)


def health_url(config: Config) -> str:
    """Answers 200 while Traefik serves."""
    return f"http://127.0.0.1:{config.ports.edge_api}/ping"


def needs_low_ports(config: Config) -> bool:
    """Whether a public port is one that only privileged processes may listen on."""
    return min(config.ports.web, config.ports.iam, config.ports.s3) < 1024


# --- static configuration


def static(config: Config) -> dict[str, Any]:
    """Traefik's static configuration: where it listens and where its routes are."""
    result = traefik.static(config.routes, _entry_points(config))
    result["api"] = {"dashboard": False}
    result["ping"] = {"manualRouting": True}
    if config.tls.mode == "acme":
        result["certificatesResolvers"] = {"acme": {"acme": _acme(config)}}
    return result


def _entry_points(config: Config) -> dict[str, Any]:
    ports, gateway = config.ports, config.servers.gateway
    public = {name: traefik.entry_point(config.listen, getattr(ports, name)) for name in PUBLIC}
    for name in ("web", "iam"):
        public[name]["http"] |= _public_http(config)
    return public | {
        "servers-hub": traefik.entry_point(gateway, ports.servers_hub),
        "servers-s3": traefik.entry_point(gateway, ports.servers_s3),
        "api": traefik.entry_point("127.0.0.1", ports.edge_api),
    }


def _public_http(config: Config) -> dict[str, Any]:
    result: dict[str, Any] = {"middlewares": ["public@file"]}
    if config.tls.mode != "none":
        result["tls"] = _tls(config)
    return result


def _tls(config: Config) -> dict[str, Any]:
    if config.tls.mode == "files":
        return {}
    return {"certResolver": "acme", "domains": [{"main": _host(config.public_url)}]}


def _acme(config: Config) -> dict[str, Any]:
    result: dict[str, Any] = {
        "email": config.tls.email,
        "storage": str(config.dir / "edge" / "acme" / "acme.json"),
        "tlsChallenge": {},
    }
    if config.tls.acme_directory:
        result["caServer"] = config.tls.acme_directory
    return result


# --- dynamic configuration


def dynamic(config: Config, api_user: str) -> dict[str, Any]:
    """The routes that do not change while people work; `api_user` is a line of htpasswd(5)."""
    result: dict[str, Any] = {
        "http": {
            "routers": _http_routers(config),
            "services": {
                "hub-api": _http_service(config.ports.hub),
                AWAY: _http_service(config.ports.files),
            },
            "middlewares": {
                "public": {"headers": _public_headers(config)},
                PATIENCE: {"retry": _TRIES},
                # In the words of the one component that is everywhere and needs no other for it.
                AWAY: {"errors": {"status": ["502"], "service": AWAY, "query": f"{FILES}away"}},
                "api-user": {"basicAuth": {"users": [api_user], "removeHeader": True}},
                "health": {"replacePath": {"path": "/hub/quaderno/health"}},
            },
        },
    }
    if config.iam.embedded:
        result["http"]["services"]["iam"] = _http_service(config.ports.iam_app)
    if config.store.embedded:
        result["tcp"] = _store(config)
    if config.tls.mode != "none":
        result["tls"] = _tls_files(config)
    return result


def _http_routers(config: Config) -> dict[str, Any]:
    routers: dict[str, Any] = {
        "api": {
            "entryPoints": ["api"],
            "rule": "PathPrefix(`/api`)",
            "service": "api@internal",
            "middlewares": ["api-user"],
        },
        "hub-api": {
            "entryPoints": ["servers-hub"],
            "rule": "Path(`/hub/api`) || PathPrefix(`/hub/api/`)",
            "service": "hub-api",
            "middlewares": [PATIENCE],
        },
        "ping": {"entryPoints": ["api"], "rule": "Path(`/ping`)", "service": "ping@internal"},
        # People's servers are reached through us, also while the hub is not there.
        "alive": {
            "entryPoints": ["web"],
            "rule": f"Path(`{ALIVE}`)",
            "service": "ping@internal",
            "priority": _BEFORE_THE_HUBS,
        },
        "health": {
            "entryPoints": ["web"],
            "rule": "Path(`/health`)",
            "service": "hub-api",
            "middlewares": [PATIENCE, "health"],
            "priority": _BEFORE_THE_HUBS,
        },
    }
    if config.iam.embedded:
        routers["iam"] = {
            "entryPoints": ["iam"],
            "rule": "PathPrefix(`/`)",
            "service": "iam",
            "middlewares": [AWAY, PATIENCE],
        }
    return routers


def _http_service(port: int) -> dict[str, Any]:
    return {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{port}"}]}}


def _public_headers(config: Config) -> dict[str, Any]:
    """What visitors used is known from `public_url`, also behind another proxy that ends TLS."""
    scheme = urlsplit(config.public_url).scheme
    headers: dict[str, Any] = {"customRequestHeaders": {"X-Forwarded-Proto": scheme}}
    if scheme == "https":
        headers |= {"stsSeconds": _YEAR, "forceSTSHeader": True}
    return headers


def _store(config: Config) -> dict[str, Any]:
    """S3 as plain TCP: signatures cover what an HTTP proxy might change.

    Each router has a service of its own: of one that several have, Traefik gives just one the
    results of its looks.
    """
    rule = "HostSNI(`*`)"
    routers: dict[str, Any] = {
        name: {"rule": rule, "service": name, "entryPoints": [name]}
        for name in ("s3", "servers-s3")
    }
    if config.tls.mode != "none":
        routers["s3"]["tls"] = {**_tls(config), "options": "s3"}
    services = {name: {"loadBalancer": _store_balancer(config)} for name in routers}
    return {"routers": routers, "services": services}


def _store_balancer(config: Config) -> dict[str, Any]:
    return {
        "servers": [{"address": f"127.0.0.1:{config.ports.store_s3}"}],
        "healthCheck": {**_STORE_LIVES},
    }


def _tls_files(config: Config) -> dict[str, Any]:
    """HTTP/1.1 alone for S3: behind the TCP router nothing would understand HTTP/2."""
    result: dict[str, Any] = {"options": {"s3": {"alpnProtocols": ["http/1.1"]}}}
    if config.tls.mode == "files":
        result["stores"] = traefik.certificate_store(config.dir / NAME)
    return result


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


# --- files


def _api_user(config: Config) -> str:
    """The line of the last start while it still fits, so that a restart changes no file."""
    password = config.edge.api_password.get_secret_value().encode()
    try:
        written = yaml.safe_load((config.routes / _ROUTES).read_text(encoding="utf-8"))
        line: str = written["http"]["middlewares"]["api-user"]["basicAuth"]["users"][0]
        if bcrypt.checkpw(password, line.partition(":")[2].encode()):
            return line
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
        pass  # none yet, or not ours: written anew
    # The password is random and long; a higher cost would only slow each request of the hub.
    return f"{API_USER}:{bcrypt.hashpw(password, bcrypt.gensalt(rounds=4)).decode()}"
