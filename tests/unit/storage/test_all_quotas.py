"""Which buckets get which quota, by their names alone."""

from pathlib import Path

from quaderno import config as configuration
from quaderno.storage import all_quotas
from quaderno.storage.seaweedfs_quota import Bucket

CONFIG = configuration.generate(Path("/q"))
LIMIT = CONFIG.store.further_quota


def bucket(name: str, made: int = 0, quota: int = 0) -> Bucket:
    return Bucket(name, f"2030-01-01T00:00:{made:02}Z", quota)


def test_the_first_of_further_buckets_hold_what_they_may_and_the_rest_next_to_nothing() -> None:
    most = CONFIG.store.further_buckets
    theirs = [bucket(f"ada--{number}", made=60 - number) for number in range(most + 2)]
    others = [bucket("bob--1"), bucket("bob--2", quota=LIMIT), bucket("ada"), bucket("scratch")]
    found = dict(all_quotas.of_further(CONFIG, [*theirs, *others]))
    assert found == {
        **{f"ada--{number}": LIMIT for number in range(2, most + 2)},
        **{f"ada--{number}": all_quotas.LEAST for number in range(2)},
        "bob--1": LIMIT,
    }


def test_a_change_of_the_settings_is_followed() -> None:
    none = CONFIG.store.model_copy(update={"further_buckets": 0})
    few = CONFIG.store.model_copy(update={"further_quota": 3_000_000})
    there = [bucket("ada--1", quota=LIMIT)]
    changed = {
        store: dict(all_quotas.of_further(CONFIG.model_copy(update={"store": settings}), there))
        for store, settings in {"none": none, "few": few, "same": CONFIG.store}.items()
    }
    assert changed == {"none": {"ada--1": 2**20}, "few": {"ada--1": 3 * 2**20}, "same": {}}


def test_personal_buckets_without_a_quota_are_found_and_no_others() -> None:
    there = [
        *map(bucket, ("ada", "u--bob-40x", "scratch", ".system", "quaderno", "ada--1", "x--y")),
        bucket("carl", quota=5),
    ]
    assert all_quotas.without(CONFIG, there) == ["ada", "u--bob-40x"]
