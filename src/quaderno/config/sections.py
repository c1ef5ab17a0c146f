"""The groups of settings: each one's type, default and help, declared here and nowhere else."""

import ipaddress
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from quaderno import __version__
from quaderno.config.choices import CpuChoice, GpuChoice, MemoryChoice, Room
from quaderno.config.database import Database
from quaderno.config.files import Files as Files
from quaderno.config.identity import Iam as Iam
from quaderno.config.identity import Oidc as Oidc
from quaderno.config.kinds import (
    Base64Secret,
    Group,
    HexSecret,
    Limit,
    Memory,
    NeededBy,
    Port,
    Reference,
    Secret,
    Url,
)
from quaderno.config.section import Section as Section
from quaderno.config.sites import Site as Site
from quaderno.config.sites import Sites as Sites
from quaderno.quantities import parse_memory


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
    key: Path | None = Field(None, description="PEM file with the private key; with `mode: files`.")
    email: str | None = Field(None, description="Contact address of the ACME account.")
    acme_directory: Url | None = Field(
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
    """TCP ports. The first three and `director` are public; the others listen where only this
    machine reaches."""

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

    files: Port = Field(8017, description="Loopback: the web page of the object store.")
    director: Port = Field(
        8018, description="Public, with several `sites`: the endpoint, in front of them all."
    )
    director_api: Port = Field(8019, description="Loopback: the director's health.")
    stores: Port = Field(
        8020, description="Public, with replicated stores: for the other site's director alone."
    )
    peer_filer: Port = Field(8021, description="Loopback: the other site's SeaweedFS filer.")
    peer_filer_grpc: Port = Field(8022, description="Loopback: the other site's filer, gRPC.")
    replication: Port = Field(8023, description="Loopback: how far behind this store is.")
    replication_metrics: Port = Field(8024, description="Loopback: metrics of SeaweedFS's sync.")

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


class Hub(Database):
    """JupyterHub."""

    cookie_secret: Annotated[HexSecret, NeededBy("hub")] = Field(
        description="32 bytes in hexadecimal that sign cookies; a new value logs everyone out."
    )
    crypt_key: Annotated[HexSecret, NeededBy("hub")] = Field(
        description="32 bytes in hexadecimal that encrypt people's tokens in the hub's database."
    )
    credentials_per_minute: Annotated[int, NeededBy("hub")] = Field(
        60,
        ge=1,
        description="How often in a minute one server gets S3 keys, and how often access tokens; "
        "what asks more often is refused with HTTP 429. All servers and tokens of one person "
        "together get them as often as all servers that they may have, and one more.",
    )


class Store(Section):
    """The S3 object store with STS behind `cloud_storage`."""

    embedded: bool = Field(True, description="Run the embedded object store.")
    endpoint: Url | None = Field(
        None, description="S3 URL of an external store; with `embedded: false`."
    )
    sts_endpoint: Url | None = Field(
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
    quota: Annotated[Limit, NeededBy("agent", "hub")] = Field(
        parse_memory("200G"), description="Bytes that each personal bucket may hold; 0: no limit."
    )
    group_quotas: Annotated[dict[Group, Limit], NeededBy("agent", "hub")] = Field(
        {},
        description="By name of a group, what counts for its members instead of `quota`; of "
        "several groups, the largest, and 0 (no limit) is the largest of all.",
    )
    further_buckets: int = Field(
        5,
        ge=0,
        le=100,
        description="Buckets besides the personal one that each person may make on the page of "
        "files or by the S3 API, named `<username>--<name>`; 0: none. Of an external store, its "
        "own policy must allow them.",
    )
    further_quota: Annotated[Limit, NeededBy("agent", "files")] = Field(
        parse_memory("20G"), description="Bytes that each of these may hold; 0: no limit."
    )
    sharing: bool = Field(
        True,
        description="Whether people may share these, by policies of the embedded store. With S3 "
        "programs they can write any policy, also one that lets everybody read without a login.",
    )
    key_lifetime: int = Field(
        3600, ge=900, le=43200, description="Life of the S3 keys handed out, in seconds."
    )
    sts_signing_key: Annotated[Base64Secret, NeededBy("store")] = Field(
        description="32 bytes in base64 that sign the embedded store's session tokens."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.embedded and not self.endpoint:
            raise ValueError("an external store (`embedded: false`) needs `endpoint`")
        return self

    def quota_of(self, groups: Iterable[str]) -> int:
        """Bytes that the bucket of a member of `groups` may hold; 0: no limit."""
        theirs = [self.group_quotas[group] for group in groups if group in self.group_quotas]
        return min(theirs or [self.quota], key=lambda quota: (quota != 0, -quota))


class Agent(Section):
    """The node agent, which owns this node's storage mounts."""

    hub_token: Annotated[Secret, NeededBy("agent", "hub")] = Field(
        description="Token with which the agent asks the hub for people's S3 keys, and for "
        "nothing else."
    )
    cache_size: Annotated[Memory, NeededBy("agent")] = Field(
        parse_memory("20G"), description="Disk cache of each user's mounts, in bytes."
    )
    cache_reserve: Annotated[Memory, NeededBy("agent")] = Field(
        parse_memory("2G"),
        description="Bytes to keep free on the disk of the caches, or 15 % of it where that is "
        "less: below, people's storage is read-only.",
    )
    description_disk: Annotated[Memory, NeededBy("agent")] = Field(
        parse_memory("512M"),
        ge=16 * 2**20,
        description="Size of the file system that holds the descriptions of cached files, 512 of "
        "them in each MiB; a twentieth of the disk where that is less. A larger one is in force "
        "after `quaderno down` and `up`.",
    )
    write_back: Annotated[float, NeededBy("agent")] = Field(
        1.0, ge=0, le=60, description="Seconds from closing a file to its upload."
    )
    lease_time: Annotated[int, NeededBy("agent")] = Field(
        300,
        ge=30,
        le=86400,
        description="Seconds without a sign of life after which another node may take over a "
        "person's storage: by itself when all was saved, else when the person says so.",
    )
    refresh: Annotated[int, NeededBy("agent")] = Field(
        240,
        ge=15,
        le=3600,
        description="Seconds until changes made elsewhere show in a person's own directories.",
    )


class Image(Section):
    """A container image in the catalogue."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,39}$", description="Short name, for the form and the API."
    )
    display_name: str = Field(description="Name that people see.")
    description: str = Field("", description="One line about what is inside.")
    reference: Reference = Field(description="Image reference, as for `docker pull`.")
    groups: list[Group] = Field(
        [], description="Groups whose members may use it; everybody when empty."
    )


class Servers(Section):
    """People's servers."""

    images: Annotated[list[Image], NeededBy("hub")] = Field(
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
    own_images: Annotated[list[str], NeededBy("hub")] = Field(
        ["*"],
        description="Shell-style patterns of image references that people may bring themselves; "
        "an empty list allows the catalogue only.",
    )
    own_images_groups: Annotated[list[Group], NeededBy("hub")] = Field(
        [], description="Groups whose members may bring images; everybody when empty."
    )
    own_images_size: Annotated[Limit, NeededBy("hub")] = Field(
        parse_memory("50G"),
        description="Bytes of images that people brought; beyond, those not used for longest are "
        "removed, and pulled again when wanted. 0: no limit.",
    )
    registries: Annotated[list[str], NeededBy("hub")] = Field(
        ["docker.io", "ghcr.io", "quay.io", "registry.gitlab.com"],
        description="Registries, besides those that `images` and `own_images` spell out, that are "
        "asked about an image while somebody types its reference; others only at its start.",
    )
    named_limit: Annotated[int, NeededBy("hub")] = Field(
        3,
        ge=0,
        le=100,
        description="Servers that a person may have besides the first, each with a name and "
        "options of its own, running or not; 0: none.",
    )
    cpu: Annotated[CpuChoice, NeededBy("hub")] = Field(CpuChoice(), description="CPUs on offer.")
    memory: Annotated[MemoryChoice, NeededBy("hub")] = Field(
        MemoryChoice(), description="Memory on offer."
    )
    gpu: Annotated[GpuChoice, NeededBy("hub")] = Field(GpuChoice(), description="GPUs on offer.")
    room: Annotated[Room, NeededBy("hub")] = Field(
        Room(), description="What running servers may have together."
    )
    local_quota: Annotated[Limit, NeededBy("agent")] = Field(
        0,
        description="Bytes that each person's `local` directory may hold, where the file system "
        "of the state directory has project quotas; 0: no limit.",
    )
    pids_limit: Annotated[int, NeededBy("hub")] = Field(
        4096, ge=64, description="Processes and threads a server may have."
    )
    network: str = Field(
        "10.213.0.0/20",
        description="IPv4 network of the servers' containers: each gets a /29 of its own.",
    )
    firewall: bool = Field(
        True,
        description="Keep servers from this machine (but for the gateway's two ports and DNS) and "
        "from link-local addresses, where clouds have their metadata service.",
    )
    stall_timeout: Annotated[int, NeededBy("hub")] = Field(
        120,
        ge=1,
        description="Seconds that the download of an image may make no progress before it is "
        "given up and tried again. One that moves may take as long as it needs.",
    )
    saved_size: Annotated[Memory, NeededBy("hub")] = Field(
        parse_memory("1G"),
        description="Bytes of files that exist only in a server which are copied to "
        "`cloud_storage/<user>/saved/` when it stops and nobody says what to do, the smallest "
        "files first; 0 copies none.",
    )
    idle_timeout: Annotated[int, NeededBy("hub")] = Field(
        24 * 3600,
        ge=0,
        description="Seconds without activity of a kernel, terminal or browser after which a "
        "server is stopped; servers report every five minutes. 0: never.",
    )
    max_age: Annotated[int, NeededBy("hub")] = Field(
        0, ge=0, description="Seconds after which a server is stopped in any case. 0: never."
    )
    http_timeout: Annotated[int, NeededBy("hub")] = Field(
        120,
        ge=5,
        description="Seconds that a starting server may do nothing, neither print nor use a CPU, "
        "before it is given up. One that works may take ten times as long.",
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
        if all(image.groups for image in images):
            raise ValueError("one image at least must be for everybody, without `groups`")
        return images

    def images_for(self, groups: Container[str]) -> list[Image]:
        """Those of the catalogue that a member of `groups` may use; one at least."""
        return [one for one in self.images if _includes(one.groups, groups)]

    def own_images_for(self, groups: Container[str]) -> list[str]:
        """Patterns of references that a member of `groups` may bring."""
        return self.own_images if _includes(self.own_images_groups, groups) else []

    @property
    def gateway(self) -> str:
        """Address on this host where servers reach the hub's API and the store."""
        return str(next(ipaddress.IPv4Network(self.network).hosts()))


def _includes(admitted: list[str], groups: Container[str]) -> bool:
    return not admitted or any(group in groups for group in admitted)
