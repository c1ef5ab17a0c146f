"""Further buckets on the page and at the real store."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from quaderno import names
from quaderno.files import pages, sharing
from quaderno.storage import buckets, sts
from tests.contract.files_fixtures import Visitor, World, anybody, running_world
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
    page = alice.see("buckets").text
    assert "Each holds 20 GB." in page
    assert "<code>alice--</code> comes before it" in page
    again = alice.submit("new-bucket", name="run-7")
    assert (again.status_code, sentence(again)) == (409, "You have a bucket “run-7” already.")
    assert names.FURTHER_RULE in sentence(alice.submit("new-bucket", name="Run 7"))

    bucket = "alice--run-7"
    assert alice.submit("new-folder", area=bucket, prefix="", name="in").status_code == 303
    world.s3.put_object(Bucket=bucket, Key="in/a.txt", Body=b"a")
    assert names_on(alice.see("", area=bucket, prefix="in/")) == ["a.txt"]
    told = alice.see("usage", area=bucket).json()
    limit = world.config.store.further_quota
    assert told["quota"] == {"used": 1, "limit": limit, "text": "1 byte of 20 GB used"}
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


def test_a_bucket_is_shared_with_one_person_and_no_more(world: World) -> None:
    alice, bucket = world.alice, "alice--ours"
    assert alice.submit("new-bucket", name="ours").status_code == 303
    world.s3.put_object(Bucket=bucket, Key="a.txt", Body=b"a")
    issuer = world.hub.issuer
    forger = sts.assume_role(world.config, issuer.token("eve"), "bob")
    strangers = [
        buckets.client(world.config, keys)
        for keys in (issuer.guest_keys("eve"), issuer.keys("eve"), forger)
    ]
    with Visitor(world.config) as bob:
        bob.log_in("bob")
        assert "Nobody shares a bucket with you." in bob.see("buckets").text
        early = bob.see("", area=f"{bucket}:read")
        assert early.status_code == 403, "a crafted address opens nothing"

        shared = alice.submit("share-bucket", bucket=bucket, person="bob", how="read")
        assert "Shared: ours" in alice.get(shared.headers["location"]).text
        assert "Shared with 1" in alice.see("buckets").text
        assert "ours of alice" in bob.see("buckets").text
        reading = bob.see("", area=f"{bucket}:read")
        assert names_on(reading) == ["a.txt"]
        assert "New folder" not in reading.text
        link = bob.see("download", area=f"{bucket}:read", key="a.txt").headers["location"]
        assert anybody("GET", link).content == b"a"
        crafted = bob.submit("new-folder", area=f"{bucket}:write", prefix="", name="b")
        assert crafted.status_code == 403, "the store decides, not the address"

        alice.submit("share-bucket", bucket=bucket, person="bob", how="write")
        writing = f"{bucket}:write"
        assert bob.submit("new-folder", area=writing, prefix="", name="b").status_code == 303
        assert names_on(bob.see("", area=writing)) == ["b/", "a.txt"]
        renamed = bob.submit("transfer", area=writing, key="a.txt", to="b", name="c", how="move")
        assert renamed.status_code == 303
        assert names_on(alice.see("", area=bucket, prefix="b/")) == ["c"]
        assert bob.see("buckets").text.count("ours of alice") == 1
        assert bob.submit("delete-bucket", bucket=writing).status_code == 400
        assert (
            bob.submit("share-bucket", bucket=writing, person="eve", how="read").status_code == 400
        )
        for stranger in strangers:
            with pytest.raises(ClientError, match="AccessDenied"):
                stranger.get_object(Bucket=bucket, Key="b/c")
            with pytest.raises(ClientError, match="AccessDenied"):
                stranger.list_objects_v2(Bucket="quaderno", Prefix="bob/")

        alice.submit("share-bucket", bucket=bucket, person="bob", how="")
        assert bob.see("", area=writing).status_code == 403
        assert "Nobody shares a bucket with you." in bob.see("buckets").text
    nobody = alice.submit("share-bucket", bucket=bucket, person="eve", how="read")
    assert "There is nobody else called “eve”" in sentence(nobody)
    myself = alice.submit("share-bucket", bucket=bucket, person="alice", how="read")
    assert "There is nobody else called “alice”" in sentence(myself)


def test_a_link_to_what_others_share_ends_no_sooner_than_it_says(world: World) -> None:
    """It needs the maker's own keys, too, which may end sooner than a guest's."""
    alice, bucket = world.alice, "alice--linked"
    assert alice.submit("new-bucket", name="linked").status_code == 303
    world.s3.put_object(Bucket=bucket, Key="a.txt", Body=b"a")
    # Of somebody who has no keys yet.
    buckets.ensure_scratch_area(world.config, "carl", world.hub.issuer.keys("carl"))
    buckets.ensure_personal_bucket(world.config, "carl", world.hub.issuer.keys("carl"))
    alice.submit("share-bucket", bucket=bucket, person="carl", how="read")
    world.hub.key_life = timedelta(minutes=10)
    try:
        with Visitor(world.config) as carl:
            carl.log_in("carl")
            link = {"area": f"{bucket}:read", "key": "a.txt"}
            long = carl.submit("share", **link, seconds="900")
            assert long.status_code == 400
            assert "A link ends with your keys" in sentence(long)
            assert "for 9 minutes from now" in carl.submit("share", **link, seconds="longest").text
    finally:
        world.hub.key_life = timedelta(hours=1)


def test_a_policy_of_ones_own_opens_a_further_bucket_and_no_other(world: World) -> None:
    alice, bucket = world.alice, "alice--open"
    assert alice.submit("new-bucket", name="open").status_code == 303
    world.s3.put_object(Bucket=bucket, Key="k", Body=b"for all")
    address = f"{world.config.store_endpoint}/{bucket}/k"
    assert anybody("GET", address).status_code == 403

    def policy(of: str) -> str:
        statement = {
            # As the page calls its own.
            "Sid": "QuadernoSharedReadObjects",
            "Effect": "Allow",
            "Principal": "*",
            "Action": ["s3:*"],
            "Resource": [f"arn:aws:s3:::{of}", f"arn:aws:s3:::{of}/*"],
        }
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    for of in ("alice", "bob", "scratch", "quaderno", "bob--1"):
        with pytest.raises(ClientError, match="AccessDenied"):
            world.s3.put_bucket_policy(Bucket=of, Policy=policy(of))
        with pytest.raises(ClientError, match="InvalidPolicyDocument"):
            world.s3.put_bucket_policy(Bucket=bucket, Policy=policy(of))
    world.s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket))
    assert anybody("GET", address).content == b"for all"
    assert anybody("PUT", address, content=b"x").status_code == 403
    assert anybody("DELETE", address).status_code == 403
    assert "Its policy was not made on this page" in alice.see("buckets").text
    refused = alice.submit("share-bucket", bucket=bucket, person="bob", how="read")
    assert "has a policy that was not made here" in sentence(refused)
    world.s3.delete_bucket_policy(Bucket=bucket)
    assert anybody("GET", address).status_code == 403


def test_nobodys_notices_stand_in_the_way_of_others(world: World) -> None:
    """A notice has no content, so that nobody fills their bucket; and one person's, however many,
    leave room for the next one's."""
    for body in (b"x", b"x" * 2_000_000):
        with pytest.raises(ClientError):
            world.s3.put_object(Bucket=names.NOTICES, Key="bob/alice--1/read", Body=body)
    for nested in ("bob/aaa/alice--1/read", "bob/aaa--1/read/alice--1"):
        with pytest.raises(ClientError, match="AccessDenied"):
            world.s3.put_object(Bucket=names.NOTICES, Key=nested)
    with ThreadPoolExecutor(8) as threads:
        for number in range(sharing.MOST_SHOWN + 10):
            key = f"bob/alice--{number}/read"
            threads.submit(world.s3.put_object, Bucket=names.NOTICES, Key=key)
    keys = world.hub.issuer.keys("zoe")
    buckets.ensure_personal_bucket(world.config, "zoe", keys)
    zoe: Any = buckets.client(world.config, keys)
    zoe.put_object(Bucket=names.NOTICES, Key="bob/zoe--hers/read")
    with Visitor(world.config) as bob:
        bob.log_in("bob")
        page = bob.see("buckets").text
    assert "hers of zoe" in page
    assert page.count(" of alice") == world.config.store.further_buckets
