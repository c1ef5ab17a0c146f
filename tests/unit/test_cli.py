"""The command line as its user meets it: output, errors in two lines, exit status."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from quaderno import __version__, checks, cli, people, stack, terminal
from quaderno.checks import Finding
from quaderno.errors import ConfigError

Run = Callable[..., subprocess.CompletedProcess[str]]
QUADERNO = str(Path(sys.prefix) / "bin" / "quaderno")


@pytest.fixture
def quaderno(tmp_path: Path) -> Run:
    """The installed program, on a directory of the test's own."""

    def run(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        command = [QUADERNO, "--dir", str(tmp_path), *arguments]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False)

    return run


def test_version() -> None:
    assert CliRunner().invoke(cli.app, ["--version"]).output == f"quaderno {__version__}\n"


def test_every_command_and_option_has_help() -> None:
    import typer

    def walk(command: object, path: str) -> None:
        assert getattr(command, "help", None), path
        for parameter in getattr(command, "params", []):
            if parameter.name != "help":
                assert getattr(parameter, "help", None), f"{path} {parameter.name}"
        for name, child in getattr(command, "commands", {}).items():
            walk(child, f"{path} {name}")

    walk(typer.main.get_command(cli.app), "quaderno")


def test_init_writes_once(quaderno: Run, tmp_path: Path) -> None:
    first = quaderno("init", "--port", "9000")
    assert (first.returncode, first.stderr) == (0, "")
    assert str(tmp_path / "quaderno.yaml") in first.stdout
    second = quaderno("init")
    assert second.returncode == 1
    assert second.stderr.splitlines() == [
        f"error: {tmp_path}/quaderno.yaml exists already",
        "hint: Edit it, or choose another directory with --dir",
    ]


def test_init_refuses_an_address_in_two_lines(quaderno: Run, tmp_path: Path) -> None:
    result = quaderno("init", "--public-url", "hub.example.org")
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"error: {tmp_path}/quaderno.yaml: public_url: "
        "expected http(s)://host[:port], without a path",
        "hint: docs/reference/settings.md lists every setting",
    ]
    assert list(tmp_path.iterdir()) == []


def test_directory_may_be_named_before_or_after_the_command(quaderno: Run, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert quaderno("init", "--dir", str(other)).returncode == 0
    assert (other / "quaderno.yaml").exists()
    assert not (tmp_path / "quaderno.yaml").exists()


@pytest.mark.parametrize(
    "command", [["status"], ["check"], ["down"], ["user", "list"], ["run", "hub"]]
)
def test_without_a_configuration_it_says_how_to_write_one(
    quaderno: Run, tmp_path: Path, command: list[str]
) -> None:
    result = quaderno(*command)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"error: {tmp_path}/quaderno.yaml does not exist",
        "hint: Write one with: quaderno init",
    ]


def test_unknown_setting_is_one_line_before_anything_starts(quaderno: Run, tmp_path: Path) -> None:
    quaderno("init")
    file = tmp_path / "quaderno.yaml"
    file.write_text("limts: 3\n" + file.read_text())
    for command in (["up", "--detach"], ["check"]):
        result = quaderno(*command)
        assert result.returncode == 1
        assert result.stderr.startswith(f"error: {file}: limts: unknown setting")
    assert {path.name for path in tmp_path.iterdir()} == {"quaderno.yaml"}


def test_status_of_a_stopped_instance(quaderno: Run) -> None:
    quaderno("init", "--port", "9100")
    result = quaderno("status", "--json")
    assert result.returncode == 1
    components = json.loads(result.stdout)["components"]
    assert [component["name"] for component in components] == [
        "edge",
        "iam",
        "store",
        "agent",
        "files",
        "hub",
    ]
    for component in components:
        assert list(component) == ["name", "state", "pid", "since", "url", "version"]
        assert (component["state"], component["pid"]) == ("stopped", None)
    table = quaderno("status").stdout
    assert "http://127.0.0.1:9100/hub" in table


