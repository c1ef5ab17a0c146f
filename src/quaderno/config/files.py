"""Settings of the web page of the object store."""

from typing import Annotated

from pydantic import Field

from quaderno.config.kinds import NeededBy, Secret
from quaderno.config.section import Section


class Files(Section):
    """The web page of the object store."""

    client_secret: Annotated[Secret, NeededBy("files", "hub")] = Field(
        description="With which the page logs people in at the hub; it opens nothing else."
    )
    direct: Annotated[bool, NeededBy("files")] = Field(
        True,
        description="Browsers reach the store at its public address: downloads and uploads go "
        "straight there. Otherwise they pass through the page's component.",
    )
