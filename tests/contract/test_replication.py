"""Two real stores that replicate each other, through the two directors."""

import os
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from quaderno import tunnel
from quaderno.storage import buckets, leases
from quaderno.storage.leases import Lease
from quaderno.storage.objects import Objects
from tests.contract.replication_fixtures import Site
from tests.contract.storage_fixtures import Issuer, eventually


def test_what_is_written_at_one_site_is_at_the_other(sites: tuple[Site, Site]) -> None:
    bari, cnaf = sites
    large = os.urandom(9 * 2**20)
    bari.write("here.txt", b"written at bari")
    cnaf.write("there.txt", b"written at cnaf")
    bari.write("large", large)
    eventually(lambda: cnaf.read("here.txt") == b"written at bari", 60, "bari's file at cnaf")
    eventually(lambda: bari.read("there.txt") == b"written at cnaf", 60, "cnaf's file at bari")
    eventually(lambda: cnaf.read("large") == large, 60, "a file of several chunks")
    bari.client.delete(bari.url("here.txt")).raise_for_status()
    eventually(lambda: cnaf.read("here.txt") is None, 60, "its removal")
    for each in sites:
        eventually(lambda each=each: each.behind() is not None, 60, "how far behind it is")  # type: ignore[misc]
    metrics = bari.client.get(f"http://127.0.0.1:{bari.config.ports.replication}/metrics").text
    assert "\nquaderno_replication_behind_seconds " in metrics
    assert "\nSeaweedFS_filerSync_sync_offset{" in metrics

    # A site that is away catches up, in both directions, and the later version stays.
    for program in (cnaf.replication, cnaf.director, cnaf.store):
        program.stop()
    bari.write("meanwhile.txt", b"cnaf was away")
    known = bari.behind() or 0
    eventually(lambda: (bari.behind() or 0) > known + 1, 60, "growing lag")
    cnaf.store.start()
    cnaf.write("there.txt", b"changed at cnaf, alone")
    cnaf.director.start()
    cnaf.replication.start()
    eventually(lambda: cnaf.read("meanwhile.txt") == b"cnaf was away", 90, "what came meanwhile")
    eventually(lambda: bari.read("there.txt") == b"changed at cnaf, alone", 90, "its own change")


def contents(site: Site, name: str) -> set[bytes | None]:
    """Of the object `name` and its copies."""
    return {
        content for path, content in site.everything().items()
        if path == name or path.startswith(f"{name}.conflict-")
    }  # fmt: skip


def copies(found: dict[str, bytes | None]) -> set[str]:
    return {name for name in found if ".conflict-" in name and ".quaderno" not in name}


def test_what_both_sites_changed_while_apart_is_kept_twice(sites: tuple[Site, Site]) -> None:
    bari, cnaf = sites
    first, large = os.urandom(9 * 2**20), os.urandom(5 * 2**20)
    for name in ("both.txt", "shorter", "removed.txt", "alone.txt", "folder/old"):
        bari.write(name, first if name == "shorter" else b"first")
    eventually(lambda: bari.everything() == cnaf.everything(), 60, "cnaf's copies")

    for each in sites:
        each.director.stop()
    bari.write("both.txt", b"at bari")
    bari.write("shorter", b"short")
    bari.write("new.txt", b"bari's")
    bari.write("removed.txt", b"changed at bari")
    bari.write("alone.txt", b"by bari alone")
    bari.remove("folder/old")
    bari.client.delete(bari.url("folder"))
    time.sleep(1.1)  # SeaweedFS's times may have no fractions
    for text in (b"at cnaf", b"at cnaf, again"):
        cnaf.write("both.txt", text)
    cnaf.write("shorter", large)
    cnaf.write("new.txt", b"cnaf's")
    cnaf.remove("removed.txt")
    cnaf.write("folder/new", b"new")
    for each in sites:
        each.director.start()

    wanted = {
        "both.txt": {b"at bari", b"at cnaf, again"},
        "shorter": {b"short", large},
        "new.txt": {b"bari's", b"cnaf's"},
        "removed.txt": {b"changed at bari"},
        "alone.txt": {b"by bari alone"},
    }
    for each in sites:
        eventually(
            lambda each=each: {name: contents(each, name) for name in wanted} == wanted,  # type: ignore[misc]
            90,
            f"both versions at {each.config.sites.name}",
        )
        eventually(lambda each=each: each.read("folder/new") == b"new", 60, "cnaf's new file")  # type: ignore[misc]

    def same() -> dict[str, bytes | None] | None:
        """What is there, once each copy has its note, which comes after it."""
        found = bari.everything()
        noted = {f".quaderno/conflicts/ada/{name}" for name in copies(found)} <= set(found)
        return found if noted and found == cnaf.everything() else None

    there = eventually(same, 60, "that the sites are the same, with notes of all copies")
    assert there["both.txt"] == b"at cnaf, again"  # the later one
    assert {name.rsplit("-20", 1)[0] for name in copies(there)} == {
        f"{name}.conflict-bari" for name in ("both.txt", "shorter", "new.txt")
    }

    # From then on they change it one after the other, and nothing more is kept.
    for number in range(5):
        writer, reader = sites if number % 2 else reversed(sites)
        writer.write("both.txt", b"version %d" % number)
        text = b"version %d" % number
        eventually(lambda r=reader, t=text: r.read("both.txt") == t, 60, "the change")  # type: ignore[misc]
    assert set(bari.everything()) == set(there)