def test_down_of_a_stopped_instance_is_fine(quaderno: Run) -> None:
    quaderno("init", "--port", "9100")
    result = quaderno("down")
    assert (result.returncode, result.stdout) == (0, "Quaderno does not run: nothing to do.\n")


def test_unknown_component(quaderno: Run) -> None:
    quaderno("init")
    result = quaderno("run", "hubb")
    assert result.stderr.splitlines() == [
        "error: there is no component 'hubb'",
        "hint: Components are: edge, iam, store, agent, files, hub, director, replication",
    ]


def test_users_of_an_external_provider_are_not_ours(quaderno: Run, tmp_path: Path) -> None:
    quaderno("init")
    file = tmp_path / "quaderno.yaml"
    text = file.read_text().replace("\niam:\n", "\niam:\n  embedded: false\n")
    file.write_text(text.replace("\noidc:\n", "\noidc:\n  issuer: https://iam.example.org\n"))
    result = quaderno("user", "list")
    assert result.returncode == 1
    assert "external identity provider" in result.stderr
    assert "https://iam.example.org" in result.stderr


@pytest.mark.parametrize(("level", "status"), [("error", 1), ("warning", 0)])
def test_check_fails_on_errors_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, status: int
) -> None:
    CliRunner().invoke(cli.app, ["init", "--dir", str(tmp_path)])
    findings = [Finding("some-id", level, "it is [so]", "do this")]  # type: ignore[arg-type]
    monkeypatch.setattr(checks, "run", lambda _: findings)
    result = CliRunner().invoke(cli.app, ["check", "--dir", str(tmp_path)])
    assert result.exit_code == status
    assert f"{level} some-id: it is [so]. do this" in result.output
    as_json = CliRunner().invoke(cli.app, ["check", "--json", "--dir", str(tmp_path)])
    assert json.loads(as_json.output) == [
        {"id": "some-id", "level": level, "problem": "it is [so]", "hint": "do this"}
    ]


def test_up_starts_nothing_when_a_check_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checks, "run", lambda _: [Finding("x", "error", "bad", "mend")])
    monkeypatch.setattr(stack, "up", lambda *_: pytest.fail("it started"))
    monkeypatch.setattr(sys, "argv", ["quaderno", "up", "--dir", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    assert (tmp_path / "quaderno.yaml").exists(), "up writes the configuration by itself"
    assert "nothing was started: 1 problem(s) above" in capsys.readouterr().err


def test_password_is_made_when_nobody_can_be_asked() -> None:
    password, made = people._password(from_stdin=False)
    assert made
    assert len(password) >= 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "DIR", "--tag", "x"], "there is no file DIR/Dockerfile"),
        (["build", "DIR/made"], "the image of DIR/made has no name yet"),
        (["build", "DIR/made", "--tag", "x", "--minimal"], "--minimal is the base image's"),
        (["build", "DIR/made", "--tag", "A b"], "'A b' is not an image reference"),
        (["build", "DIR/made", "--tag", "x", "--add", "A"], "A is no name for an image"),
        (["build", "DIR/made", "--tag", "x", "--add", "base"], "by the name base"),
        (["build", "--tag", "x"], "there is no directory from which to build x"),
        (["adapt", "A b", "--tag", "x"], "'A b' is not an image reference"),
        (["adapt", "x", "--tag", "A b"], "'A b' is not an image reference"),
        (["check", ""], "'' is not an image reference"),
    ],
)
def test_what_no_image_can_be_made_of_is_said_at_once(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    CliRunner().invoke(cli.app, ["init", "--dir", str(tmp_path)])
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "Dockerfile").write_text("FROM scratch\n")
    command = [argument.replace("DIR", str(tmp_path)) for argument in arguments]
    result = CliRunner().invoke(cli.app, ["image", *command, "--dir", str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    assert message.replace("DIR", str(tmp_path)) in result.exception.message
    assert result.exception.hint
    assert result.output == ""


def test_what_a_build_prints_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.progress("jovyan:x:1000:100: [bold]")
    assert capsys.readouterr().out == "· jovyan:x:1000:100: [bold]\n"
