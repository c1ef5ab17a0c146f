"""What sites tell each other and their operators, and whom they do not."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from jupyterhub import orm
from typer.testing import CliRunner

from quaderno import config as quaderno_config
from quaderno.cli import app
from quaderno.config import Config, generate
from quaderno.errors import ComponentError, ConfigError, QuadernoError
from quaderno.hub.standing import API
from tests.ports import free_ports
from tests.unit.hub import small_site

# Of JupyterHub's own type of column.
pytestmark = pytest.mark.filterwarnings("ignore:TypeDecorator JSONDict")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Config]:
    config = small_site.instance(tmp_path, free_ports())
    with small_site.serving(config, small_site.database(running=True)):
        yield config


def ask(config: Config, path: str = "", secret: str | None = None) -> httpx.Response:
    secret = config.sites.secret.get_secret_value() if secret is None else secret
    url = f"http://127.0.0.1:{config.ports.hub}{API}{path}"
    return httpx.get(url, headers={b"Authorization": f"Bearer {secret}".encode()}, timeout=60)


@pytest.mark.parametrize("path", ["", "/people", "/draining"])
def test_who_does_not_have_the_secret_learns_nothing(site: Config, path: str) -> None:
    right = site.sites.secret.get_secret_value()
    address = f"http://127.0.0.1:{site.ports.hub}{API}{path}"
    for method in ("GET", "PUT"):
        assert httpx.request(method, address, timeout=60).status_code == 403
    for secret in ("x", right[:-1], right + "0", right.upper() + "é"):
        refused = ask(site, path, secret)
        assert refused.status_code == 403
        assert "bari" not in refused.text


def test_sites_know_who_works_where(site: Config) -> None:
    stay = {"running": True, "at": small_site.USED_AT, "options": small_site.OPTIONS}
    assert ask(site, "?user=ada").json()["stay"] == stay
    assert ask(site, "?user=bob").json()["stay"] is None
    assert ask(site, "?user=nobody").json()["stay"] is None
    assert ask(site, "/people").json() == {"people": {"ada": stay}}


def test_an_engine_that_hangs_hides_nobody(tmp_path: Path) -> None:
    """Who asks whose server runs here waits for a second."""
    config = small_site.instance(tmp_path, free_ports())
    hanging = small_site.Hanging(config)
    hanging.drain(True)
    with small_site.serving(config, small_site.database(running=True), hanging):
        told = [ask(config, "?user=ada").json() for _ in range(2)]
    assert all(each["stay"]["running"] for each in told)
    assert told[0]["problems"] == ["drained for maintenance"]


def test_what_one_person_sent_hides_nobody(tmp_path: Path) -> None:
    """JupyterHub keeps what it was sent with `PATCH`."""
    config = small_site.instance(tmp_path, free_ports())
    database = small_site.database(running=True)
    sent = {str(number): "" for number in range(9)} | {
        "image": "x" * 10**6, "cpu": [1], "wait": "\ud800",
    }  # fmt: skip
    at = datetime(2026, 1, 1)  # noqa: DTZ001 - as JupyterHub keeps it
    eve = orm.Spawner(name="", user=orm.User(name="eve"), last_activity=at)
    eve.user_options = {"memory": "2G"} | sent
    database.add(eve)
    database.commit()
    with small_site.serving(config, database):
        people = ask(config, "/people").json()["people"]
    assert people["ada"]["options"] == small_site.OPTIONS
    assert people["eve"]["options"] == {"memory": "2G"}


def command(config: Config, *arguments: str) -> str:
    """What it prints; raises the error that it would end with."""
    result = CliRunner().invoke(app, ["site", *arguments, "--dir", str(config.dir)])
    if isinstance(result.exception, QuadernoError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def states(config: Config) -> dict[str, str]:
    return {site["site"]: site["state"] for site in json.loads(command(config, "list", "--json"))}


def test_an_operator_sees_the_sites_and_drains_one(site: Config) -> None:
    assert states(site) == {"bari": "ready", "cnaf": "does not answer"}
    assert "does not answer" in command(site, "list")
    assert "undrain" in command(site, "drain", "bari")
    assert states(site)["bari"] == "drained for maintenance"
    assert ask(site).json()["problems"] == ["drained for maintenance"]
    command(site, "undrain", "bari")
    assert states(site)["bari"] == "ready"


def test_an_operator_is_told_what_is_wrong(site: Config, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no site 'roma'"):
        command(site, "drain", "roma")
    with pytest.raises(ComponentError, match="cnaf does not answer at http://127"):
        command(site, "drain", "cnaf")
    other = tmp_path / "other"
    stranger = small_site.instance(other, site.ports.web)
    with pytest.raises(ComponentError, match="bari refuses") as refusal:
        command(stranger, "drain", "bari")
    assert stranger.sites.secret.get_secret_value() not in str(refusal.value)
    single = tmp_path / "single"
    single.mkdir()
    (single / "quaderno.yaml").write_text(quaderno_config.dump(generate(single)))
    with pytest.raises(ConfigError, match="not one of several sites"):
        command(generate(single), "list")
