"""Settings that depend on the configuration, each in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from quaderno import config as configuration
from quaderno.iam import component

NAMES = (
    "ALLOWED_HOSTS",
    "SESSION_COOKIE_NAME",
    "SESSION_COOKIE_PATH",
    "SESSION_COOKIE_SECURE",
    "CSRF_COOKIE_SECURE",
    "SECURE_HSTS_SECONDS",
    "MFA_SUPPORTED_TYPES",
    "DEFAULT_FROM_EMAIL",
    "EMAIL_BACKEND",
    "EMAIL_USE_TLS",
    "EMAIL_USE_SSL",
    "EMAIL_HOST_PASSWORD",
)
SCRIPT = f"""
import json
from quaderno.iam import settings
print(json.dumps({{name: getattr(settings, name) for name in {NAMES}}}))
"""


def settings_for(directory: Path, public_url: str, iam_url: str, **email: object) -> dict[str, Any]:
    config = configuration.generate(directory, public_url=public_url)
    config = config.model_copy(
        update={
            "instance": "qtest",
            "iam": config.iam.model_copy(
                update={"public_url": iam_url, "email": config.iam.email.model_copy(update=email)}
            ),
        }
    )
    path = directory / "settings.yaml"
    path.write_text(configuration.dump(config))
    environment = {**os.environ, "QUADERNO_CONFIG": str(path)}
    output = subprocess.check_output([sys.executable, "-c", SCRIPT], env=environment)
    return dict(json.loads(output))


@pytest.mark.parametrize(
    ("public_url", "iam_url", "host", "cookie", "path"),
    [
        (
            "https://nb.example.org",
            "https://iam.example.org",
            "iam.example.org",
            "__Host-qtest-iam-session",
            "/",
        ),
        (
            "https://nb.example.org",
            "https://nb.example.org:8001",
            "nb.example.org",
            "__Secure-qtest-iam-session",
            "/identity/",
        ),
        ("http://[::1]:8000", "http://[::1]:8001", "[::1]", "qtest-iam-session", "/identity/"),
    ],
)
def test_what_the_address_decides(
    tmp_path: Path, public_url: str, iam_url: str, host: str, cookie: str, path: str
) -> None:
    settings = settings_for(tmp_path, public_url, iam_url)
    secure = iam_url.startswith("https")
    assert settings["ALLOWED_HOSTS"] == [host, "127.0.0.1"]
    assert (settings["SESSION_COOKIE_NAME"], settings["SESSION_COOKIE_PATH"]) == (cookie, path)
    assert settings["SESSION_COOKIE_SECURE"] is settings["CSRF_COOKIE_SECURE"] is secure
    assert (settings["SECURE_HSTS_SECONDS"] > 0) is secure
    assert ("webauthn" in settings["MFA_SUPPORTED_TYPES"]) is secure


@pytest.mark.parametrize(
    ("address", "offered"),
    [("http://localhost:8001", True), ("https://192.0.2.1:8001", False), ("http://h:1", False)],
)
def test_passkeys_need_a_name_and_a_connection_that_browsers_trust(
    tmp_path: Path, address: str, offered: bool
) -> None:
    settings = settings_for(tmp_path, address, address)
    assert ("webauthn" in settings["MFA_SUPPORTED_TYPES"]) is offered


@pytest.mark.parametrize(
    ("security", "flags"), [("none", (0, 0)), ("starttls", (1, 0)), ("tls", (0, 1))]
)
def test_how_messages_leave(tmp_path: Path, security: str, flags: tuple[int, int]) -> None:
    password = SecretStr("of-the-server")
    email = {"backend": "smtp", "security": security, "password": password}
    settings = settings_for(tmp_path, "https://h.example", "https://iam.h.example", **email)
    assert settings["EMAIL_BACKEND"].endswith(".smtp.EmailBackend")
    assert (settings["EMAIL_USE_TLS"], settings["EMAIL_USE_SSL"]) == flags
    assert settings["EMAIL_HOST_PASSWORD"] == "of-the-server"
    assert settings["DEFAULT_FROM_EMAIL"] == "quaderno@iam.h.example"


def test_a_missing_configuration_is_one_line(tmp_path: Path) -> None:
    environment = {**os.environ, "QUADERNO_CONFIG": str(tmp_path / "settings.yaml")}
    result = subprocess.run(
        [sys.executable, "-m", "quaderno.iam.manage", "migrate"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_describing_the_component_needs_no_django(tmp_path: Path) -> None:
    check = "import sys, quaderno.iam.component; sys.exit('django' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
    config = configuration.generate(tmp_path, first_port=9000)
    assert component.command(config)[-2:] == ["--bind", "127.0.0.1:9005"]
    assert component.health_url(config) == "http://127.0.0.1:9005/healthz"
    assert all(command[0] == sys.executable for command in component.setup_commands(config))
