"""All settings of one instance, and what components derive from them."""

import ipaddress
import socket
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from quaderno.config.kinds import Origin
from quaderno.config.sections import (
    Agent,
    Edge,
    Files,
    Hub,
    Iam,
    Oidc,
    Ports,
    Section,
    Servers,
    Sites,
    Store,
    Tls,
)


class Config(Section):
    """The settings of one Quaderno instance."""

    dir: Path = Field(description="State directory; that of the file when unset.")
    instance: str = Field(
        pattern=r"^q[a-z0-9]{3,11}$",
        description="Name of this instance; containers and networks start with it.",
    )
    name: str = Field(
        "Quaderno", min_length=1, max_length=60, description="Name of the service, on every page."
    )
    contact: str = Field(
        "the operators of this service", description="Whom people are told to ask for help."
    )
    node: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        description="Name of this machine, as people are told where their `local` files are; its "
        "host name when unset.",
    )
    public_url: Origin = Field(
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
    files: Files = Field(description="The web page of the object store.")
    servers: Servers = Field(Servers(), description="People's servers.")
    sites: Sites = Field(description="Several sites behind one endpoint.")

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        return str(ipaddress.ip_address(value))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tls.mode != "none" and not self.public_url.startswith("https://"):
            raise ValueError(f"tls.mode `{self.tls.mode}` needs an https:// `public_url`")
        if not self.iam.embedded and not self.oidc.issuer:
            raise ValueError(
                "an external identity provider (`iam.embedded: false`) needs `oidc.issuer`"
            )
        if self.sites.replicated and not self.store.embedded:
            raise ValueError("`store` of `sites.members` is for embedded stores")
        if here := self.sites.here:
            if self.tls.mode == "acme":
                raise ValueError(
                    "several `sites` share one certificate: tls.mode `files` or `none`, for who "
                    "issues one over ACME may ask the other site"
                )
            if self.tls.mode != "none" and not here.address.startswith("https://"):
                raise ValueError(f"tls.mode `{self.tls.mode}` makes {here.address} https://")
        return self

    # --- what components derive; nothing else asks whether iam or store is embedded

    @property
    def address(self) -> str:
        """URL of this very instance: `public_url`, unless it is one of several sites."""
        here = self.sites.here
        return here.address if here else self.public_url

    @property
    def entrance(self) -> str:
        """The port, among `ports`, at which browsers come in."""
        return "director" if self.sites.here else "web"

    @property
    def site_cookie(self) -> str:
        """Cookie that holds the name of the site to which the director leads a browser."""
        return f"{'__Host-' if self.public_url.startswith('https://') else ''}quaderno-site"

    @property
    def node_name(self) -> str:
        """This machine's name."""
        return self.node or socket.gethostname().partition(".")[0]

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
    def sts_endpoint_for_servers(self) -> str:
        """STS URL inside people's servers."""
        return self.store.sts_endpoint or self.store_endpoint_for_servers

    @property
    def store_public_endpoint(self) -> str:
        """S3 URL for people's own computers."""
        return self.store.endpoint or self._public_port(self.ports.s3)

    @property
    def maps_usernames(self) -> bool:
        """Whether people with names that cannot name a bucket may come: the store must be ours,
        for it has to take the hub's word on who has which mapped name."""
        return self.store.embedded

    @property
    def mapped_role_arn(self) -> str:
        """The role that people with mapped names have at the embedded store."""
        return f"{self.store.role_arn}Mapped"

    @property
    def guest_role_arn(self) -> str:
        """The role in which people have what others share with them at the embedded store."""
        return f"{self.store.role_arn}Guest"

    @property
    def shares_buckets(self) -> bool:
        """Whether people can share their further buckets: the embedded store knows how."""
        store = self.store
        return store.embedded and store.sharing and store.further_buckets > 0

    @property
    def hub_issuer(self) -> str:
        """How the hub calls itself when it vouches for them."""
        return f"{self.public_url}/hub"

    @property
    def sets_bucket_quotas(self) -> bool:
        """Whether the store is ours, so that buckets' quotas are set and usage is asked for at
        its master and filer on loopback."""
        return self.store.embedded

    def _public_port(self, port: int) -> str:
        parts = urlsplit(self.address)
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
