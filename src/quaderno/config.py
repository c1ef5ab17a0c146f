"""Every setting of Quaderno: its type, default, help, and which components may read it.

`quaderno.yaml` holds what an operator chose; `Config` is the whole. Unknown keys are refused, so
a typo is an error and never a silently ignored wish. Secrets are marked with the components that
need them: `for_component` gives each component a copy without the others' secrets, and this copy
is the only configuration an unprivileged process ever sees.
"""

import base64
import ipaddress
import os

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from quaderno import __version__
from quaderno.errors import ConfigError
from quaderno.quantities import format_memory, parse_memory

CONFIG_FILE = "quaderno.yaml"


class NeededBy:
    """Marks a secret with the components that need it."""

    def __init__(self, *components: str) -> None:
        self.components = frozenset(components)


Memory = Annotated[
    int,
    BeforeValidator(parse_memory),
    PlainSerializer(format_memory, return_type=str),
    Field(json_schema_extra={"type": "string"}),
]
Port = Annotated[int, Field(ge=1, le=65535)]
Secret = Annotated[
    SecretStr,
    PlainSerializer(lambda value: value.get_secret_value(), return_type=str),
]


class Section(BaseModel):
    """A group of settings; unknown keys are errors, values are not changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Tls(Section):
    """How the public ports are encrypted."""

    mode: Literal["none", "files", "acme"] = Field(
        "none",
        description="`none` serves plain HTTP (for this machine, or behind another proxy), "
        "`files` uses your certificate, `acme` obtains one.",
    )
    certificate: Path | None = Field(
        None, description="PEM file with the certificate chain; with `mode: files`."
    )
    key: Path | None = Field(
        None, description="PEM file with the private key; with `mode: files`."
    )
    email: str | None = Field(None, description="Contact address of the ACME account.")
    acme_directory: str | None = Field(
        None, description="URL of the ACME directory; Let's Encrypt when unset."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.mode == "files" and not (self.certificate and self.key):
            raise ValueError("mode `files` needs `certificate` and `key`")
        if self.mode == "acme" and not self.email:
            raise ValueError("mode `acme` needs `email`")
        return self


class Ports(Section):
    """TCP ports. The first three are public; the others listen where only this machine reaches."""

    web: Port = Field(8000, description="Public: the hub, people's servers and its services.")
    iam: Port = Field(8001, description="Public: the embedded identity provider.")
    s3: Port = Field(8002, description="Public: the embedded object store's S3 API.")
    edge_api: Port = Field(8003, description="Loopback: Traefik's API, asked by the hub.")
    hub: Port = Field(8004, description="Loopback: JupyterHub.")
    iam_app: Port = Field(8005, description="Loopback: the identity provider's application.")
    store_s3: Port = Field(8006, description="Loopback: SeaweedFS S3.")
    store_master: Port = Field(8007, description="Loopback: SeaweedFS master.")
    store_volume: Port = Field(8008, description="Loopback: SeaweedFS volume server.")
    store_filer: Port = Field(8009, description="Loopback: SeaweedFS filer.")
    store_s3_grpc: Port = Field(8010, description="Loopback: SeaweedFS S3, gRPC.")
    store_master_grpc: Port = Field(8011, description="Loopback: SeaweedFS master, gRPC.")
    store_volume_grpc: Port = Field(8012, description="Loopback: SeaweedFS volume server, gRPC.")
    store_filer_grpc: Port = Field(8013, description="Loopback: SeaweedFS filer, gRPC.")
    agent_keys: Port = Field(8014, description="Loopback: S3 keys for the node agent's mounts.")
    servers_hub: Port = Field(
        8015, description="Container gateway: the hub's API, for people's servers."
    )
    servers_s3: Port = Field(
        8016, description="Container gateway: the S3 API, for people's servers."
    )

    @classmethod
    def from_first(cls, first: int) -> "Ports":
        """Consecutive ports from `first`, in the order of declaration."""
        return cls(**{name: first + i for i, name in enumerate(cls.model_fields)})

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        seen: dict[int, str] = {}
        for name, port in self:
            if port in seen:
                raise ValueError(f"`{name}` and `{seen[port]}` are both {port}")
            seen[port] = name
        return self


class Edge(Section):
    """Traefik, in front of everything."""

    api_password: Annotated[Secret, NeededBy("edge", "hub")] = Field(
        description="Password of Traefik's API, by which the hub sees that a route is in force."
    )


class Hub(Section):
    """JupyterHub."""

    cookie_secret: Annotated[Secret, NeededBy("hub")] = Field(
        description="32 bytes in hexadecimal that sign login cookies; changing it logs everyone out."
    )
    crypt_key: Annotated[Secret, NeededBy("hub")] = Field(
        description="32 bytes in hexadecimal that encrypt people's tokens in the hub's database."
    )
    database: str | None = Field(
        None, description="SQLAlchemy URL of the hub's database; SQLite in `hub/` when unset."
    )


class Oidc(Section):
    """The identity provider people log in with, and the hub's registration there."""

    issuer: str | None = Field(
        None, description="Issuer URL; when unset, the embedded identity provider's."
    )
    client_id: str = Field("quaderno", description="The hub's client identifier.")
    client_secret: Annotated[Secret, NeededBy("hub", "iam")] = Field(
        description="The hub's client secret."
    )
    scopes: list[str] = Field(
        ["openid", "profile", "email", "groups", "offline_access"],
        description="Scopes that the hub asks for.",
    )
    username_claim: str = Field(
        "preferred_username", description="Claim that names the user; also the personal bucket."
    )
    groups_claim: str = Field("groups", description="Claim that lists the user's groups.")
    allowed_groups: list[str] = Field(
        [], description="Groups whose members may log in; empty admits every registered person."
    )
    admin_groups: list[str] = Field(
        ["/quaderno/admins"], description="Groups whose members administer the hub."
    )


