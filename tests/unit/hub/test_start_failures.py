"""The engine's words are real ones, of Docker 20.10 to 29."""

import pytest

from quaderno.hub import start_failures as causes
from quaderno.hub.failures import Cause

ABOUT = {
    "image": "r.example.org/x:1",
    "code": 3,
    "limit": "1.1 GB",
    "seconds": 120,
    "minutes": 60,
    "waiting": 5,
    "why": "0 GB are free",
}
ALL = {name: value for name, value in vars(causes).items() if isinstance(value, Cause)}


@pytest.mark.parametrize(
    ("status", "message", "cause"),
    [
        (
            400,
            "failed to create shim task: OCI runtime create failed: runc create failed: unable to"
            ' start container process: exec: "lab": executable file not found in $PATH: unknown',
            "PROGRAM_MISSING",
        ),
        (
            400,
            "failed to create task for container: OCI runtime create failed: unable to start"
            ' container process: exec: "/lab": stat /lab: no such file or directory: unknown',
            "PROGRAM_MISSING",
        ),
        (
            400,
            'OCI runtime create failed: exec: "/etc/passwd": permission denied: unknown',
            "PROGRAM_MISSING",
        ),
        (
            500,
            "standard_init_linux.go:228: exec user process caused: exec format error",
            "ARCHITECTURE",
        ),
        (400, "Minimum memory limit allowed is 6MB", "ENGINE_REFUSED"),
        (500, "OCI runtime create failed: fork/exec: cannot allocate memory", "TOO_LITTLE_MEMORY"),
        (
            500,
            "error creating overlay mount to /var/lib/docker/overlay2/x/merged: no space left on"
            " device",
            "NO_SPACE",
        ),
        (
            400,
            "invalid mount config for type 'bind': bind source path does not exist: /srv/ada",
            "STORAGE_UNBOUND",
        ),
        (
            500,
            "error while creating mount source path '/srv/ada': mkdir /srv/ada: transport endpoint"
            " is not connected",
            "STORAGE_UNBOUND",
        ),
        (409, 'Conflict. The container name "/q-ada" is already in use', "ENGINE_FAILS"),
        (404, "network q-ada not found", "ENGINE_FAILS"),
        (500, "what no engine has said before", "ENGINE_FAILS"),
        (400, "what no engine has said before", "ENGINE_REFUSED"),
    ],
)
def test_the_engines_words_have_a_cause(status: int, message: str, cause: str) -> None:
    assert causes.refused(message, status) is getattr(causes, cause)


@pytest.mark.parametrize(
    ("code", "how", "cause"),
    [
        (1, {}, "CRASHED"),
        (0, {}, "CRASHED"),
        (137, {}, "CRASHED"),
        (137, {"out_of_memory": True}, "OUT_OF_MEMORY"),
        (127, {"lines": "sh: jupyterhub-singleuser: not found"}, "PROGRAM_MISSING"),
        (1, {"lines": "exec /bin/lab: exec format error"}, "ARCHITECTURE"),
        (137, {"interrupted": True}, "ENGINE_RESTARTED"),
        (1, {"interrupted": True}, "CRASHED"),
    ],
)
def test_the_end_of_a_container_has_a_cause(code: int, how: dict[str, object], cause: str) -> None:
    known = {"out_of_memory": False, "lines": "", "interrupted": False, **how}
    assert causes.ended(code, **known) is getattr(causes, cause)  # type: ignore[arg-type]


AGAIN = {"STORAGE_UNBOUND", "AGENT_SILENT", "ENGINE_SILENT", "ENGINE_FAILS", "ENGINE_RESTARTED"}


def test_only_what_may_pass_is_tried_again() -> None:
    assert {name for name, cause in ALL.items() if cause.again} == AGAIN


@pytest.mark.parametrize("name", ALL)
def test_every_cause_is_a_sentence_with_advice_and_a_reference(name: str) -> None:
    failure = ALL[name].failure("the engine's words", **ABOUT)  # type: ignore[arg-type]
    said = failure.jupyterhub_message
    assert said.count(". ") >= 2
    assert "(Reference " in said
    assert "{" not in said
    assert "the engine's words" not in said
    assert failure.log_message.endswith("the engine's words")


def test_ids_are_distinct() -> None:
    assert len({cause.id for cause in ALL.values()}) == len(ALL)
