"""Whose keys the page has, and when it asks for new ones."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from quaderno.config import Config, generate
from quaderno.files.credentials import Credentials
from quaderno.files.problems import PageError


class Hub:
    """Answers with keys that live for `life` seconds, or with `status`; counts the questions."""

    def __init__(self) -> None:
        self.life, self.status = 3600, 200
        self.asked: list[tuple[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.url.path, request.headers["Authorization"]))
        end = datetime.now(UTC) + timedelta(seconds=self.life)
        keys = {"AccessKeyId": f"key-{len(self.asked)}", "SecretAccessKey": "s", "Token": "t"}
        return httpx.Response(self.status, json=keys | {"Expiration": end.isoformat()})


class Stage:
    """Credentials that ask `hub`, with a clock that a test sets."""

    def __init__(self, config: Config) -> None:
        self.hub, self.now = Hub(), 1000.0
        client = httpx.AsyncClient(transport=httpx.MockTransport(self.hub), base_url="http://hub")
        self.credentials = Credentials(config, client, lambda: self.now)

    def key(self, username: str = "ada", token: str = "T", life: float = 600) -> str:  # noqa: S107
        """The access key that they get."""

        async def ask() -> str:
            store = await self.credentials.store(username, token, life)
            return store.keys.access

        return asyncio.run(ask())


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(generate(tmp_path))


def test_keys_are_asked_for_with_the_person_s_token_and_kept(stage: Stage) -> None:
    assert [stage.key(), stage.key()] == ["key-1", "key-1"]
    assert stage.hub.asked == [("/quaderno/users/ada/s3-keys", "token T")]
    assert stage.key("bob", "U") == "key-2"


def test_another_login_gets_keys_of_its_own(stage: Stage) -> None:
    assert [stage.key(token="T"), stage.key(token="U")] == ["key-1", "key-2"]


def test_keys_are_renewed_ahead_of_their_end(stage: Stage) -> None:
    stage.hub.life = 599
    stage.key()
    stage.now += 60
    assert stage.key() == "key-2"


def test_short_keys_are_not_asked_for_with_every_page(stage: Stage) -> None:
    stage.hub.life = 100
    assert [stage.key(), stage.key()] == ["key-1", "key-1"]


def test_a_long_link_gets_fresh_keys(stage: Stage) -> None:
    stage.hub.life = 1000
    stage.key()
    stage.now += 60
    stage.hub.life = 3600
    assert stage.key(life=3000) == "key-2"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_the_old_keys_serve_while_the_hub_has_none(stage: Stage, status: int) -> None:
    stage.hub.life = 599
    stage.key()
    stage.now += 60
    stage.hub.status = status
    assert [stage.key(), stage.key()] == ["key-1", "key-1"]
    assert len(stage.hub.asked) == 2, "not with every page"


def test_without_any_keys_a_sentence_says_so(stage: Stage) -> None:
    stage.hub.status = 503
    with pytest.raises(PageError, match="cannot get your keys now"):
        stage.key()


@pytest.mark.parametrize("status", [401, 403])
def test_the_end_of_a_login_is_told_although_keys_are_left(stage: Stage, status: int) -> None:
    stage.hub.life = 599
    stage.key()
    stage.now += 60
    stage.hub.status = status
    with pytest.raises(PageError, match="Your login has ended"):
        stage.key()


def test_keys_that_have_ended_are_forgotten(stage: Stage) -> None:
    stage.hub.life = -10
    with pytest.raises(PageError):
        stage.key()
    stage.hub.life = 3600
    assert stage.key() == "key-2"


def test_secrets_are_not_shown(stage: Stage) -> None:
    async def shown() -> str:
        return repr((await stage.credentials.store("ada", "T")).keys)

    assert "secret" not in asyncio.run(shown())
