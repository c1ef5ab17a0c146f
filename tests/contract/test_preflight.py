"""What the real engine, and a real registry behind it, say of images that cannot start."""

import asyncio
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from quaderno import config as configuration
from quaderno.config import Config
from quaderno.hub import image_check
from quaderno.hub.preflight import NO_ANSWER, NOT_ASKED, Finding
from tests.service.registry import Registry, running_registry

WITHIN = 60.0  # seconds
NAME = "quaderno-test/image-check"
GOOD = {"quaderno.contract": "1"}

Check = Callable[[str], Finding]


@pytest.fixture(scope="module")
def client() -> Iterator[docker.APIClient]:
    with docker.APIClient() as client:
        yield client


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with running_registry() as registry:
        yield registry


@pytest.fixture
def config(tmp_path: Path, registry: Registry) -> Config:
    """Its registry is one that the operator has named."""
    config = configuration.generate(tmp_path)
    servers = config.servers.model_copy(update={"registries": [registry.address]})
    return config.model_copy(update={"servers": servers})


@pytest.fixture
def check(config: Config, client: docker.APIClient) -> Check:
    return lambda image: asyncio.run(image_check.check(config, ready(client), image, WITHIN))


def ready(client: docker.APIClient) -> image_check.Client:
    async def give() -> docker.APIClient:
        return client

    return give


def load(
    client: docker.APIClient,
    reference: str,
    architecture: str = "",
    labels: dict[str, str] | None = None,
) -> None:
    """Give the engine an image that says this of itself; nothing in it can run."""
    layer = packed({"etc/nothing": b""})
    settings = {
        "architecture": architecture or client.version()["Arch"],
        "os": "linux",
        "config": {"Cmd": ["nothing"], "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    files = {
        "config.json": json.dumps(settings).encode(),
        "manifest.json": json.dumps(manifest).encode(),
        "layer.tar": layer,
    }
    for said in client.load_image(packed(files)):  # type: ignore[no-untyped-call]
        assert "error" not in said, said


def packed(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return target.getvalue()


@pytest.mark.parametrize(
    ("tag", "architecture", "labels", "level", "words"),
    [
        ("good", "", GOOD, "ok", "on this service already"),
        ("unlike", "", None, "warning", "not made from the base image"),
        ("newer", "", {"quaderno.contract": "99"}, "refused", "another version of this service"),
        ("other", "s390x", GOOD, "refused", "of kind s390x"),
    ],
)
def test_an_image_of_the_engine_is_judged_by_what_it_says_of_itself(
    client: docker.APIClient,
    check: Check,
    tag: str,
    architecture: str,
    labels: dict[str, str] | None,
    level: str,
    words: str,
) -> None:
    reference = f"{NAME}:{tag}"
    load(client, reference, architecture, labels)
    try:
        finding = check(reference)
    finally:
        client.remove_image(reference, force=True)
    assert finding.level == level
    assert words in finding.message
    assert finding.message.count(reference) == (level == "refused")


def test_an_image_of_a_registry_is_found_there_or_refused(
    client: docker.APIClient, registry: Registry, check: Check
) -> None:
    for tag, architecture in (("good", ""), ("other", "s390x")):
        pushed = f"127.0.0.1:{registry.behind}/{NAME}:{tag}"
        load(client, pushed, architecture)
        for said in client.push(pushed, stream=True, decode=True):
            assert "error" not in said, said
        client.remove_image(pushed, force=True)
    at = f"{registry.address}/{NAME}"

    registry.errors = 100
    assert check(f"{at}:good") == NO_ANSWER
    registry.behave()
    assert check(f"{at}:good").level == "ok"  # a registry's failure is not remembered
    other = check(f"{at}:other")
    assert (other.level, "of kind s390x" in other.message) == ("refused", True)
    missing = check(f"{at}:missing")
    assert (missing.level, "does not exist" in missing.message) == ("refused", True)


def test_a_registry_that_nobody_named_is_not_asked(registry: Registry, check: Check) -> None:
    assert check(f"127.0.0.1:{registry.behind}/{NAME}:good") == NOT_ASKED


def test_a_registry_that_does_not_answer_is_waited_for_no_longer_than_said(
    config: Config, client: docker.APIClient, registry: Registry
) -> None:
    never = f"{registry.address}/{NAME}:never"
    finding = asyncio.run(image_check.check(config, ready(client), never, 0.0))
    assert finding == NO_ANSWER
