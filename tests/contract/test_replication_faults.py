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


def test_a_full_bucket_takes_no_copy_and_keeps_what_it_has(sites: tuple[Site, Site]) -> None:
    """Replication goes on; what it could not write comes when it begins anew."""
    bari, cnaf = sites
    versions = os.urandom(3 << 20), os.urandom(3 << 20)  # SeaweedFS compresses
    bari.write("both.txt", b"first")
    eventually(lambda: cnaf.read("both.txt") == b"first", 60, "that they are linked")
    for each in sites:
        each.director.stop()
    for each, content in zip(sites, versions, strict=True):
        each.write("both.txt", content)
        time.sleep(1.1)  # SeaweedFS's times may have no fractions
        each.write(f"late-{each.config.sites.name}", b"")
        seaweedfs_quota.ensure_quota(each.config, "ada", 1 << 20)
        eventually(lambda e=each: is_closed(e), 60, "a bucket that is full")  # type: ignore[misc]
    for each in sites:
        each.director.start()
    refused = "read only: /buckets/ada/"
    for each in sites:
        log = each.config.dir / "replication.log"
        eventually(lambda log=log: refused in log.read_text(), 60, "that nothing is taken")  # type: ignore[misc]
    for each in sites:
        seaweedfs_quota.ensure_quota(each.config, "ada", 0)
        eventually(lambda e=each: not is_closed(e), 60, "a bucket that is open")  # type: ignore[misc]
    for each in sites:
        each.write(f"last-{each.config.sites.name}", b"")
    last = {"last-bari", "last-cnaf"}
    for each in sites:
        eventually(lambda e=each: last <= set(e.everything()), 60, "what is written then")  # type: ignore[misc]
    assert (bari.read("both.txt"), cnaf.read("both.txt")) == versions

    for each in sites:
        each.replication.stop()
        each.replication.start()
    names = {"late-bari", "late-cnaf"}
    for each in sites:
        eventually(lambda e=each: names <= set(e.everything()), 90, "what was refused")  # type: ignore[misc]
        assert set(versions) & set(each.everything().values())
