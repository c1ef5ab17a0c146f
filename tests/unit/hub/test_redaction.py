import pytest

from quaderno.hub.redaction import HIDDEN, redacted, secrets_in

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("said", "secret"),
    [
        ("http://127.0.0.1:8888/lab?token=0123456789abcdef&a=1", "0123456789abcdef"),
        ("Authorization: token abcdef0123456789", "abcdef0123456789"),
        ("{'Authorization': 'Bearer abcdef.0123456789'}", "abcdef.0123456789"),
        (f"claims of {JWT} expired", JWT),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI/K7MDENG"),
        ('{"SecretAccessKey": "wJalrXUtnFEMI/K7MDENG"}', "wJalrXUtnFEMI/K7MDENG"),
        ("signed with AKIAIOSFODNN7EXAMPLE for S3", "AKIAIOSFODNN7EXAMPLE"),
        ("GET https://s3/x?X-Amz-Signature=fe5f80f77d5fa3be&y=1", "fe5f80f77d5fa3be"),
        ("cloning https://ada:hunter22@git.example.org/x", "hunter22"),
        ("password: correct-horse", "correct-horse"),
        ("the value is 5f2c-of-the-hub today", "5f2c-of-the-hub"),
    ],
)
def test_a_secret_is_hidden_and_the_rest_is_not(said: str, secret: str) -> None:
    shown = redacted(said, ["5f2c-of-the-hub"])
    assert secret not in shown
    assert HIDDEN in shown
    before = said.partition(secret)[0]
    assert shown.startswith(before)


@pytest.mark.parametrize(
    "said",
    [
        "ModuleNotFoundError: No module named 'jupyterlab'",
        "[I 2026-11-24 09:12:00 ServerApp] Serving at http://0.0.0.0:8888/user/ada/",
        "the token endpoint does not answer",
        'Traceback (most recent call last):\n\tFile "lab.py", line 1',
        "Datei nicht gefunden: Übung.ipynb",
    ],
)
def test_ordinary_words_stay(said: str) -> None:
    assert redacted(said) == said


def test_a_terminals_colours_and_control_characters_go() -> None:
    assert redacted("\x1b[31mred\x1b[0m\r\n\x1b]0;title\x07next\x08\x00") == "red\nnext"


def test_secrets_of_an_environment_are_known_by_name() -> None:
    environment = [
        "JUPYTERHUB_API_TOKEN=0123456789abcdef",
        "DB_PASSWORD=hunter22=x",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=/home/jovyan/.quaderno/token",
        "MY_TOKEN=short",
        "PATH=/usr/bin:/bin",
        "EMPTY_SECRET",
    ]
    assert secrets_in(environment) == ["0123456789abcdef", "hunter22=x"]
