"""Anna's server in a container of the base image, or of one made from it, on the host's network."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import docker
import jwt

from quaderno.config import Config
from quaderno.hub import server
from quaderno.hub.options import ServerOptions
from tests.contract import hub_api
from tests.contract.hub_api import SERVERS_TOKEN, Asked, HubApi
from tests.contract.storage_fixtures import Issuer, eventually
from tests.serving import serving

ISSUER = "https://iam.example.org"  # `oidc-token` takes an issuer for one only with https


class Hub(HubApi):
    """The hub's API as far as Anna's server asks it, with keys of the real store.

    `refusal` makes it refuse whatever is asked for; `life`, in seconds, is how long it says that
    keys last, which is less than they do; and as many as `spoiled` says are keys that the store
    refuses.
    """

    def __init__(self, config: Config, issuer: Issuer) -> None:
        super().__init__("127.0.0.1", config.ports.hub)
        self.issuer = issuer
        self.queries: list[dict[str, list[str]]] = []
        self.keys_given = 0
        self.heal()

    def heal(self) -> None:
        """Answer as a hub does that is well."""
        self.refusal: tuple[int, str] | None = None
        self.life: float | None = None
        self.spoiled = 0

    def answer(self, asked: Asked) -> tuple[int, Any]:
        what = asked.path.removeprefix("/quaderno/users/anna/")
        if what not in ("access-token", "s3-keys"):
            return super().answer(asked)
        if asked.token != SERVERS_TOKEN:
            return 403, {"message": f"These are not your {what}."}
        if what == "access-token":
            self.queries.append(parse_qs(asked.query))
        if self.refusal:
            return self.refusal[0], {"message": self.refusal[1]}
        return 200, self._access_token() if what == "access-token" else self._keys()

    def _access_token(self) -> dict[str, Any]:
        token = self.issuer.token("anna", jti=str(len(self.queries)))
        expires_at = jwt.decode(token, options={"verify_signature": False})["exp"]
        scope = "openid profile"
        return {"access_token": token, "issuer": ISSUER, "expires_at": expires_at, "scope": scope}

    def _keys(self) -> dict[str, str]:
        self.keys_given += 1
        keys = self.issuer.keys("anna").container_credentials()
        if self.life is not None:
            ends = datetime.now(UTC) + timedelta(seconds=self.life)
            keys["Expiration"] = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
        if self.spoiled:
            self.spoiled -= 1
            keys["Token"] = keys["Token"][:-8] + "spoiled."
        return keys


class Server:
    """Anna's server, and what she runs in it."""

    def __init__(self, container: Any, hub: Hub) -> None:
        self.container, self.hub = container, hub

    def run(self, command: str) -> tuple[int, str]:
        """Exit status and output of a terminal's command; JupyterLab's are login shells."""
        done = self.container.exec_run(["bash", "-lc", command], workdir="/workarea")
        return done.exit_code, done.output.decode()

    def printed(self, command: str) -> str:
        """The output of what must succeed."""
        status, output = self.run(command)
        assert status == 0, output
        return output.strip()

    def logged(self) -> str:
        """What the server has said."""
        return str(self.container.logs().decode())


@contextmanager
def running_server(config: Config, issuer: Issuer, image: str) -> Iterator[Server]:
    """The image's own command, in the environment that the hub gives; listens before it is given.

    The container is on the host's network: what else would be its own loopback is this machine's,
    so that the ports are those that nothing else of `config` uses in the test.
    """
    options = ServerOptions("", 1, 2**30)
    engine = docker.from_env()
    with ExitStack() as stack:
        stack.callback(engine.close)
        hub = stack.enter_context(serving(Hub(config, issuer)))
        container = engine.containers.create(
            image,
            environment={**server.environment(config, options), **_environment(config, hub)},
            network_mode="host",
            user=server.USER,
            mem_limit=2**30,
            **server.host_config(config, options),
        )
        stack.callback(container.remove, force=True, v=True)
        container.start()
        anna = Server(container, hub)
        ready = "test -S $OIDC_SOCK && test -s $AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
        eventually(lambda: anna.run(ready)[0] == 0, 120, "the server listens")
        yield anna


def _environment(config: Config, hub: Hub) -> dict[str, str]:
    """What the hub gives besides, and addresses as they are on the host's network."""
    return {
        "AWS_ENDPOINT_URL_S3": config.store_endpoint,
        "AWS_ENDPOINT_URL_STS": config.store_endpoint,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{config.ports.servers_s3}/s3-keys",
        **hub_api.environment(hub.url, f"http://127.0.0.1:{config.ports.web}"),
    }
