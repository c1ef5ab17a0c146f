"""The way between two sites' embedded stores: TLS in which both sides show the same certificate.

SeaweedFS's filer has no passwords, and listens on loopback. So the directors carry what a site's
`replication` asks of the other site's filer: in at a port of loopback, encrypted to the other
director, and out to its filer. Key and certificate are made from the sites' secret, the same at
each, and believed by nobody else: who has the secret is let in, and nothing has to be handed out.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from quaderno import traefik
from quaderno.config import Config

_FILE = "stores.pem"
# The filer's two protocols, by the name that the other side asks for (server name indication).
_HTTP, _GRPC = "filer", "filer-grpc"
# It lasts as long as the secret.
_FROM, _UNTIL = datetime(2020, 1, 1, tzinfo=UTC), datetime(2120, 1, 1, tzinfo=UTC)


def prepare(config: Config, home: Path, user: int, group: int) -> None:
    """Write the key and certificate, for the director alone."""
    content = certificate(config.sites.secret.get_secret_value())
    traefik.replace(home, home / "tls" / _FILE, content, user, group, 0o400)


def certificate(secret: str) -> bytes:
    """Private key and certificate in PEM, always the same for the same `secret` (hexadecimal)."""
    derive = HKDF(hashes.SHA256(), 32, salt=None, info=b"quaderno: between the sites' stores")
    key = Ed25519PrivateKey.from_private_bytes(derive.derive(bytes.fromhex(secret)))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "quaderno sites")])
    names = x509.SubjectAlternativeName([x509.DNSName(_HTTP), x509.DNSName(_GRPC)])
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, _FROM, _UNTIL)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(names, critical=False)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .sign(key, None)
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem + built.public_bytes(serialization.Encoding.PEM)


def entry_points(config: Config) -> dict[str, Any]:
    """One for the other site, and two for this site's `replication`."""
    ports = config.ports
    return {
        "stores": traefik.entry_point(config.listen, ports.stores),
        _HTTP: traefik.entry_point("127.0.0.1", ports.peer_filer),
        _GRPC: traefik.entry_point("127.0.0.1", ports.peer_filer_grpc),
    }


def routes(config: Config, home: Path) -> dict[str, Any]:
    """Parts of Traefik's dynamic configuration, `tcp` and `tls`."""
    file = str(home / "tls" / _FILE)
    pair = {"certFile": file, "keyFile": file}
    (peer,) = config.sites.peers
    own = {_HTTP: config.ports.store_filer, _GRPC: config.ports.store_filer_grpc}
    tcp: dict[str, Any] = {"routers": {}, "services": {}, "serversTransports": {}}
    for name, port in own.items():
        tcp["routers"][f"in-{name}"] = {
            "entryPoints": ["stores"],
            "rule": f"HostSNI(`{name}`)",
            "service": f"in-{name}",
            "tls": {"options": "stores"},
        }
        tcp["services"][f"in-{name}"] = _service(f"127.0.0.1:{port}")
        tcp["routers"][f"out-{name}"] = {
            "entryPoints": [name],
            "rule": "HostSNI(`*`)",
            "service": f"out-{name}",
        }
        tcp["services"][f"out-{name}"] = _service(peer.store or "", name)
        tcp["serversTransports"][name] = {
            "tls": {"serverName": name, "rootCAs": [file], "certificates": [pair]}
        }
    options = {
        "minVersion": "VersionTLS13",
        "clientAuth": {"caFiles": [file], "clientAuthType": "RequireAndVerifyClientCert"},
    }
    return {"tcp": tcp, "tls": {"certificates": [pair], "options": {"stores": options}}}


def _service(address: str, transport: str = "") -> dict[str, Any]:
    balancer: dict[str, Any] = {"servers": [{"address": address}]}
    if transport:
        balancer["servers"][0]["tls"] = True
        balancer["serversTransport"] = transport
    return {"loadBalancer": balancer}