class Iam(Section):
    """The embedded identity provider."""

    embedded: bool = Field(True, description="Run the embedded identity provider.")
    public_url: str | None = Field(
        None,
        description="URL at which browsers reach it, of an origin of its own, so that no page of "
        "a notebook server can act on accounts. When unset: the host of the service's "
        "`public_url` at port `ports.iam`.",
    )
    secret_key: Annotated[Secret, NeededBy("iam")] = Field(
        description="Signs the identity provider's sessions."
    )
    signing_key: Annotated[Secret, NeededBy("iam")] = Field(
        description="RSA private key (PEM) that signs its tokens."
    )


class Store(Section):
    """The S3 object store with STS behind `cloud_storage`."""

    embedded: bool = Field(True, description="Run the embedded object store.")
    endpoint: str | None = Field(
        None, description="S3 URL of an external store; with `embedded: false`."
    )
    sts_endpoint: str | None = Field(
        None, description="STS URL of an external store; its S3 endpoint when unset."
    )
    region: str = Field("us-east-1", description="Region that clients sign requests for.")
    role_arn: str = Field(
        "arn:aws:iam::role/QuadernoUser",
        description="Role that people assume with their identity token. Its policy must confine "
        "each to the bucket of their own name and the scratch bucket.",
    )
    scratch_bucket: str = Field(
        "scratch", description="Bucket that all read, each writing below their own name."
    )
    key_lifetime: int = Field(
        3600, ge=900, le=43200, description="Life of the S3 keys handed out, in seconds."
    )
    sts_signing_key: Annotated[Secret, NeededBy("store")] = Field(
        description="32 bytes in base64 that sign the embedded store's session tokens."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.embedded and not self.endpoint:
            raise ValueError("an external store (`embedded: false`) needs `endpoint`")
        return self


class Agent(Section):
    """The node agent, which owns this node's storage mounts."""

    hub_token: Annotated[Secret, NeededBy("agent", "hub")] = Field(
        description="Token with which the agent asks the hub for people's S3 keys, and for "
        "nothing else."
    )
    cache_size: Memory = Field(
        parse_memory("20G"), description="Disk cache of each user's mounts, in bytes."
    )
    write_back: float = Field(
        1.0, ge=0, le=60, description="Seconds from closing a file to its upload."
    )


class Image(Section):
    """A container image in the catalogue."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,39}$", description="Short name, for the form and the API."
    )
    display_name: str = Field(description="Name that people see.")
    description: str = Field("", description="One line about what is inside.")
    reference: str = Field(description="Image reference, as for `docker pull`.")


class CpuChoice(Section):
    """How many CPUs a server may have."""

    default: float = Field(1, gt=0, description="Chosen when nothing else is.")
    choices: list[float] = Field(
        [0.5, 1, 2, 4],
        min_length=1,
        description="Offered in the form; the API takes any value between the least and the most.",
    )

    @model_validator(mode="after")
    def _default_is_offered(self) -> Self:
        if self.default not in self.choices or min(self.choices) <= 0:
            raise ValueError("`choices` must be positive and include `default`")
        return self


class MemoryChoice(Section):
    """How much memory a server may have."""

    default: Memory = Field(parse_memory("2G"), description="Chosen when nothing else is.")
    choices: list[Memory] = Field(
        [parse_memory(amount) for amount in ("1G", "2G", "4G", "8G")],
        min_length=1,
        description="Offered in the form; the API takes any value between the least and the most.",
    )

    @model_validator(mode="after")
    def _default_is_offered(self) -> Self:
        if self.default not in self.choices or min(self.choices) <= 0:
            raise ValueError("`choices` must be positive and include `default`")
        return self


class Servers(Section):
    """People's servers."""

    images: list[Image] = Field(
        [
            Image(
                name="base",
                display_name="Quaderno base image",
                description="JupyterLab with scientific Python",
                reference=f"quaderno/base:{__version__}",
            )
        ],
        min_length=1,
        description="The catalogue; the first is the default.",
    )
    own_images: list[str] = Field(
        ["*"],
        description="Shell-style patterns of image references that people may bring themselves; "
        "an empty list allows the catalogue only.",
    )
    cpu: CpuChoice = Field(CpuChoice(), description="CPUs on offer.")
    memory: MemoryChoice = Field(MemoryChoice(), description="Memory on offer.")
    pids_limit: int = Field(4096, ge=64, description="Processes and threads a server may have.")
    network: str = Field(
        "10.213.0.0/20",
        description="IPv4 network of the servers' containers: each gets a /29 of its own.",
    )
    start_timeout: int = Field(
        600, ge=10, description="Seconds a server may take until its container runs."
    )
    http_timeout: int = Field(
        120, ge=5, description="Seconds a running container may take until JupyterLab answers."
    )

    @field_validator("network")
    @classmethod
    def _network(cls, value: str) -> str:
        network = ipaddress.IPv4Network(value)
        if not 16 <= network.prefixlen <= 27:
            raise ValueError("the network must be between a /16 and a /27")
        return value

    @field_validator("images")
    @classmethod
    def _distinct_images(cls, images: list[Image]) -> list[Image]:
        names = [image.name for image in images]
        if len(set(names)) < len(names):
            raise ValueError("two images have the same `name`")
        return images

    @property
    def gateway(self) -> str:
        """Address on this host where servers reach the hub's API and the store."""
        return str(next(ipaddress.IPv4Network(self.network).hosts()))


class Config(Section):
    """The settings of one Quaderno instance."""

    dir: Path = Field(description="State directory; that of the file when unset.")
    instance: str = Field(
        pattern=r"^q[a-z0-9]{3,11}$",
        description="Name of this instance; containers and networks start with it.",
    )
    name: str = Field("Quaderno", description="Name of the service, on every page.")
    contact: str = Field(
        "the operators of this service", description="Whom people are told to ask for help."
    )
    public_url: str = Field(
        "http://127.0.0.1:8000", description="URL at which browsers reach the service."
    )
    listen: str = Field(
        "127.0.0.1", description="Address of the public ports; `0.0.0.0` for all interfaces."
    )
    tls: Tls = Field(Tls(), description="Encryption of the public ports.")
    ports: Ports = Field(Ports(), description="TCP ports.")
    edge: Edge = Field(description="Traefik, in front of everything.")
    hub: Hub = Field(description="JupyterHub.")
    oidc: Oidc = Field(description="The identity provider people log in with.")
    iam: Iam = Field(description="The embedded identity provider.")
    store: Store = Field(description="The object store behind `cloud_storage`.")
    agent: Agent = Field(description="The node agent, which owns the storage mounts.")
    servers: Servers = Field(Servers(), description="People's servers.")

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise ValueError("expected http(s)://host[:port], without a path")
        return value.rstrip("/")

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        return str(ipaddress.ip_address(value))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tls.mode != "none" and not self.public_url.startswith("https://"):
            raise ValueError(f"tls.mode `{self.tls.mode}` needs an https:// `public_url`")
        if not self.iam.embedded and not self.oidc.issuer:
            raise ValueError("an external identity provider (`iam.embedded: false`) "
                             "needs `oidc.issuer`")
        return self

    # --- what components derive; nothing else asks whether iam or store is embedded

    @property
    def issuer(self) -> str:
        """The OpenID Connect issuer."""
        return self.oidc.issuer or self.iam_url

    @property
    def iam_url(self) -> str:
        """Where browsers reach the embedded identity provider, without a trailing slash."""
        return (self.iam.public_url or self._public_port(self.ports.iam)).rstrip("/")

    @property
    def store_endpoint(self) -> str:
        """S3 URL for the components on this host."""
        return self.store.endpoint or f"http://127.0.0.1:{self.ports.store_s3}"

    @property
    def sts_endpoint(self) -> str:
        """STS URL for the components on this host."""
        return self.store.sts_endpoint or self.store_endpoint

    @property
    def store_endpoint_for_servers(self) -> str:
        """S3 URL inside people's servers."""
        return self.store.endpoint or f"http://{self.servers.gateway}:{self.ports.servers_s3}"

    @property
    def store_public_endpoint(self) -> str:
        """S3 URL for people's own computers."""
        return self.store.endpoint or self._public_port(self.ports.s3)

    def _public_port(self, port: int) -> str:
        parts = urlsplit(self.public_url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}:{port}"

    # --- where things live

    @property
    def logs(self) -> Path:
        """Log files, one per component."""
        return self.dir / "logs"

    @property
    def agent_socket(self) -> Path:
        """The node agent's API."""
        return self.dir / "agent" / "api" / "agent.sock"

    @property
    def mounts(self) -> Path:
        """One directory a user, bound into their servers as `cloud_storage`."""
        return self.dir / "agent" / "mounts"

    @property
    def local(self) -> Path:
        """One directory a user, bound into their servers as `local`."""
        return self.dir / "local"

    @property
    def routes(self) -> Path:
        """Directory of Traefik's dynamic configuration."""
        return self.dir / "edge" / "routes"


def load(directory: Path) -> Config:
    """The configuration in `directory`/quaderno.yaml.

    Raises ConfigError, in one line that names the key, when it cannot be used.
    """
    return load_file(directory / CONFIG_FILE)


def load_file(path: Path) -> Config:
    """The configuration in the file `path`; `dir` defaults to the file's directory."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist", "Write one with: quaderno init") from None
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}", "It is readable by root only"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = " ".join(str(error).split())
        raise ConfigError(f"{path} is not valid YAML: {where}", "Correct the file") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} does not hold settings", "Write one with: quaderno init")
    data.setdefault("dir", str(path.parent.absolute()))
    return parse(data, path)


def parse(data: dict[str, Any], source: Path) -> Config:
    """`data` as a Config; raises ConfigError naming `source` and the first offending key."""
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        key = ".".join(str(part) for part in problem["loc"]) or "the file"
        reason = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            reason = "unknown setting" + _did_you_mean(problem["loc"])
        elif problem["type"] == "missing":
            reason = "required, but not set"
        raise ConfigError(
            f"{source}: {key}: {reason}", "docs/reference/settings.md lists every setting"
        ) from error


def _did_you_mean(location: tuple[int | str, ...]) -> str:
    from difflib import get_close_matches

    section: Any = Config
    for part in location[:-1]:
        field = getattr(section, "model_fields", {}).get(part)
        section = field.annotation if field else None
    known = list(getattr(section, "model_fields", {}))
    close = get_close_matches(str(location[-1]), known, n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def dump(config: Config, *, exclude_defaults: bool = False) -> str:
    """`config` as YAML, secrets included."""
    data = config.model_dump(mode="json", exclude_defaults=exclude_defaults)
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def secret_fields(
    model: type[BaseModel] = Config, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], frozenset[str]]]:
    """Each secret setting's path and the components that need it."""
    for name, field in model.model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, NeededBy):
                yield (*path, name), mark.components
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from secret_fields(field.annotation, (*path, name))


