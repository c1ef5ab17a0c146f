"""What a store says about how much a bucket holds."""

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from quaderno import config as configuration
from quaderno.errors import StorageError
from quaderno.storage import seaweedfs_quota, usage
from quaderno.storage.keys import HubKeys
from quaderno.storage.seaweedfs_quota import Volumes


def volume(bucket: str, number: int, size: int, deleted: int = 0) -> dict[str, Any]:
    return {"Collection": bucket, "Id": number, "Size": size, "DeletedByteCount": deleted}


def answer(*nodes: list[dict[str, Any]] | None) -> dict[str, Any]:
    """As the master's: by data centre, rack and node."""
    racks = {"rack": {f"127.0.0.1:{port}": held for port, held in enumerate(nodes)}}
    return {"Volumes": {"DataCenters": {"center": racks}, "Free": 1, "Max": 2}}


def test_the_volumes_of_a_bucket_are_summed_up() -> None:
    held = [volume("ada", 1, 100), volume("ada", 2, 50, deleted=20), volume("bob", 3, 7)]
    assert seaweedfs_quota.by_bucket(answer(held)) == {"ada": 130, "bob": 7}


def test_copies_of_a_volume_count_once() -> None:
    found = seaweedfs_quota.by_bucket(
        answer([volume("ada", 1, 100)], [volume("ada", 1, 110, deleted=40)], None)
    )
    assert found == {"ada": 100}


@pytest.mark.parametrize("nothing", [{}, {"Volumes": {"DataCenters": None}}])
def test_a_master_without_volume_servers_knows_nothing(nothing: dict[str, Any]) -> None:
    with pytest.raises(StorageError, match="knows of no volumes"):
        seaweedfs_quota.by_bucket(nothing)


@pytest.mark.parametrize(
    ("headers", "figures"),
    [
        ({"x-amz-request-id": "1"}, None),
        ({"x-rgw-bytes-used": "12"}, (12, 0)),
        ({"x-rgw-bytes-used": "12", "x-rgw-quota-bucket-size": "-1"}, (12, 0)),
        (
            {
                "x-rgw-bytes-used": "12",
                "x-rgw-quota-bucket-size": "40",
                "x-rgw-quota-user-size": "30",
            },
            (12, 30),
        ),
        ({"x-rgw-bytes-used": "much"}, None),
    ],
)
def test_a_rados_gateway_says_it_in_headers(
    headers: dict[str, str], figures: tuple[int, int] | None
) -> None:
    assert usage.rgw_figures(headers) == figures


class Master:
    """Answers after a while, or fails after it."""

    def __init__(self) -> None:
        self.now, self.lasts, self.asked, self.hangs = 1000.0, 0.0, 0, False

    def get(self, _url: str) -> dict[str, Any]:
        self.asked += 1
        self.now += self.lasts
        if self.hangs:
            raise StorageError("The store does not answer")
        return answer([volume("ada", 1, 100)])


@pytest.fixture
def master(monkeypatch: pytest.MonkeyPatch) -> Master:
    master = Master()
    monkeypatch.setattr(seaweedfs_quota, "_get", master.get)
    monkeypatch.setattr(seaweedfs_quota, "time", SimpleNamespace(monotonic=lambda: master.now))
    return master


def test_a_master_that_hangs_is_not_asked_by_each_person_in_turn(master: Master) -> None:
    volumes = Volumes("http://master")
    master.hangs, master.lasts = True, seaweedfs_quota.PATIENCE
    for _ in range(10):
        with pytest.raises(StorageError, match="does not answer"):
            volumes.used("ada")
    assert master.asked == 1
    master.hangs, master.lasts = False, 0.0
    master.now += 30
    assert volumes.used("ada") == (100, master.now - 8)


def test_what_is_known_serves_nobody_once_the_master_fails(master: Master) -> None:
    """It says nothing of what came since, so that it must not look like a new measurement."""
    volumes = Volumes("http://master")
    assert volumes.used("ada")[0] == 100
    master.now, master.hangs = master.now + 1, True
    with pytest.raises(StorageError):
        volumes.used("ada")


def test_who_waits_for_a_master_that_hangs_is_in_nobodys_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As many as the threads that ballast, looks and /health share, and more."""
    answers = threading.Event()

    def hang(*_: object) -> None:
        answers.wait(120)
        raise StorageError("The store does not answer")

    async def no_keys(*_: object) -> None:
        pass

    async def run() -> None:
        async with httpx.AsyncClient() as client:
            config = configuration.generate(Path("/q"))
            keys = HubKeys(config, client)
            for number in range(50):
                usage.Meter(config, keys, f"user{number}").measure(often=False, urgent=False)
            await asyncio.sleep(0)
            assert await asyncio.wait_for(asyncio.to_thread(lambda: 7), 60) == 7
            answers.set()

    monkeypatch.setattr(HubKeys, "get", no_keys)
    for name in ("ensure_quota", "enforce"):
        monkeypatch.setattr(seaweedfs_quota, name, hang)
    monkeypatch.setattr(Volumes, "used", hang)
    asyncio.run(run())
