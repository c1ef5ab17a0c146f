"""The store's generated files and arguments."""

import json
from pathlib import Path

from quaderno import config as configuration
from quaderno.storage import seaweedfs


def test_the_role_is_confined_to_the_claim() -> None:
    config = configuration.generate(Path("/q"))
    policy = seaweedfs.user_policy(config)
    writable = [
        resource
        for statement in policy["Statement"]
        if {"s3:PutObject", "s3:CreateBucket"} & set(statement["Action"])
        for resource in statement["Resource"]
    ]
    assert len(writable) == 3
    assert all("${jwt:preferred_username}" in resource for resource in writable)
    actions = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert not [action for action in actions if "*" in action or "Acl" in action]
    assert not {"s3:PutBucketPolicy", "s3:ListAllMyBuckets", "s3:DeleteBucket"} & actions


def test_keys_of_tokens_are_asked_of_the_embedded_provider_directly() -> None:
    config = configuration.generate(Path("/q"))
    provider = seaweedfs.iam_settings(config)["providers"][0]["config"]
    assert provider["jwksUri"] == f"http://127.0.0.1:{config.ports.iam_app}/.well-known/jwks.json"
    oidc = config.oidc.model_copy(update={"issuer": "https://iam.example.org"})
    external = config.model_copy(update={"oidc": oidc})
    provider = seaweedfs.iam_settings(external)["providers"][0]["config"]
    assert provider["issuer"] == "https://iam.example.org"
    assert "jwksUri" not in provider


def test_preparing_twice_writes_the_same_secret_file(tmp_path: Path) -> None:
    config = configuration.generate(tmp_path)
    seaweedfs.prepare(config)
    iam = tmp_path / "store" / "iam.json"
    first = iam.read_text()
    seaweedfs.prepare(config)
    assert iam.read_text() == first
    assert json.loads(first) == seaweedfs.iam_settings(config)
    assert iam.stat().st_mode & 0o777 == 0o600
    secret = config.store.sts_signing_key.get_secret_value()
    shown = [*seaweedfs.command(config), *seaweedfs.environment(config).values()]
    assert secret not in " ".join(shown)
