"""`quaderno site`: the sites behind one endpoint, and draining one for maintenance."""

import json
import ssl
import sys
from typing import Annotated

import httpx
import typer
from pydantic import ValidationError
from rich.markup import escape

from quaderno import terminal
from quaderno.arguments import Dir, Json, load
from quaderno.config import Config, Site
from quaderno.errors import ComponentError, ConfigError
from quaderno.hub.standing import API, Standing
from quaderno.terminal import out

site_app = typer.Typer(help="The sites behind one endpoint.")

Name = Annotated[str, typer.Argument(help="Name of the site.")]
_WITHIN = 10.0  # seconds


@site_app.command("list")
def site_list(directory: Dir = None, as_json: Json = False) -> None:
    """List the sites, whether each can start servers, and how far its store is behind the other."""
    config = load(directory)
    _require_several(config)
    found = [_described(config, site) for site in config.sites.members]
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    columns = ["site", "address", "weight", "state", "free", "behind"]
    terminal.table(columns, [[_cell(each[column]) for column in columns] for each in found])


def _cell(value: str | float | None) -> str:
    """Fractions are seconds."""
    return f"{value:.1f} s" if isinstance(value, float) else str(value or "-")


@site_app.command("drain")
def site_drain(name: Name, directory: Dir = None) -> None:
    """Lead no new visitors to a site; servers that run there go on, and their people come back."""
    _drain(load(directory), name, "PUT")
    out.print(f"{escape(name)} is drained: nobody new is led there. It lasts until: undrain")


@site_app.command("undrain")
def site_undrain(name: Name, directory: Dir = None) -> None:
    """Lead visitors to a site again."""
    _drain(load(directory), name, "DELETE")
    out.print(f"{escape(name)} is not drained any more")


def _drain(config: Config, name: str, method: str) -> None:
    _require_several(config)
    site = next((site for site in config.sites.members if site.name == name), None)
    if site is None:
        known = ", ".join(site.name for site in config.sites.members)
        raise ConfigError(f"there is no site {name!r}", f"Sites are: {known}")
    _ask(config, site, method, f"{API}/draining")


def _require_several(config: Config) -> None:
    if not config.sites.members:
        raise ConfigError("this instance is not one of several sites", "Set `sites.members`")


def _described(config: Config, site: Site) -> dict[str, str | int | float | None]:
    entry: dict[str, str | int | float | None] = {
        "site": site.name,
        "address": site.address,
        "weight": site.weight,
        "state": "does not answer",
        "free": "",
        "behind": None,
    }
    try:
        standing = _ask(config, site, "GET", API)
    except ComponentError:
        return entry
    free = f"{standing.cpu:g} CPUs, {standing.memory / 2**30:.1f} GB"
    state = "; ".join(standing.problems) or "ready"
    return entry | {"state": state, "free": free, "behind": standing.behind}


def _ask(config: Config, site: Site, method: str, path: str) -> Standing:
    """The answer of a site's hub; this one's is asked without a way through the network.

    Raises ComponentError.
    """
    here = site.name == config.sites.name
    url = f"http://127.0.0.1:{config.ports.hub}" if here else site.address
    headers = {"Authorization": f"Bearer {config.sites.secret.get_secret_value()}"}
    tls = ssl.create_default_context()
    try:
        with httpx.Client(timeout=_WITHIN, trust_env=False, verify=tls) as client:
            answer = client.request(method, f"{url}{path}", headers=headers)
            return Standing.model_validate_json(answer.raise_for_status().content)
    except httpx.HTTPStatusError as error:
        raise ComponentError(
            f"{site.name} refuses, with HTTP {error.response.status_code}",
            "`sites.secret` must be the same at all sites",
        ) from error
    except (httpx.HTTPError, ValidationError) as error:
        raise ComponentError(
            f"{site.name} does not answer at {url}", f"At {site.name}: quaderno status"
        ) from error