def test_a_file_at_one_site_and_a_directory_of_its_name_at_the_other(
    sites: tuple[Site, Site],
) -> None:
    """The directory has the name, the file is kept beside it, and replication goes on."""
    bari, cnaf = sites
    bari.write("first", b"")
    bari.write("turns/into", b"a file")
    eventually(lambda: cnaf.read("turns/into") == b"a file", 60, "that they are linked")
    for each in sites:
        each.director.stop()
    bari.write("name", b"a file at bari")
    cnaf.write("name/in/it", b"at cnaf")
    cnaf.write("other", b"a file at cnaf")
    bari.write("other/in it", b"at bari")
    # One after the other at one site, that is no conflict.
    bari.write("turned", b"into a directory")
    bari.remove("turned")
    bari.write("turned/now", b"there")
    bari.remove("turns/into")
    bari.client.delete(bari.url("turns"))
    bari.write("turns", b"to a file")
    for each in sites:
        each.director.start()
    wanted = {
        "first": b"",
        "name.conflict-bari": b"a file at bari",
        "name/in/it": b"at cnaf",
        "other.conflict-cnaf": b"a file at cnaf",
        "other/in it": b"at bari",
        "turned/now": b"there",
        "turns": b"to a file",
    }

    def notes(site: Site) -> list[str]:
        """They come after what they are of."""
        return [path for path in site.everything() if path.startswith(".quaderno/conflicts/ada/")]

    def there(site: Site) -> dict[str, bytes | None]:
        """Without the copies' times, and the notes of them."""
        found = site.everything().items()
        return {
            path.split("-20")[0]: text for path, text in found if not path.startswith(".quaderno/")
        }

    for each in sites:
        name = each.config.sites.name
        eventually(lambda each=each: there(each) == wanted, 90, f"all at {name}")  # type: ignore[misc]
        eventually(lambda each=each: len(notes(each)) == 2, 60, f"both notes at {name}")  # type: ignore[misc]
        eventually(lambda each=each: (each.behind() or 99) < 15, 60, f"that {name} catches up")  # type: ignore[misc]


def test_nobody_without_the_secret_reaches_a_filer(sites: tuple[Site, Site]) -> None:
    bari, _ = sites
    bari.write("secret.txt", b"of ada")
    own = bari.config.dir / "director" / "tls" / "stores.pem"
    eventually(lambda: through(bari, "filer", own) == b"of ada", 60, "the other site's way in")
    another = bari.config.dir / "another.pem"
    another.write_bytes(tunnel.certificate("ab" * 32))
    for name in ("filer", "filer-grpc", "127.0.0.1"):
        for shown in (None, another):
            assert through(bari, name, shown) is None, f"{name} with {shown}"


