"""A program in a container that its person controls: it must not hold up, flood or fool the hub."""

import threading
import time
from collections.abc import Iterator

import docker
import pytest
from docker.errors import NotFound

from quaderno import config as configuration
from quaderno.hub import inside, leaving
from quaderno.hub.inside import InsideError, NoProgramError
from quaderno.images import build
from tests.contract.storage_fixtures import eventually

PATIENCE = 120.0  # seconds


@pytest.fixture(scope="module")
def client() -> Iterator[docker.APIClient]:
    with docker.APIClient() as client:
        yield client


@pytest.fixture(scope="module")
def container(client: docker.APIClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server's container, without the server."""
    config = configuration.generate(tmp_path_factory.mktemp("image"))
    build.build_base(config, print)
    made: str = client.create_container(
        build.base_reference(config), ["sleep", "infinity"], user="1000:100",
        environment={"JUPYTERHUB_USER": "anna"},
    )["Id"]  # fmt: skip
    client.start(made)
    yield made
    client.remove_container(made, force=True, v=True)


def test_it_runs_as_the_person_with_their_environment(
    client: docker.APIClient, container: str
) -> None:
    command = ["sh", "-c", "id -u; pwd; echo $JUPYTERHUB_USER; echo not-this >&2"]
    assert inside.run(client, container, command, PATIENCE) == b"1000\n/workarea\nanna\n"


@pytest.mark.parametrize("missing", ["quaderno-nothing", "/etc/hostname"])
def test_an_image_may_not_have_it(client: docker.APIClient, container: str, missing: str) -> None:
    with pytest.raises(NoProgramError):
        inside.run(client, container, [missing], PATIENCE)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 3", "ended with code 3"),
        ("kill -9 $$", "ended with code 137"),
        ("head -c 2000000 /dev/zero; sleep 1000", "more than 1048576 bytes"),
    ],
)
def test_it_may_fail_in_any_way(
    client: docker.APIClient, container: str, script: str, words: str
) -> None:
    with pytest.raises(InsideError, match=words):
        inside.run(client, container, ["sh", "-c", script], PATIENCE)


@pytest.mark.parametrize("script", ["sleep 1000", "echo begun; sleep 1000"])
def test_it_may_take_for_ever(client: docker.APIClient, container: str, script: str) -> None:
    threads = threading.active_count()
    begun = time.monotonic()
    with pytest.raises(InsideError, match="did not answer within 1 s"):
        inside.run(client, container, ["sh", "-c", script], 1)
    assert time.monotonic() - begun < 60, "and not as long as the program takes"
    eventually(lambda: threading.active_count() <= threads, 60, "nobody waits for it any more")


def test_the_container_may_be_paused_or_gone(client: docker.APIClient, container: str) -> None:
    client.pause(container)
    try:
        with pytest.raises(InsideError, match="paused"):
            inside.run(client, container, ["true"], PATIENCE)
    finally:
        client.unpause(container)
    with pytest.raises(NotFound):
        inside.run(client, "quaderno-test-none", ["true"], PATIENCE)


def test_down_says_what_became_of_the_files(client: docker.APIClient, container: str) -> None:
    def said(name: str = container) -> str:
        return leaving.keep(client, name, 10**9)[1]

    assert said() == ""
    inside.run(client, container, ["sh", "-c", "echo hello > a.txt"], PATIENCE)
    assert said() == (f"{container}: 0 files (0 bytes) copied, 1 file (6 bytes) lost"), (
        "nothing is mounted at cloud_storage"
    )
    inside.run(client, container, ["mkdir", "cloud_storage/anna"], PATIENCE)
    assert said().startswith(f"{container}: 1 file (6 bytes) copied to cloud_storage/anna/saved/")
    assert "not known" in said("quaderno-test-none")


def test_the_images_own_files_are_not_peoples(client: docker.APIClient, container: str) -> None:
    """As the overlay file system tells them apart: by the time of their inodes."""
    listed = inside.run(client, container, ["quaderno-workarea", "list"], PATIENCE).decode()
    assert "examples/" not in listed
    change = "echo '# mine' >> examples/s3_boto3.py; cp -a examples/s3_oidc_agent.py copy.py"
    inside.run(client, container, ["sh", "-c", change], PATIENCE)
    listed = inside.run(client, container, ["quaderno-workarea", "list"], PATIENCE).decode()
    assert "examples/s3_boto3.py" in listed
    assert "examples/s3_oidc_agent.py" not in listed
    assert "copy.py" in listed, "whatever its time stamp says"
