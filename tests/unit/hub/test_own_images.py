"""Which images of people's own go when they are too many."""

from dataclasses import replace

import pytest

from quaderno.config import Config
from quaderno.hub import own_images
from quaderno.hub.own_images import Here, Use

HERE = Here(
    sizes={"a": 10, "b": 20, "c": 30, "built": 40, "operators": 1000},
    from_registry=frozenset({"a", "b", "c", "operators"}),
    used=frozenset(),
    ours={},
)
REGISTER = {
    "c": Use("r/c:1", 3),
    "a": Use("r/a:1", 1),
    "b": Use("r/b:1", 2),
    "built": Use("built:1", 0),
}


@pytest.mark.parametrize(
    ("budget", "gone"),
    [(100, []), (99, ["a"]), (90, ["a"]), (89, ["a", "b"]), (0, ["a", "b", "c"])],
)
def test_the_least_recently_used_go_first(budget: int, gone: list[str]) -> None:
    assert own_images.surplus(REGISTER, HERE, (), budget) == gone


def test_what_is_used_stays_and_counts() -> None:
    here = replace(HERE, used=frozenset({"a"}))
    assert own_images.surplus(REGISTER, here, (), 90) == ["b"]


def test_the_catalogue_stays_and_does_not_count() -> None:
    assert own_images.surplus(REGISTER, HERE, ("c",), 70) == []
    assert own_images.surplus(REGISTER, HERE, ("c",), 0) == ["a", "b"]


def test_a_look_notes_use_and_forgets_what_has_gone() -> None:
    here = replace(HERE, ours={"b": "r/b:1"}, sizes={"b": 20, "c": 30})
    noted = own_images.after_look(REGISTER, here, 9.5)
    assert noted == {"b": Use("r/b:1", 9.5), "c": Use("r/c:1", 3)}
    assert own_images.parse(own_images.dump(noted)) == noted


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": {"reference": "x"}}'])
def test_a_broken_register_is_told_from_an_empty_one(text: str) -> None:
    with pytest.raises(ValueError):
        own_images.parse(text)


def test_the_service_gets_the_engine_and_nothing_else(config: Config) -> None:
    environment = {"QUADERNO_CONFIG": "/q.yaml", "DOCKER_HOST": "tcp://e:1", "OTHER": "x"}
    (service,) = own_images.services(config, environment)
    assert service["environment"] == {"QUADERNO_CONFIG": "/q.yaml", "DOCKER_HOST": "tcp://e:1"}
    assert "api_token" not in service


def test_without_a_limit_nothing_is_removed(config: Config) -> None:
    servers = config.servers.model_copy(update={"own_images_size": 0})
    assert own_images.services(config.model_copy(update={"servers": servers}), {}) == []