def through(site: Site, name: str, certificate: Path | None) -> bytes | None:
    """What somebody who shows `certificate` reads of a file at the director's port."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate)
    url = f"https://127.0.0.1:{site.config.ports.stores}/buckets/ada/secret.txt"
    with httpx.Client(verify=context, trust_env=False) as client:
        try:
            answer = client.get(url, extensions={"sni_hostname": name})
        except httpx.TransportError:
            return None
    return answer.content if answer.is_success else None


class Node:
    """One of a site, with its lease on bob's storage."""

    def __init__(self, site: Site, issuer: Issuer) -> None:
        self.objects = Objects(site.config, issuer.keys("bob"))
        self.where = site.config.store.scratch_bucket, leases.key("bob")
        self.name = site.config.sites.name or ""

    def put(self, since: int, files: int, lasts: int = 300) -> None:
        """Say that the storage is here since then."""
        begins = datetime(2026, 3, 1, 9, 30, since, tzinfo=UTC)
        lease = Lease(self.name, self.name, begins, datetime.now(UTC), files, files, lasts)
        found = self.objects.get(*self.where, 4096)
        text, order = lease.text().encode(), {leases.ORDER: lease.order}
        etag = found.etag if found else None
        assert self.objects.put_if(*self.where, text, etag, order)

    def found(self) -> tuple[str, int, int] | None:
        """Whose it is, how many files wait, and how long it lasts, as this site's store says."""
        content = self.objects.get(*self.where, 4096)
        lease = Lease.read(content.body) if content else None
        return (lease.node, lease.files, lease.lasts) if lease else None


@pytest.fixture
def nodes(sites: tuple[Site, Site]) -> Iterator[tuple[Node, Node]]:
    with ExitStack() as stack:
        issuers = [Issuer(each.config) for each in sites]
        for site, issuer in zip(sites, issuers, strict=True):
            stack.enter_context(issuer.serving())
            buckets.ensure_scratch_area(site.config, "bob", issuer.keys("bob"))
        bari, cnaf = (Node(*each) for each in zip(sites, issuers, strict=True))
        yield bari, cnaf


def settled(sites: tuple[Site, Site], nodes: tuple[Node, Node]) -> tuple[str, int, int] | None:
    """What both sites say of the lease when all has come to both that was written before."""
    mark = f"mark-{time.monotonic_ns()}"
    for number, each in enumerate(sites):
        each.write(f"{mark}-{number}", b"")
    for number, each in enumerate(reversed(sites)):
        name = f"{mark}-{number}"
        eventually(lambda e=each, n=name: e.read(n) == b"", 90, "what was written last")  # type: ignore[misc]
    bari, cnaf = nodes
    eventually(lambda: bari.found() == cnaf.found(), 60, "that the sites say the same")
    return bari.found()


def test_a_lease_that_was_followed_never_comes_back(
    sites: tuple[Site, Site], nodes: tuple[Node, Node]
) -> None:
    """Whenever a node writes it that does not know of the later one, and whenever that comes."""
    bari, cnaf = nodes
    cnaf.put(1, files=3)
    assert settled(sites, nodes) == ("cnaf", 3, 300)
    for each in sites:
        each.director.stop()
    bari.put(2, files=0)
    time.sleep(1.1)  # SeaweedFS's S3 tells whole seconds
    for files in (327, 326, 325):
        cnaf.put(1, files)
    for each in sites:
        each.director.start()
    assert settled(sites, nodes) == ("bari", 0, 300)

    # Nor when the storage was given back, of which the node that returned knows nothing yet.
    for each in sites:
        each.director.stop()
    bari.put(2, files=0, lasts=0)
    time.sleep(1.1)
    cnaf.put(1, files=324)
    for each in sites:
        each.director.start()
    assert settled(sites, nodes) == ("bari", 0, 0)
    cnaf.put(3, files=324)
    assert settled(sites, nodes) == ("cnaf", 324, 300)
    cnaf.put(3, files=0, lasts=0)
    assert settled(sites, nodes) == ("cnaf", 0, 0)
