"""What becomes of versions that were replaced before they came to the other site."""

import time
from collections.abc import Iterator

import pytest

from quaderno.storage import buckets
from quaderno.storage.objects import Objects
from tests.contract.replication_fixtures import Site, both_have
from tests.contract.storage_fixtures import Issuer


@pytest.fixture
def objects(sites: tuple[Site, Site]) -> Iterator[Objects]:
    """Ada's at bari, by S3; the sites are linked."""
    bari, _ = sites
    issuer = Issuer(bari.config)
    with issuer.serving():
        keys = issuer.keys("ada")
        buckets.ensure_personal_bucket(bari.config, "ada", keys)
        bari.write("first", b"")
        both_have(sites, "first", b"")
        yield Objects(bari.config, keys)


def save_often(objects: Objects, name: str, contents: list[bytes]) -> None:
    """All within a second; SeaweedFS's S3 tells no fractions of it."""
    found = objects.head("ada", name)
    etag = found.etag if found else None
    time.sleep(1 - time.time() % 1)
    for content in contents:
        etag = objects.put_if("ada", name, content, etag)
        assert etag


def test_what_was_saved_often_in_one_second_holds_nothing_up(
    sites: tuple[Site, Site], objects: Objects
) -> None:
    """The content of all versions but the last is gone when the other site comes to them."""
    bari, cnaf = sites
    bari.write("known.txt", b"old")
    both_have(sites, "known.txt", b"old")
    for each in sites:
        each.director.stop()
    save_often(objects, "new.txt", [b"0", b"1", b"2", b"3"])
    save_often(objects, "known.txt", [b"long text", b"text", b"a", b"b"])
    bari.write("other.txt", b"written after them")
    for each in sites:
        each.director.start()
    both_have(sites, "new.txt", b"3")
    both_have(sites, "known.txt", b"b")
    both_have(sites, "other.txt", b"written after them")
    assert set(cnaf.everything()) == {"first", "new.txt", "known.txt", "other.txt"}

    # They are one version at both sites: the next one replaces it, wherever it is written.
    for writer, content in ((cnaf, b"by cnaf"), (bari, b"by bari")):
        writer.write("new.txt", content)
        both_have(sites, "new.txt", content)
    assert bari.everything() == cnaf.everything()
    assert len(bari.everything()) == 4


def test_of_versions_of_one_second_the_last_is_at_both_sites(
    sites: tuple[Site, Site], objects: Objects
) -> None:
    """Of one length, while the sites are linked."""
    for number in range(5):
        name = f"file-{number}"
        save_often(objects, name, [b"%d" % each for each in range(4)])
        both_have(sites, name, b"3")
    names = {"first", *(f"file-{each}" for each in range(5))}
    assert set(sites[1].everything()) == names

    # An interruption has the last seconds' changes brought again.
    for each in sites:
        each.director.stop()
        each.director.start()
    sites[0].write("last", b"")
    both_have(sites, "last", b"")
    for each in sites:
        assert set(each.everything()) == {*names, "last"}
        assert all(each.read(f"file-{number}") == b"3" for number in range(5))
