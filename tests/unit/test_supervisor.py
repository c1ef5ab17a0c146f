"""supervisord's configuration, and what a component's process gets."""

import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quaderno import process, supervisor
from quaderno.config import Config, generate
from quaderno.errors import ComponentError


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return generate(tmp_path / "a%b c")


def test_each_component_is_a_program_that_is_restarted_for_ever(config: Config) -> None:
    parser = configparser.RawConfigParser()
    parser.read_string(supervisor.render(config, ["edge", "hub"]))
    programs = [section for section in parser.sections() if section.startswith("program:")]
    assert programs == ["program:edge", "program:hub"]
    hub = parser["program:hub"]
    assert hub["command"].endswith(f'quaderno" run hub --dir "{config.dir}"'.replace("%", "%%"))
    assert hub["autorestart"] == "true"
    assert int(hub["startretries"]) > 10**8
    assert parser["program:edge"]["priority"] < hub["priority"]
    assert parser["unix_http_server"]["chmod"] == "0700"
    assert parser["supervisord"]["umask"] == "027"


def test_environment_is_minimal_and_keeps_what_the_host_needs(config: Config) -> None:
    source = {
        "SECRET": "x", "PYTHONPATH": "/x", "SSL_CERT_FILE": "/ca.pem", "TZ": "UTC",
        "https_proxy": "http://proxy:3128", "no_proxy": "example.org",
    }  # fmt: skip
    kept = process.base_environment(config, source)
    assert set(kept) == {
        "PATH", "LANG", "SSL_CERT_FILE", "TZ", "https_proxy", "no_proxy", "NO_PROXY"
    }  # fmt: skip
    assert kept["no_proxy"] == "example.org,127.0.0.1,localhost,::1,10.213.0.1"
    assert process.base_environment(config, kept) == kept


def test_a_failed_command_is_told_in_its_own_words(config: Config) -> None:
    program = (
        "import sys; sys.stderr.write('noise\\nerror: it broke\\nhint: mend it\\n'); sys.exit(1)"
    )
    with pytest.raises(ComponentError) as failure:
        process.call(["python3", "-c", program], {"PATH": os.environ["PATH"]})
    assert (failure.value.message, failure.value.hint) == ("it broke", "mend it")


def test_a_silent_failure_names_the_program() -> None:
    with pytest.raises(ComponentError, match="false failed without a word"):
        process.call(["/bin/false"], {})


HOLDER = """
import os, sys
from pathlib import Path
from quaderno import config, process
process.take_lock(config.generate(Path(sys.argv[1])), "edge")
print("taken", flush=True)
os.execvp("sleep", ["sleep", "60"])
"""


def test_a_lock_outlives_exec_and_keeps_others_out(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "LOCK_DEADLINE", 0.1)
    lock = process.lock_path(config, "edge")
    command = [sys.executable, "-c", HOLDER, str(config.dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout
            assert child.stdout.readline() == "taken\n"
            with pytest.raises(ComponentError, match=f"edge runs already .process {child.pid}"):
                process.take_lock(config, "edge")
            assert process.holders(lock) == [child.pid]
        finally:
            child.kill()
    assert process.holders(lock) == []


def test_up_and_down_exclude_each_other(config: Config) -> None:
    with (
        process.exclusively(config),
        pytest.raises(ComponentError, match="at work here"),
        process.exclusively(config),
    ):
        pass
    with process.exclusively(config):
        pass
