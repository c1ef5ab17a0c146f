"""The agent's figures for Prometheus."""

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from quaderno.storage import metrics
from quaderno.storage.cache_disk import CacheDisk

DISK = CacheDisk(total=100 << 30, free=5000, held=1 << 29, reserve=2 << 30)


def person(state: str = "READY", level: str = "ok", **more: Any) -> dict[str, Any]:
    described = {"state": state, "level": level, "refused": [], "rescued": 0, "read_only": False}
    described |= {"quota": None}
    return described | {"pending": {"files": 0, "bytes": 0, "oldest": None}} | more


def values(*people: dict[str, Any]) -> dict[str, float]:
    text = metrics.exposition(people, DISK).decode()
    return {
        "/".join([sample.name.removeprefix("quaderno_storage_"), *sample.labels.values()]): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_nobody() -> None:
    found = values()
    assert found["people_by_state/READY"] == found["pending_oldest_seconds"] == 0


def test_everybody_is_summed_up() -> None:
    found = values(
        person(),
        person(level="busy", pending={"files": 2, "bytes": 10, "oldest": 3.5}),
        person(
            state="DRAINING",
            level="error",
            pending={"files": 1, "bytes": 5, "oldest": 70.0},
            refused=[{"path": "ada/x", "reason": "no"}],
            rescued=4,
            read_only=True,
        ),
    )
    assert found["people_by_state/READY"] == 2
    assert found["people_by_state/DRAINING"] == 1
    assert found["people_by_level/ok"] == 1
    assert (found["pending_files"], found["pending_bytes"]) == (3, 15)
    assert found["pending_oldest_seconds"] == 70
    assert (found["refused_files"], found["rescued_files"], found["read_only_people"]) == (1, 4, 1)


def test_the_disk_of_the_caches() -> None:
    found = values()
    assert found["cache_disk_free_bytes"] == 5000
    assert found["cache_disk_ballast_missing_bytes"] == 1 << 29


def test_quotas() -> None:
    def using(used: int, limit: int, *, full: bool = False) -> dict[str, Any]:
        return person(quota={"used": used, "limit": limit, "full": full})

    found = values(using(79, 100), using(80, 100), using(100, 100, full=True), using(7, 0))
    assert (found["used_bytes"], found["quota_bytes"]) == (266, 300)
    assert (found["quota_near_people"], found["quota_full_people"]) == (2, 1)


def test_nobody_is_named() -> None:
    assert b"ada" not in metrics.exposition([person(user="ada")], DISK)
