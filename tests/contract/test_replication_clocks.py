"""Two stores that replicate each other, whose sites' clocks differ."""

from datetime import UTC, datetime
from typing import Any

import grpc

from quaderno.storage import filer_messages
from tests.contract.replication_fixtures import Site, both_have
from tests.contract.storage_fixtures import eventually

HOUR = 3600  # seconds


def ask(channel: grpc.Channel, method: str, **fields: Any) -> Any:
    """A filer."""
    called = filer_messages.method(channel.unary_unary, method)
    return called(getattr(filer_messages, f"{method}Request")(**fields))


def move_ahead(site: Site, name: str) -> None:
    """As if the site's clock had been an hour ahead when that was written."""
    with grpc.insecure_channel(f"127.0.0.1:{site.config.ports.store_filer_grpc}") as channel:
        where = "/buckets/ada"
        entry = ask(channel, "LookupDirectoryEntry", directory=where, name=name).entry
        entry.attributes.mtime += HOUR
        ask(channel, "UpdateEntry", directory=where, entry=entry)


def written(site: Site, name: str) -> datetime:
    answer = site.client.get(site.url(name), params={"metadata": "true"}).json()
    return datetime.fromisoformat(answer["Mtime"])


def test_where_clocks_differ_the_next_version_counts(sites: tuple[Site, Site]) -> None:
    """Whatever time it has."""
    bari, cnaf = sites
    bari.write("file.txt", b"by a clock that is ahead")
    both_have(sites, "file.txt", b"by a clock that is ahead")
    move_ahead(bari, "file.txt")
    for each in sites:
        eventually(lambda e=each: written(e, "file.txt") > datetime.now(UTC), 60, "the late time")  # type: ignore[misc]
    for number in range(3):
        cnaf.write("file.txt", b"version %d" % number)
        both_have(sites, "file.txt", b"version %d" % number)
    for number in range(3):
        bari.write("file.txt", b"at bari %d" % number)
        both_have(sites, "file.txt", b"at bari %d" % number)
    assert set(bari.everything()) == set(cnaf.everything()) == {"file.txt"}


def test_what_was_replaced_by_a_clock_that_was_set_back_holds_nothing_up(
    sites: tuple[Site, Site],
) -> None:
    bari, _ = sites
    bari.write("first", b"")
    both_have(sites, "first", b"")
    for each in sites:
        each.director.stop()
    bari.write("file.txt", b"by a clock that is ahead")
    move_ahead(bari, "file.txt")
    bari.write("file.txt", b"by one that is right")
    bari.write("other.txt", b"after it")
    for each in sites:
        each.director.start()
    both_have(sites, "file.txt", b"by one that is right")
    both_have(sites, "other.txt", b"after it")
    for each in sites:
        assert set(each.everything()) == {"first", "file.txt", "other.txt"}
