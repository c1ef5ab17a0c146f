"""Settings of several sites behind one endpoint, and of the director in front of them."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from quaderno.config.kinds import HexSecret, NeededBy, Origin
from quaderno.config.section import Section

_NAME = r"^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$"


class Site(Section):
    """One of the sites."""

    name: str = Field(pattern=_NAME, description="Name, as people read it: a place, in short.")
    address: Origin = Field(
        description="URL of this site alone (its port `ports.web`), at which the directors and the "
        "other sites' hubs reach it."
    )
    store: str | None = Field(
        None,
        pattern=r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$",
        description="`host:port` of this site's `ports.stores`, as the other reaches it. Set at "
        "both of two sites, their embedded stores replicate each other.",
    )
    weight: int = Field(
        1, ge=1, le=1000, description="Share of new visitors that the directors send there."
    )


class Sites(Section):
    """Several sites behind one endpoint, which is `public_url`; `members` and `secret` are the same
    at each."""

    name: str | None = Field(None, description="Name of this site, one of `members`.")
    members: list[Site] = Field(
        [], description="All sites, this one among them; empty: there is just this instance."
    )
    secret: Annotated[HexSecret, NeededBy("hub", "director")] = Field(
        description="32 bytes in hexadecimal with which the sites ask each other, the same at all."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.members:
            if self.name:
                raise ValueError("`name` is of one of several sites, but `members` names none")
            return self
        for what, values in (
            ("name", [site.name for site in self.members]),
            ("address", [site.address for site in self.members]),
        ):
            twice = [value for value in values if values.count(value) > 1]
            if twice:
                raise ValueError(f"two sites have the {what} {twice[0]}")
        names = [site.name for site in self.members]
        if self.name not in names:
            raise ValueError(f"`name` must say which of these is here: {', '.join(names)}")
        replicating = [site.name for site in self.members if site.store]
        if replicating and (len(replicating), len(names)) != (2, 2):
            raise ValueError("`store` is for two sites, and for both of them")
        return self

    @property
    def replicated(self) -> bool:
        """Whether the sites' embedded stores replicate each other."""
        return any(site.store for site in self.members)

    @property
    def here(self) -> Site | None:
        """This site; None where there is just this instance."""
        return next((site for site in self.members if site.name == self.name), None)

    @property
    def peers(self) -> tuple[Site, ...]:
        """The others."""
        return tuple(site for site in self.members if site.name != self.name)
