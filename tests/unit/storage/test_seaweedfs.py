"""The store's generated files and arguments."""

import json
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quaderno import config as configuration
from quaderno import names
from quaderno.storage import seaweedfs, trust

CONFIG = configuration.generate(Path("/q"))


@pytest.mark.parametrize("claim", ["preferred_username", trust.MAPPED_CLAIM])
def test_roles_are_confined_to_their_claim(claim: str) -> None:
    (policy,) = [
        policy["document"]
        for policy in seaweedfs.iam_settings(CONFIG)["policies"]
        if f"jwt:{claim}" in str(policy)
    ]
    writable = [
        resource
        for statement in policy["Statement"]
        if statement["Effect"] == "Allow"
        if {"s3:PutObject", "s3:CreateBucket"} & set(statement["Action"])
        for resource in statement["Resource"]
    ]
    assert len(writable) == 6
    assert all(f"${{jwt:{claim}}}" in resource for resource in writable)
    actions = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert not [action for action in actions if "*" in action or "Acl" in action]
    assert "s3:ListAllMyBuckets" not in actions
    for action in ("s3:DeleteBucket", "s3:PutBucketPolicy"):
        allowed = [s["Resource"] for s in policy["Statement"] if action in s["Action"]]
        assert allowed == [[f"arn:aws:s3:::${{jwt:{claim}}}--*"]]


def test_guests_may_nothing_but_see_what_is_shared_with_them() -> None:
    settings = seaweedfs.iam_settings(CONFIG)
    (policy,) = [p["document"] for p in settings["policies"] if "Guest" in p["name"]]
    (statement,) = policy["Statement"]
    assert statement["Action"] == ["s3:ListBucket"]
    assert statement["Resource"] == ["arn:aws:s3:::quaderno"]
    assert statement["Condition"] == {"StringLike": {"s3:prefix": ["${jwt:quaderno_guest}/*"]}}
    (role,) = [r for r in settings["roles"] if "Guest" in r["roleName"]]
    (trusted,) = role["trustPolicy"]["Statement"]
    assert trusted["Principal"] == {"Federated": "quaderno-hub"}


def test_without_sharing_nobody_writes_a_policy_and_those_that_are_there_can_be_deleted() -> None:
    def allowed(config: configuration.Config) -> set[str]:
        statements = seaweedfs.user_policy(config, "preferred_username")["Statement"]
        return {action for each in statements for action in each["Action"]}

    store = CONFIG.store.model_copy(update={"sharing": False})
    closed = CONFIG.model_copy(update={"store": store})
    assert allowed(CONFIG) - allowed(closed) == {"s3:PutBucketPolicy"}
    assert {"s3:GetBucketPolicy", "s3:DeleteBucketPolicy"} <= allowed(closed)
    roles = [role["roleArn"] for role in seaweedfs.iam_settings(closed)["roles"]]
    assert closed.guest_role_arn not in roles
    assert "quaderno/" not in json.dumps(seaweedfs.user_policy(closed, "preferred_username"))


def test_without_further_buckets_there_is_nothing_of_them_in_the_policy() -> None:
    none = CONFIG.store.model_copy(update={"further_buckets": 0})
    config = CONFIG.model_copy(update={"store": none})
    policy = seaweedfs.user_policy(config, "name")
    assert "--" not in json.dumps(policy)
    assert not config.shares_buckets
    assert "Guest" not in json.dumps(seaweedfs.iam_settings(config))


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


def is_trusted(claim: str) -> bool:
    """Whether the role for plain names is open to `claim`, as SeaweedFS matches patterns: octets,
    with case, `?` for one and `*` for any."""
    octets = claim.encode("utf-8", "surrogatepass").decode("latin-1")
    octets = octets.replace("[", "\x00")  # which Python's patterns know besides
    refused = False
    for statement in trust.plain_names(CONFIG)["Statement"]:
        conditions = statement["Condition"]
        assert conditions.keys() <= {"StringNotLike", "StringNotEquals"}
        meets = not any(
            fnmatchcase(octets, pattern)
            for patterns in conditions["StringNotLike"].values()
            for pattern in patterns
        ) and claim not in conditions.get("StringNotEquals", {}).get("oidc:preferred_username", ())
        refused |= meets == (statement["Effect"] == "Deny")
    return not refused


@settings(deadline=None)
@given(
    st.one_of(
        st.text(max_size=45),
        st.text(alphabet="abzK09-*?\u212a\u0130\u017f", max_size=42),
        st.from_regex("[a-z][a-z0-9]{2,30}(-[a-z0-9]{1,5})?", fullmatch=True),
    )
)
def test_who_is_trusted_by_the_providers_word_has_a_plain_name(claim: str) -> None:
    """So no policy ever has `*`, `?` or a letter in it that is another one's other case."""
    if names.username_problem(claim) is None:
        assert is_trusted(claim)
    elif is_trusted(claim):  # and what may be opened besides is nobody's
        assert not set(claim) - set(names.PLAIN_CHARACTERS)
        assert not names.is_mapped(claim)
        assert names.owner(names.further_prefix(claim) + "x") == (claim, "x")
        assert claim not in names.RESERVED


@pytest.mark.parametrize("claim", ["u", "h", "u-", "ada-"])
def test_nobody_is_trusted_whose_further_buckets_would_be_others(claim: str) -> None:
    assert is_trusted("ada")
    assert not is_trusted(claim)
