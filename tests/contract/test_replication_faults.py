"""What two stores that replicate each other do with an object that is not well."""

import time

import httpx

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
