"""Further buckets on the page and at the real store."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from quaderno import names
from quaderno.files import pages
from quaderno.storage import buckets
from tests.contract.files_fixtures import Visitor, World, running_world
from tests.contract.test_files import names_on, sentence


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("files-buckets")) as world:
        yield world


def test_a_bucket_is_made_used_and_deleted(world: World) -> None:
    alice = world.alice
    made = alice.submit("new-bucket", name="run-7")
    assert made.headers["location"] == pages.link("buckets", done="made", name="run-7")
    assert "Made: run-7" in alice.get(made.headers["location"]).text
    assert "Each holds 20 GB." in alice.see("buckets").text
    again = alice.submit("new-bucket", name="run-7")
    assert (again.status_code, sentence(again)) == (409, "You have a bucket “run-7” already.")
    assert names.FURTHER_RULE in sentence(alice.submit("new-bucket", name="Run 7"))

    bucket = "alice--run-7"
    assert alice.submit("new-folder", area=bucket, prefix="", name="in").status_code == 303
    world.s3.put_object(Bucket=bucket, Key="in/a.txt", Body=b"a")
    assert names_on(alice.see("", area=bucket, prefix="in/")) == ["a.txt"]
    assert alice.see("download", area=bucket, key="in/a.txt").status_code == 302
    assert "In your server" not in alice.see("item", area=bucket, key="in/a.txt").text
    full = alice.submit("delete-bucket", bucket=bucket)
    assert full.status_code == 409
    assert "not empty: delete what is in it first" in sentence(full)
    assert alice.submit("delete", area=bucket, key="in/", sure="yes").status_code == 303
    assert alice.submit("delete-bucket", bucket=bucket).status_code == 303
    gone = alice.see("", area=bucket)
    assert (gone.status_code, sentence(gone)) == (404, "The store has no such bucket.")
    assert "run-7" not in alice.see("buckets").text, "to look did not make it again"
    refused = alice.submit("delete-bucket", bucket="home")
    assert (refused.status_code, sentence(refused)) == (
        400,
        "This is not a further bucket of yours.",
    )


def test_there_are_only_so_many(world: World) -> None:
    alice, most = world.alice, world.config.store.further_buckets
    for number in range(most):
        assert alice.submit("new-bucket", name=f"{number}").status_code == 303
    assert "Name of a new bucket" not in alice.see("buckets").text
    full = alice.submit("new-bucket", name="more")
    assert sentence(full) == f"You have {most} further buckets, and may have {most}: " + (
        "delete one first."
    )
    for number in range(most):
        assert alice.submit("delete-bucket", bucket=f"alice--{number}").status_code == 303


def test_it_is_closed_to_others_by_the_page_and_by_the_store(world: World) -> None:
    assert world.alice.submit("new-bucket", name="mine").status_code == 303
    bucket = "alice--mine"
    world.s3.put_object(Bucket=bucket, Key="k", Body=b"secret")
    with Visitor(world.config) as bob:
        bob.log_in("bob")
        assert bob.see("", area=bucket).status_code == 404
        assert bob.submit("delete-bucket", bucket=bucket).status_code == 404
    for name in ("bob", "ali", "alice-x"):
        s3: Any = buckets.client(world.config, world.hub.issuer.keys(name))
        for ask, wanted in [
            (s3.get_object, {"Bucket": bucket, "Key": "k"}),
            (s3.put_object, {"Bucket": bucket, "Key": "k"}),
            (s3.list_objects_v2, {"Bucket": bucket}),
            (s3.delete_bucket, {"Bucket": bucket}),
            (s3.create_bucket, {"Bucket": "alice--theirs"}),
        ]:
            with pytest.raises(ClientError, match="AccessDenied"):
                ask(**wanted)
        assert s3.list_buckets(Prefix="alice")["Buckets"] == []
    assert world.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"secret"
