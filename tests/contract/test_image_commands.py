"""`quaderno image`: images that people made, good and bad, checked, built, adapted and listed."""

import io
import json
import re
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
from quaderno.errors import HostError
from quaderno.hub import server
from quaderno.images import build, host, parent

GUIDE = Path(__file__).parents[2] / "docs" / "user" / "images.md"
Check = Callable[..., dict[str, Any]]
Made = Callable[..., str]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of an instance whose base image is built."""
    directory = tmp_path_factory.mktemp("images")
    init.write(directory)
    build.build_base(configuration.load(directory), print)
    return directory


@pytest.fixture
def base(instance: Path) -> str:
    """The base image's reference."""
    return build.base_reference(configuration.load(instance))


@pytest.fixture(scope="module")
def minimal(instance: Path) -> str:
    """The minimal image's reference, once it is built."""
    command = ["image", "build", "--minimal", "--dir", str(instance)]
    result = CliRunner().invoke(cli.app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return build.base_reference(configuration.load(instance), "minimal")


@pytest.fixture
def tag(engine: docker.DockerClient) -> Iterator[str]:
    """A name for an image, which is gone afterwards."""
    tag = new_tag()
    yield tag
    engine.images.remove(tag, force=True)


@pytest.fixture
def made(engine: docker.DockerClient, base: str) -> Iterator[Made]:
    """Builds an image from the lines that follow the base image's; afterwards it is gone."""
    with ExitStack() as stack:

        def made(lines: str, origin: str = base) -> str:
            tag = new_tag()
            dockerfile = io.BytesIO(f"FROM {origin}\n{lines}\n".encode())
            engine.images.build(fileobj=dockerfile, tag=tag, rm=True)
            stack.callback(engine.images.remove, tag, force=True)
            return tag

        yield made


def new_tag() -> str:
    return f"quaderno-test/image:{secrets.token_hex(4)}"


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
    assert "quaderno image adapt" in result.output
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


# --- building


def example(heading: str, directory: Path, base: str) -> None:
    """Write the files of an example of the guide: each is named before its text."""
    section = GUIDE.read_text().split(f"### {heading}\n")[1].split("\n### ")[0]
    files = re.findall(r"`\w+/([\w.]+)`.*?```\w+\n(.*?)```", section, re.DOTALL)
    for name, text in files:
        directory.joinpath(name).write_text(re.sub("FROM quaderno/base:.*", f"FROM {base}", text))


def test_the_guides_example_is_built_checked_and_offered(
    engine: docker.DockerClient, instance: Path, base: str, tag: str, tmp_path: Path
) -> None:
    example("A machine-learning environment from PyPI", tmp_path, base)
    assert {path.name for path in tmp_path.iterdir()} == {"Dockerfile", "requirements.txt"}
    command = ["image", "build", str(tmp_path), "--tag", tag, "--dir", str(instance)]
    options = ["--add", "ml", "--display-name", "Machine learning"]
    result = CliRunner().invoke(cli.app, [*command, *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "RUN --mount=type=secret" in result.output, "progress is told"
    assert f"{tag} keeps the contract." in result.output
    offered = configuration.load(instance).servers.images
    assert [(image.name, image.reference) for image in offered[1:]] == [("ml", tag)]
    program = "from sklearn.linear_model import Ridge; print(Ridge().fit([[1], [2]], [1, 2]).score)"
    engine.containers.run(tag, ["python", "-c", program], remove=True)
    _holds_no_secret(engine, tag)


def _holds_no_secret(engine: docker.DockerClient, tag: str) -> None:
    """What a build may read is in no file of the image."""
    script = "cat /run/secrets/*; pip config list; env"
    seen = engine.containers.run(tag, ["sh", "-c", script], remove=True)
    assert b"CERTIFICATE" not in seen
    assert b"index-url" not in seen
    assert host.CA_SECRET.encode() not in seen
    assert host.CA_SECRET not in str(engine.images.get(tag).attrs["Config"])


def test_an_image_that_does_not_conform_is_not_offered(
    instance: Path, base: str, tag: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(f'FROM {base}\nCMD ["false"]\n')
    command = ["image", "build", str(tmp_path), "--tag", tag, "--dir", str(instance)]
    result = CliRunner().invoke(cli.app, [*command, "--add", "bad"], catch_exceptions=False)
    assert result.exit_code == 1
    assert "error start: it ended with code 1" in result.output
    assert "bad" not in [image.name for image in configuration.load(instance).servers.images]


def test_an_image_from_elsewhere_is_adapted(
    engine: docker.DockerClient, instance: Path, made: Made, tag: str
) -> None:
    """Like one of the Jupyter Docker Stacks: JupyterLab for others, by a script of its own."""
    script = '#!/bin/sh\\nFROM_SCRIPT=yes exec "$@"\\n'
    source = made(
        "USER root\n"
        "RUN pip uninstall --yes quaderno-server\n"
        f"RUN printf '{script}' > /usr/local/bin/start.sh && chmod 755 /usr/local/bin/start.sh\n"
        'LABEL quaderno.contract=""\n'
        "ENV JUPYTERHUB_ROOT_DIR= AWS_CONFIG_FILE= HOME=/root\n"
        'WORKDIR /root\nENTRYPOINT ["tini", "--", "start.sh"]\nCMD ["start-notebook.py"]'
    )
    command = ["image", "adapt", source, "--tag", tag, "--dir", str(instance)]
    result = CliRunner().invoke(cli.app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "warning" not in result.output
    assert f"{tag} keeps the contract." in result.output
    seen = engine.containers.run(tag, ["sh", "-c", "id -u; pwd; echo $FROM_SCRIPT"], remove=True)
    assert seen.split() == [b"1000", b"/workarea", b"yes"]


def test_a_plain_python_image_is_adapted(
    engine: docker.DockerClient, instance: Path, minimal: str, tag: str, tmp_path: Path
) -> None:
    """Debian with a virtual environment: Python from the minimal image, and nothing of Jupyter."""
    (tmp_path / "Dockerfile").write_text(
        f"FROM {parent.PARENT}\nCOPY --from={minimal} /usr /usr\nRUN python3 -m venv /opt/venv\n"
        'ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin\nCMD ["python3"]\n'
    )
    options = ["--tag", tag, "--dir", str(instance)]
    plain = CliRunner().invoke(cli.app, ["image", "build", str(tmp_path), *options])
    assert plain.exit_code == 1
    assert "Adapt it: quaderno image adapt" in plain.output
    command = ["image", "adapt", tag, *options]
    result = CliRunner().invoke(cli.app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "warning" not in result.output
    assert f"{tag} keeps the contract." in result.output
    script = (
        "command -v python3 quaderno-packages; python3 -c 'from quaderno_server import additions;"
        "print(additions.ensure(additions.directory()))'"
    )
    seen = engine.containers.run(tag, ["bash", "-lc", script], remove=True).decode().split()
    assert seen[:2] == ["/opt/venv/bin/python3", "/opt/venv/bin/quaderno-packages"]
    assert seen[2].startswith("/workarea/local/environments/python3")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (parent.PARENT, "has no Python 3 with pip"),
        ("quaderno-test/none:1", "is not on this machine and cannot be pulled"),
    ],
)
def test_what_cannot_be_adapted_is_said_before_a_build(
    instance: Path, base: str, source: str, words: str
) -> None:
    command = ["image", "adapt", source, "--tag", new_tag(), "--dir", str(instance)]
    result = CliRunner().invoke(cli.app, command)
    assert isinstance(result.exception, HostError)
    assert words in result.exception.message
    assert "step" not in result.output


def test_the_minimal_image_conforms_and_is_small(
    engine: docker.DockerClient, minimal: str, check: Check
) -> None:
    assert wrong(check(minimal, "--no-network")) == {}
    image = engine.images.get(minimal)
    assert image.attrs["Size"] < 600_000_000
    assert image.labels["org.opencontainers.image.description"] == "JupyterLab"
