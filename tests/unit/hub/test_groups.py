"""What an identity provider says of somebody's groups, whoever it is and whatever it says."""

import asyncio
from typing import Any

import pytest

from quaderno import config as configuration
from quaderno.config import Config
from quaderno.config.sections import Oidc, Store
from quaderno.hub.authenticator import QuadernoAuthenticator


def authenticator(config: Config, **oidc: Any) -> QuadernoAuthenticator:
    settings = config.oidc.model_dump() | oidc
    config = config.model_copy(update={"oidc": Oidc.model_validate(settings)})
    groups = set(config.oidc.allowed_groups)
    return QuadernoAuthenticator(
        quaderno=config, manage_groups=True, allow_all=False, allowed_groups=groups
    )


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return configuration.generate(tmp_path_factory.mktemp("c"))


def groups(config: Config, claim: str, claims: dict[str, Any]) -> set[str]:
    hub = authenticator(config, groups_claim=claim)
    return asyncio.run(hub.get_user_groups({hub.user_auth_state_key: claims}))


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("groups", {"groups": ["dev/ml", "ops"]}),  # INDIGO IAM
        ("wlcg.groups", {"wlcg.groups": ["/dev/ml", "/ops"]}),  # INDIGO IAM, WLCG profile
        ("realm_access.roles", {"realm_access": {"roles": ["dev/ml", "ops"]}}),  # Keycloak
        ("wlcg.groups", {"wlcg": {"groups": ["ops", "/dev/ml", "dev/ml"]}}),
    ],
)
def test_the_same_groups_however_they_are_said(
    config: Config, claim: str, claims: dict[str, Any]
) -> None:
    assert groups(config, claim, claims) == {"/dev/ml", "/ops"}


@pytest.mark.parametrize(
    "said",
    [
        None, "/quaderno/admins", "/dev,/quaderno/admins", "/dev /quaderno/admins",
        {"/quaderno/admins": True}, 7, [["/quaderno/admins"]], [{"name": "/quaderno/admins"}],
        ["", "/", "//", None, 7, True], ["/quaderno/admins\n", "/quaderno/admins\x00", "x" * 256],
    ],
)  # fmt: skip
def test_what_is_no_list_of_names_is_no_group(config: Config, said: Any) -> None:
    assert groups(config, "groups", {"groups": said}) == set()


def test_a_name_with_separators_in_it_is_one_group(config: Config) -> None:
    said = ["/dev,/quaderno/admins", "/dev /quaderno/admins"]
    assert groups(config, "groups", {"groups": said}) == set(said)


def test_thousands_of_groups_are_thousands(config: Config) -> None:
    assert len(groups(config, "groups", {"groups": [f"/g/{n}" for n in range(5000)]})) == 5000


@pytest.mark.parametrize("written", ["ops", "/ops"])
def test_settings_say_them_either_way(written: str) -> None:
    assert Oidc(client_secret="x", allowed_groups=[written]).allowed_groups == ["/ops"]
    store = Store(sts_signing_key="", group_quotas={written: "8M"})
    assert store.quota_of(["/ops"]) == 8 << 20


@pytest.mark.parametrize(
    ("subject", "group", "admitted"),
    [("s-1", "/dev", False), ("s-1", "/ops", True), ("s-2", "/dev", True), (None, "/dev", False)],
)
def test_people_come_in_by_group_or_by_subject(
    config: Config, subject: str | None, group: str, admitted: bool
) -> None:
    hub = authenticator(config, allowed_groups=["ops"], allowed_subjects=["s-2"])
    state = {hub.user_auth_state_key: {"sub": subject, "preferred_username": "s-2"}}
    model = {"name": "ada", "groups": [group], "admin": None, "auth_state": state}
    assert asyncio.run(hub.check_allowed("ada", model)) is admitted