def for_component(config: Config, component: str) -> Config:
    """A copy of `config` in which the secrets that `component` does not need are empty."""
    data = config.model_dump(mode="json")
    for path, components in secret_fields():
        if component not in components:
            section = data
            for part in path[:-1]:
                section = section[part]
            section[path[-1]] = ""
    return Config.model_validate(data)


def generate(
    directory: Path,
    *,
    public_url: str | None = None,
    first_port: int = 8000,
    network: str | None = None,
    cpu: CpuChoice | None = None,
    memory: MemoryChoice | None = None,
) -> Config:
    """A new instance's configuration with fresh secrets."""
    ports = Ports.from_first(first_port)
    servers: dict[str, Any] = {"network": network, "cpu": cpu, "memory": memory}
    return Config(
        dir=directory.absolute(),
        instance="q" + secrets.token_hex(3),
        public_url=public_url or f"http://127.0.0.1:{ports.web}",
        ports=ports,
        edge=Edge(api_password=SecretStr(secrets.token_urlsafe(32))),
        hub=Hub(
            cookie_secret=SecretStr(secrets.token_hex(32)),
            crypt_key=SecretStr(secrets.token_hex(32)),
        ),
        oidc=Oidc(client_secret=SecretStr(secrets.token_urlsafe(32))),
        iam=Iam(
            secret_key=SecretStr(secrets.token_urlsafe(48)),
            signing_key=SecretStr(_rsa_key()),
        ),
        store=Store(
            sts_signing_key=SecretStr(base64.b64encode(secrets.token_bytes(32)).decode())
        ),
        agent=Agent(hub_token=SecretStr(secrets.token_hex(32))),
        servers=Servers(**{key: value for key, value in servers.items() if value is not None}),
    )


def _rsa_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def default_directory() -> Path:
    """`/var/lib/quaderno` for root, else below the user's state directory (XDG Base Directory)."""
    if os.geteuid() == 0:
        return Path("/var/lib/quaderno")
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "quaderno"


