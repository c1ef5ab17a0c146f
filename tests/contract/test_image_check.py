"""`quaderno image check`: images that people made, good and bad, started as the hub would."""

import io
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import docker
import pytest
from typer.testing import CliRunner

from quaderno import cli, init, trial
from quaderno import config as configuration
from quaderno.hub import server
from quaderno.images import build, parent

Made = Callable[..., str]
Check = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of an instance whose base image is built."""
    directory = tmp_path_factory.mktemp("check")
    init.write(directory)
    build.build_base(configuration.load(directory), print)
    return directory


@pytest.fixture
def made(engine: docker.DockerClient, instance: Path) -> Iterator[Made]:
    """Builds an image from the lines that follow the base image's; afterwards it is gone."""
    base = build.base_reference(configuration.load(instance))
    with ExitStack() as stack:

        def made(lines: str, origin: str = base) -> str:
            tag = f"quaderno-test/check:{secrets.token_hex(4)}"
            dockerfile = io.BytesIO(f"FROM {origin}\n{lines}\n".encode())
            engine.images.build(fileobj=dockerfile, tag=tag, rm=True)
            stack.callback(engine.images.remove, tag, force=True)
            return tag

        yield made


@pytest.fixture
def check(instance: Path) -> Check:
    """The command's answer; whether it conforms is its exit status, too."""

    def check(image: str, *options: str) -> dict[str, Any]:
        command = ["image", "check", image, "--dir", str(instance), "--json", *options]
        result = CliRunner().invoke(cli.app, command, catch_exceptions=False)
        answer: dict[str, Any] = json.loads(result.output)
        assert result.exit_code == (0 if answer["conforms"] else 1)
        return answer

    return check


def wrong(answer: dict[str, Any]) -> dict[str, str]:
    return {point["id"]: point["level"] for point in answer["points"] if point["level"] != "ok"}


def found(answer: dict[str, Any], point: str) -> str:
    (text,) = (each["found"] for each in answer["points"] if each["id"] == point)
    return str(text)


def test_an_image_made_from_the_base_image_conforms_without_network(
    made: Made, check: Check, engine: docker.DockerClient, instance: Path
) -> None:
    answer = check(made("RUN touch /workarea/examples/mine"), "--no-network")
    assert answer["conforms"]
    assert wrong(answer) == {}
    left: dict[str, Any] = {"label": f"{trial.LABEL}={configuration.load(instance).instance}"}
    assert not engine.containers.list(all=True, filters=left)
    assert not engine.networks.list(filters=left)


def test_what_a_server_can_do_without_is_a_warning(made: Made, check: Check) -> None:
    image = made(
        "RUN rm /opt/quaderno/bin/quaderno-workarea\n"
        'LABEL quaderno.contract=""\nUSER root\nCMD ["jupyterhub-singleuser"]\n'
        "RUN chown root:root /workarea && chmod 755 /workarea"
    )
    answer = check(image)
    assert answer["conforms"]
    assert wrong(answer) == dict.fromkeys(
        ["contract", "user", "directories", "quaderno-server"], "warning"
    )
    assert found(answer, "directories").endswith("cannot write to /workarea")


@pytest.mark.parametrize(
    ("lines", "point", "words"),
    [
        ("LABEL quaderno.contract=2", "contract", "version 2, but this hub needs 1"),
        ('ENTRYPOINT ["no-such-program"]\nCMD ["x"]', "start", "the engine refuses"),
        ('CMD ["sh", "-c", "echo the cause >&2; exit 3"]', "start", "with code 3: the cause"),
        ('CMD ["python", "-m", "http.server", "9999"]', "port", "it listens on port 9999"),
        (
            'CMD ["jupyter", "lab", "--ip=0.0.0.0", "--port=8888", "--IdentityProvider.token=",'
            ' "--ServerApp.base_url=/user/quaderno-check/"]',
            "login",
            "anybody may read",
        ),
    ],
    ids=["version", "program", "ends", "port", "open"],
)
def test_an_image_that_cannot_be_a_server_is_refused(
    made: Made, check: Check, lines: str, point: str, words: str
) -> None:
    patience = "10" if point == "port" else "120"
    answer = check(made(lines), "--no-network", "--timeout", patience)
    assert wrong(answer)[point] == "error"
    assert words in found(answer, point)


def test_an_image_from_an_unrelated_base(made: Made, instance: Path) -> None:
    """As people read it: every reason with its remedy."""
    image = made('CMD ["true"]', parent.PARENT)
    command = ["image", "check", image, "--dir", str(instance)]
    result = CliRunner().invoke(cli.app, command, catch_exceptions=False)
    assert result.exit_code == 1
    assert "warning contract: no label quaderno.contract" in result.output
    assert "docs/user/images.md" in result.output
    assert "warning user: made for root, but servers run as 1000:100" in result.output
    assert "error start: it ended with code 0" in result.output
    assert f"{image} does not keep the contract." in result.output


def test_an_image_that_is_not_here(instance: Path) -> None:
    command = ["image", "check", "quaderno-test/none:1", "--dir", str(instance)]
    result = CliRunner().invoke(cli.app, command)
    assert "there is no image quaderno-test/none:1" in str(result.exception)


def test_the_list_shows_size_contract_and_users(
    engine: docker.DockerClient, instance: Path
) -> None:
    config = configuration.load(instance)
    (image,) = config.servers.images
    container = engine.containers.run(
        image.reference,
        ["sleep", "infinity"],
        detach=True,
        labels=server.labels(config, "anna", ""),
    )
    try:
        command = ["image", "list", "--dir", str(instance)]
        listed = CliRunner().invoke(cli.app, [*command, "--json"], catch_exceptions=False)
        (entry,) = json.loads(listed.output)["images"]
        shown = CliRunner().invoke(cli.app, command, catch_exceptions=False)
    finally:
        container.remove(force=True)
    assert entry["name"] == image.name
    assert entry["present"] is True
    assert entry["contract"] == "1"
    assert entry["size"] > 10**8
    assert entry["used_by"] == ["anna"]
    assert shown.output.splitlines()[1].split()[:3] == [image.name, image.reference, "yes"]
