"""What two stores that replicate each other do with an object or a bucket that is not well."""

import os
import time

import httpx

from quaderno.storage import seaweedfs_quota
from tests.contract.replication_fixtures import Site
from tests.contract.storage_fixtures import eventually


def test_an_object_that_cannot_be_read_holds_nothing_up(sites: tuple[Site, Site]) -> None:
    bari, cnaf = sites
    bari.write("lost.txt", b"first")
    eventually(lambda: cnaf.read("lost.txt") == b"first", 60, "that they are linked")
    for each in sites:
        each.director.stop()
    bari.write("lost.txt", b"at bari" * 100)
    found = bari.client.get(bari.url("lost.txt"), params={"metadata": "true"}).json()
    for chunk in found["chunks"]:
        volume = f"http://127.0.0.1:{bari.config.ports.store_volume}/{chunk['file_id']}"
        httpx.delete(volume).raise_for_status()
    time.sleep(1.1)  # SeaweedFS's times may have no fractions
    cnaf.write("lost.txt", b"at cnaf")
    for each in sites:
        each.director.start()
    cnaf.write("later.txt", b"written after it")
    eventually(lambda: bari.read("later.txt") == b"written after it", 90, "what comes after it")
    log = (bari.config.dir / "replication.log").read_text()
    assert "lost.txt.conflict-bari" in log
    assert "is given up: this site's store is well" in log
    assert cnaf.read("lost.txt") == b"at cnaf"


def is_closed(site: Site) -> bool:
    """Whether its store takes nothing more into the bucket."""
    seaweedfs_quota.enforce(site.config)
    answer = site.client.put(site.url(f"more-{site.config.sites.name}"), content=b"more")
    return answer.is_server_error


def set_quota(each: Site, limit: int) -> None:
    seaweedfs_quota.ensure_quota(each.config, "ada", limit)
    what = "a bucket that is full" if limit else "a bucket that is open"
    eventually(lambda: is_closed(each) == bool(limit), 60, what)


def test_a_full_bucket_gets_what_it_could_not_take_when_there_is_room(
    sites: tuple[Site, Site],
) -> None:
    """Both versions of what has changed at both sites, too; nothing else waits meanwhile."""
    bari, cnaf = sites
    versions = os.urandom(3 << 20), os.urandom(3 << 20)  # SeaweedFS compresses
    for name in "both.txt", "known.txt", "removed.txt":
        bari.write(name, b"first")
        eventually(lambda n=name: cnaf.read(n) == b"first", 60, "that they are linked")  # type: ignore[misc]
    for each in sites:
        each.director.stop()
    for each, content in zip(sites, versions, strict=True):
        each.write("both.txt", content)
        time.sleep(1.1)  # SeaweedFS's times may have no fractions
        each.write(f"late-{each.config.sites.name}", b"")
        set_quota(each, 1 << 20)
    set_quota(bari, 0)
    bari.write("known.txt", b"second")
    bari.write("new/file.txt", b"new")
    bari.write("removed.txt", b"soon gone")
    set_quota(bari, 1 << 20)
    for each in sites:
        each.director.start()
    for each in sites:
        eventually(lambda e=each: e.owed() >= 2, 60, "what waits")  # type: ignore[misc]
    eventually(lambda: cnaf.owed() >= 5, 60, "what waits")
    cnaf.client.put(cnaf.url("../bob/free.txt"), content=b"1").raise_for_status()
    other = bari.url("../bob/free.txt")
    eventually(lambda: bari.client.get(other).is_success, 60, "another bucket's file")
    assert (bari.read("both.txt"), cnaf.read("both.txt")) == versions
    bari.remove("removed.txt")
    eventually(lambda: cnaf.read("removed.txt") is None, 60, "that it is removed there, too")

    cnaf.replication.stop()  # it is not forgotten
    cnaf.replication.start()
    for each in sites:
        set_quota(each, 0)
    for each in sites:
        eventually(lambda e=each: e.owed() == 0, 90, "that nothing waits")  # type: ignore[misc]
    eventually(lambda: bari.everything() == cnaf.everything(), 90, "the same at both")
    found = bari.everything()
    assert (found["both.txt"], found["known.txt"], found["new/file.txt"]) == (
        versions[1],
        b"second",
        b"new",
    )
    (copy,) = (name for name in found if name.startswith("both.txt.conflict-bari-"))
    assert found[copy] == versions[0]
    assert {"late-bari", "late-cnaf"} <= set(found)
    assert "holding sync offset" not in (cnaf.config.dir / "replication.log").read_text()
