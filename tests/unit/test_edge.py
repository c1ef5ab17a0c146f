"""Traefik's configuration; what it does is in the contract tests of the stack."""

from pathlib import Path
from typing import Any

import pytest

from quaderno import edge
from quaderno.config import Config, Tls, generate

API_USER = "hub:hash"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return generate(tmp_path)


def public(config: Config, **changes: Any) -> Config:
    return config.model_copy(update={"public_url": "https://hub.example.org", **changes})


def test_entry_points_listen_where_they_should(config: Config) -> None:
    entry_points = edge.static(config)["entryPoints"]
    assert {name: point["address"] for name, point in entry_points.items()} == {
        "web": "127.0.0.1:8000",
        "iam": "127.0.0.1:8001",
        "s3": "127.0.0.1:8002",
        "servers-hub": "10.213.0.1:8015",
        "servers-s3": "10.213.0.1:8016",
        "api": "127.0.0.1:8003",
    }


def test_ipv6_addresses_are_bracketed(config: Config) -> None:
    static = edge.static(config.model_copy(update={"listen": "::1"}))
    assert static["entryPoints"]["web"]["address"] == "[::1]:8000"


def test_nothing_is_sent_to_anybody_and_no_access_is_logged(config: Config) -> None:
    static = edge.static(config)
    assert static["global"] == {"checkNewVersion": False, "sendAnonymousUsage": False}
    assert "accessLog" not in static
    assert "forwardedHeaders" not in static["entryPoints"]["web"]


def test_requests_wait_for_hub_and_identity_provider_alone(config: Config) -> None:
    http = edge.dynamic(config, API_USER)["http"]
    waiting = {
        name
        for name, router in http["routers"].items()
        if "patience" in router.get("middlewares", ())
    }
    assert waiting == {"hub-api", "iam", "health"}
    assert http["routers"]["iam"]["middlewares"][0] == "away", "it is told after the waiting"
    assert http["middlewares"]["patience"]["retry"]["attempts"] > 1


def test_plain_http_sets_no_transport_security(config: Config) -> None:
    headers = edge.dynamic(config, API_USER)["http"]["middlewares"]["public"]["headers"]
    assert headers == {"customRequestHeaders": {"X-Forwarded-Proto": "http"}}


def test_https_ended_by_another_proxy(config: Config) -> None:
    headers = edge.dynamic(public(config), API_USER)["http"]["middlewares"]["public"]["headers"]
    assert headers["customRequestHeaders"] == {"X-Forwarded-Proto": "https"}
    assert headers["forceSTSHeader"]
    assert "tls" not in edge.static(public(config))["entryPoints"]["web"]["http"]


def test_own_certificate_on_all_public_ports(config: Config) -> None:
    tls = Tls.model_validate({"mode": "files", "certificate": "c.pem", "key": "k.pem"})
    config = public(config, tls=tls)
    static, dynamic = edge.static(config), edge.dynamic(config, API_USER)
    assert [static["entryPoints"][name]["http"]["tls"] for name in ("web", "iam")] == [{}, {}]
    assert dynamic["tcp"]["routers"]["s3"]["tls"] == {"options": "s3"}
    assert "tls" not in dynamic["tcp"]["routers"]["servers-s3"]
    files = dynamic["tls"]["stores"]["default"]["defaultCertificate"]
    assert files["keyFile"] == str(config.dir / "edge" / "tls" / "key.pem")


def test_acme_certificate_is_for_the_public_host(config: Config) -> None:
    tls = {"mode": "acme", "email": "ops@example.org", "acme_directory": "https://a"}
    config = public(config, tls=Tls.model_validate(tls))
    static = edge.static(config)
    wanted = {"certResolver": "acme", "domains": [{"main": "hub.example.org"}]}
    assert static["entryPoints"]["web"]["http"]["tls"] == wanted
    resolver = static["certificatesResolvers"]["acme"]["acme"]
    assert resolver["email"] == "ops@example.org"
    assert resolver["caServer"] == "https://a"
    assert Path(resolver["storage"]).parent == config.dir / "edge" / "acme"
    assert edge.dynamic(config, API_USER)["tcp"]["routers"]["s3"]["tls"]["certResolver"] == "acme"


def test_external_components_have_no_routes(config: Config) -> None:
    external = config.model_copy(
        update={
            "iam": config.iam.model_copy(update={"embedded": False}),
            "store": config.store.model_copy(update={"embedded": False}),
        }
    )
    dynamic = edge.dynamic(external, API_USER)
    assert set(dynamic["http"]["routers"]) == {"api", "ping", "alive", "hub-api", "health"}
    assert "tcp" not in dynamic


def test_root_writes_only_where_the_edge_does_not(tmp_path: Path) -> None:
    """Not even for a moment: what it begins with is in a directory of root's."""
    user = 4711
    for name in ("certificate", "key"):
        (tmp_path / name).write_text(name)
    tls = {"mode": "files", "certificate": tmp_path / "certificate", "key": tmp_path / "key"}
    config = public(generate(tmp_path / "state"), tls=Tls.model_validate(tls))
    home = config.dir / "edge"
    edge.prepare(config, user, user)
    for directory in (home, home / "tls"):
        assert (directory.stat().st_uid, directory.stat().st_mode & 0o022) == (0, 0)
    copy = (home / "tls" / "key.pem").stat()
    assert (copy.st_uid, copy.st_mode & 0o777) == (user, 0o400), "the hub shares the edge's group"
    assert (home / "acme").stat().st_uid == user
    (config.routes / ".quaderno.yaml.new").symlink_to(tmp_path / "key")
    (home / "tls" / "key.pem").unlink()
    (home / "tls" / "key.pem").symlink_to(tmp_path / "certificate")
    edge.prepare(config, user, user)
    assert (home / "tls" / "key.pem").read_text() == "key"
    assert (tmp_path / "certificate").read_text() == "certificate"
    assert (tmp_path / "key").stat().st_uid == 0


@pytest.mark.parametrize(("web", "needed"), [(443, True), (8000, False)])
def test_low_ports_need_a_capability(config: Config, web: int, needed: bool) -> None:
    ports = config.ports.model_copy(update={"web": web})
    assert edge.needs_low_ports(config.model_copy(update={"ports": ports})) == needed
