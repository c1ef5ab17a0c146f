"""Addresses: browsers and other sites get to us, and secrets travel encrypted."""

import ipaddress
import os
from collections.abc import Iterator
from urllib.parse import urlsplit

from quaderno.checks.finding import Finding, error, warning
from quaderno.config import Config


def check_public_url(config: Config) -> Iterator[Finding]:
    """Browsers get to where we listen, and passwords travel encrypted."""
    url = urlsplit(config.public_url)
    inside = _is_loopback(url.hostname or "")
    listens_inside = _is_loopback(config.listen)
    if inside != listens_inside:
        yield warning(
            "public-url",
            f"public_url is {config.public_url}, but the service listens on {config.listen}",
            "Set `listen: 0.0.0.0`, unless another proxy on this machine forwards to it"
            if listens_inside
            else "Set `public_url` to the address that people use",
        )
    port = url.port or (443 if url.scheme == "https" else 80)
    if not listens_inside and port != (ours := getattr(config.ports, config.entrance)):
        yield warning(
            "public-port",
            f"public_url names port {port}, but ports.{config.entrance} is {ours}",
            "Make them equal, unless something in front forwards one to the other",
        )
    if url.scheme == "http" and not inside:
        yield warning(
            "no-tls",
            f"passwords travel unencrypted to {config.public_url}",
            "Set `tls`, and `public_url` to https://",
        )


def check_tls_files(config: Config) -> Iterator[Finding]:
    """Certificate and key are there."""
    if config.tls.mode != "files":
        return
    for name, path in (("certificate", config.tls.certificate), ("key", config.tls.key)):
        if path and not os.access(path, os.R_OK):
            yield error("tls-files", f"tls.{name}: {path} cannot be read", "Correct the path")


def check_sites(config: Config) -> Iterator[Finding]:
    """Directors carry passwords and cookies from site to site, hubs the sites' secret."""
    for site in config.sites.members:
        url = urlsplit(site.address)
        if url.scheme == "http" and not _is_loopback(url.hostname or ""):
            yield warning(
                "sites-no-tls",
                f"cookies, logins and the sites' secret travel unencrypted to {site.address}",
                f"Set `tls` at {site.name}, and its `address` to https:// at all sites",
            )


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
