"""Images of which those for servers are made, as an engine tells of them."""

from typing import Any, ClassVar, cast

import docker
import pytest
import requests

from quaderno.errors import HostError
from quaderno.images.source import ensure_source


class Image:
    """An engine that has one image; a container of it says `said`, or never ends."""

    attrs: ClassVar = {"Architecture": "amd64"}

    def __init__(self, said: bytes | None) -> None:
        self.said, self.removed = said, False
        self.images = self.containers = self

    def version(self) -> dict[str, str]:
        return {"Arch": "amd64"}

    def get(self, _: str) -> "Image":
        return self

    def create(self, *_: Any, **__: Any) -> "Image":
        return self

    def start(self) -> None:
        """It runs."""

    def wait(self) -> None:
        if self.said is None:
            raise requests.ReadTimeout

    def logs(self, **_: Any) -> bytes:
        assert self.said is not None
        return self.said

    def remove(self, **_: Any) -> None:
        self.removed = True


def look_at(image: Image) -> None:
    ensure_source(cast("docker.DockerClient", image), "lab/a:1", lambda _: None)


def test_an_image_may_say_more_than_was_asked() -> None:
    image = Image(b"Welcome to lab 7!\n3 12\n")
    look_at(image)
    assert image.removed


@pytest.mark.parametrize("said", [b"", b"Welcome!\n", b"\xff 3 12", b"3 12 final", None])
def test_an_image_that_says_nothing_of_its_python_is_refused(said: bytes | None) -> None:
    image = Image(said)
    with pytest.raises(HostError, match="no Python 3 with pip"):
        look_at(image)
    assert image.removed


def test_a_python_that_is_too_old_is_refused() -> None:
    with pytest.raises(HostError, match=r"has Python 3\.9"):
        look_at(Image(b"3 9\n"))
