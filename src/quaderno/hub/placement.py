"""Which of several sites a person goes to, and what they are told about it; pure.

Where their server runs, whatever else may be said of that site; else where the last one ran, for
its `local` files are there; else where most is free.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quaderno.hub.standing import Standing, Stay


@dataclass(frozen=True)
class View:
    """The sites as seen from `here`, each with the person's stay there. `silent` did not answer;
    of the person's stays there, it has what they said before."""

    here: Standing
    others: tuple[Standing, ...]
    silent: Mapping[str, Stay | None]


@dataclass(frozen=True)
class Alternative:
    """A site that can be chosen, with what is free there."""

    name: str
    free: str


@dataclass(frozen=True)
class News:
    """For the page of server options: where this is, and why, and what else there is.

    `lost` is a site that has the person's last server and does not answer, `left` one that has
    their `local` files of last time and does.
    """

    here: str
    ready: bool
    lost: str
    left: str
    alternatives: tuple[Alternative, ...]


def destination(view: View) -> str:
    """The site to go to at the beginning of a session."""
    running = running_at(view)
    if running:
        return running
    ready = {site.name: site for site in (view.here, *view.others) if site.ready}
    last = _last(view)
    if last in ready:
        return last
    if not ready:
        return view.here.name
    # The first of equals: nobody moves for nothing.
    return max(ready.values(), key=lambda site: (site.memory, site.cpu)).name


def running_at(view: View) -> str:
    """The site where the person's server runs; this one, if here, too. Empty where none does."""
    return next((site.name for site in (view.here, *view.others) if site.runs), "")


def options_elsewhere(view: View) -> dict[str, Any]:
    """What the person's last server was started with, if that was at another site."""
    last = _last(view)
    stay = _stays(view).get(last)
    return stay.options if stay and last != view.here.name else {}


def news(view: View) -> News:
    """What there is to tell."""
    last = _last(view)
    return News(
        here=view.here.name,
        ready=view.here.ready,
        lost=last if last in view.silent else "",
        left=last if last not in ("", view.here.name, *view.silent) else "",
        alternatives=tuple(Alternative(s.name, _free(s)) for s in view.others if s.ready),
    )


def _last(view: View) -> str:
    """Where the person's server was used last; empty for who never had one."""
    found = _stays(view)
    return max(found, key=lambda name: found[name].at, default="")


def _stays(view: View) -> dict[str, Stay]:
    answered = {site.name: site.stay for site in (view.here, *view.others)}
    return {name: stay for name, stay in {**answered, **view.silent}.items() if stay is not None}


def _free(site: Standing) -> str:
    return f"{round(site.cpu, 1):g} CPUs, {round(site.memory / 2**30, 1):g} GB of memory free"
