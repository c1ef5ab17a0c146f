"""The director: Traefik in front of several sites, at the endpoint that people know.

Each site runs one, and any of them serves the endpoint. A director keeps nothing: which site a
browser goes to is in a cookie that the sites' hubs set, for they know where somebody's server is,
and how the sites are, it asks them. Two questions are two different things. A site whose
*edge answers* is where browsers with its cookie go: their servers run there, and go on while its
hub is restarted. A site that is *ready*
(`/health`: it can start servers) is where others go; one that is drained answers and is not ready.
"""

import re
from pathlib import Path
from typing import Any

from quaderno import edge, traefik, tunnel
from quaderno.config import Config

NAME = "director"
# A site that is gone is noticed after one look at the latest, one that hangs after its timeout.
_CHECKS = {"interval": "2s", "unhealthyInterval": "2s"}
_ANSWERS_WITHIN = "5s"
# The edge lets this look wait for a hub that is being restarted, as it lets people wait.
_READY_WITHIN = "12s"
_DIAL_WITHIN = "3s"
_EVERYTHING = "PathPrefix(`/`)"


def prepare(config: Config, user: int, group: int) -> None:
    """Write Traefik's configuration; `user` and `group` are the director's numbers. Run again
    while Traefik runs, it puts a renewed certificate into force."""
    home = config.dir / NAME
    traefik.directory(home, 0, group, 0o750)
    traefik.directory(_routes(config), 0, group, 0o750)
    traefik.copy_certificates(config, home, user, group)
    if config.sites.replicated:
        tunnel.prepare(config, home, user, group)
    traefik.write(home, home / "traefik.yaml", static(config), group)
    traefik.write(home, _routes(config) / "sites.yaml", dynamic(config), group)


def command(config: Config) -> list[str]:
    """Traefik with the configuration that `prepare` wrote."""
    return traefik.command(config.dir / NAME)


def certificates_renewed(config: Config) -> bool:
    """Whether the operator's certificate or key is not what Traefik has; raises OSError."""
    return traefik.certificates_renewed(config, config.dir / NAME)


def health_url(config: Config) -> str:
    """Answers 200 while Traefik serves."""
    return f"http://127.0.0.1:{config.ports.director_api}/ping"


def needs_low_ports(config: Config) -> bool:
    """Whether it listens on a port that only privileged processes may listen on."""
    return config.ports.director < 1024


def _routes(config: Config) -> Path:
    return config.dir / NAME / "routes"


def static(config: Config) -> dict[str, Any]:
    """Traefik's static configuration: where it listens and where its routes are."""
    endpoint = traefik.entry_point(config.listen, config.ports.director)
    if config.tls.mode != "none":
        endpoint["http"]["tls"] = {}
    api = traefik.entry_point("127.0.0.1", config.ports.director_api)
    stores = tunnel.entry_points(config) if config.sites.replicated else {}
    return traefik.static(_routes(config), {"endpoint": endpoint, "api": api, **stores})


def dynamic(config: Config) -> dict[str, Any]:
    """The routes to the sites, and how they are looked after."""
    services: dict[str, Any] = {
        "ready": _weighted(config, "ready"),
        "answering": _weighted(config, "answers"),
        # Where none is ready, a page that says so is better than none.
        "visitors": {"failover": {"service": "ready", "fallback": "answering"}},
    }
    routers = {"visitors": _router(_EVERYTHING, "visitors", priority=1)}
    for site in config.sites.members:
        name = site.name
        services[f"ready-{name}"] = _site(site.address, "/health", _READY_WITHIN)
        services[f"answers-{name}"] = _site(site.address, edge.ALIVE, _ANSWERS_WITHIN)
        services[f"site-{name}"] = {
            "failover": {"service": f"answers-{name}", "fallback": "visitors"}
        }
        routers[name] = _router(_has_cookie(config.site_cookie, name), f"site-{name}", priority=2)
    transports = {"sites": {"forwardingTimeouts": {"dialTimeout": _DIAL_WITHIN}}}
    result: dict[str, Any] = {
        "http": {"routers": routers, "services": services, "serversTransports": transports}
    }
    if config.sites.replicated:
        result |= tunnel.routes(config, config.dir / NAME)
    if config.tls.mode == "files":
        result.setdefault("tls", {})["stores"] = traefik.certificate_store(config.dir / NAME)
    return result


def _router(rule: str, service: str, priority: int) -> dict[str, Any]:
    return {"entryPoints": ["endpoint"], "rule": rule, "service": service, "priority": priority}


def _has_cookie(cookie: str, value: str) -> str:
    """Names of sites are words of letters, digits and hyphens: nothing has to be quoted."""
    return f"HeaderRegexp(`Cookie`, `(^|; *){re.escape(cookie)}={value}(;|$)`)"


def _weighted(config: Config, kind: str) -> dict[str, Any]:
    children = [
        {"name": f"{kind}-{site.name}", "weight": site.weight} for site in config.sites.members
    ]
    return {"weighted": {"services": children, "healthCheck": {}}}


def _site(address: str, health: str, within: str) -> dict[str, Any]:
    check = {"path": health, "followRedirects": False, "timeout": within, **_CHECKS}
    return {
        "loadBalancer": {
            "servers": [{"url": address}],
            "healthCheck": check,
            "serversTransport": "sites",
        }
    }
