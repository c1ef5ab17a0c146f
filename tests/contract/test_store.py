"""The store's promises, kept by the embedded SeaweedFS: STS, isolation, persistence."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from botocore.exceptions import ClientError

from quaderno import names
from quaderno.config import Config
from quaderno.errors import StorageError, StorageRefusedError
from quaderno.storage import all_quotas, buckets, seaweedfs, seaweedfs_quota, sts, trust
from quaderno.storage.keys import HubKeys
from quaderno.storage.objects import Objects
from tests.contract.storage_fixtures import Issuer, Store, json_server, new_config


@dataclass(frozen=True, eq=False)
class World:
    """One store and its identity provider."""

    config: Config
    issuer: Issuer
    store: Store


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A store that started before its identity provider, and two people."""
    config = new_config(tmp_path_factory.mktemp("store"))
    issuer, store = Issuer(config), Store(config)
    with ExitStack() as stack:
        stack.callback(store.stop)
        store.start()
        with pytest.raises(StorageError) as early:
            issuer.keys("alice")
        assert not isinstance(early.value, StorageRefusedError), "it may be tried again"
        stack.enter_context(issuer.serving())
        for name in ("alice", "bob"):
            keys = issuer.keys(name)
            buckets.ensure_personal_bucket(config, name, keys)
            buckets.ensure_scratch_area(config, name, keys)
        yield World(config, issuer, store)


@cache
def s3(world: World, username: str) -> Any:
    return buckets.client(world.config, world.issuer.keys(username))


def test_an_object_can_be_written_on_condition(world: World) -> None:
    """What the leases of nodes rest on: of two that write at once, one is told."""
    objects = Objects(world.config, world.issuer.keys("alice"))
    first = objects.put_if("alice", "lease", b"1", None)
    assert first is not None
    assert objects.put_if("alice", "lease", b"other", None) is None
    second = objects.put_if("alice", "lease", b"2", first)
    assert second is not None
    assert objects.put_if("alice", "lease", b"other", first) is None
    found = objects.get("alice", "lease", 100)
    assert found is not None
    assert (found.body, found.etag) == (b"2", second)
    assert -1 <= found.age < 60
    objects.delete("alice", "lease")
    assert objects.get("alice", "lease", 100) is None
    assert objects.put_if("alice", "lease", b"3", second) is None, "it is gone"


def test_of_many_writers_at_once_one_has_it(world: World) -> None:
    objects = Objects(world.config, world.issuer.keys("alice"))
    with ThreadPoolExecutor(8) as threads:
        tags = list(
            threads.map(lambda n: objects.put_if("alice", "race", b"%d" % n, None), range(24))
        )
    (won,) = [number for number, tag in enumerate(tags) if tag]
    found = objects.get("alice", "race", 100)
    assert found is not None
    assert found.body == b"%d" % won


def test_keys_are_short_lived_and_secret(world: World) -> None:
    config, issuer = world.config, world.issuer
    keys = issuer.keys("alice")
    life = keys.expiration - datetime.now(UTC)
    assert timedelta(0) < life <= timedelta(seconds=config.store.key_lifetime)
    assert keys.secret_access_key not in repr(keys)
    assert keys.session_token not in repr(keys)
    assert sts.Keys.from_container_credentials(keys.container_credentials()) == keys


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1_000_000_000},
        {"iss": "https://elsewhere.example"},
        {"aud": "another-client"},
        {"preferred_username": "scratch"},
        {"preferred_username": "Scratch"},
        {"preferred_username": "local"},
        {"preferred_username": None},
        {"preferred_username": "ALICE"},
        {"preferred_username": "al\u0131ce"},
        {"preferred_username": "al\u0130ce"},
        {"preferred_username": "*"},
        {"preferred_username": "al?ce"},
        {"preferred_username": "a*"},
        {"preferred_username": "u--alice-40example-2eorg"},
        {"preferred_username": "u"},
        {"preferred_username": "u-"},
        {"preferred_username": "alice-"},
        {"preferred_username": "x" * 41},
        {"preferred_username": "x" * 39 + "*"},
    ],
    ids=str,
)
def test_a_token_that_is_not_for_us_gets_no_keys(world: World, claims: dict[str, Any]) -> None:
    config, issuer = world.config, world.issuer
    with pytest.raises(StorageRefusedError):
        sts.assume_role(config, issuer.token("alice", **claims), "alice")


def test_a_token_signed_by_another_key_gets_no_keys(world: World, tmp_path: Path) -> None:
    config = world.config
    forger = Issuer(new_config(tmp_path))
    forged = forger.token("alice", iss=config.issuer)
    with pytest.raises(StorageRefusedError):
        sts.assume_role(config, forged, "alice")


def test_a_name_that_is_not_text_opens_nothing(world: World) -> None:
    config, issuer = world.config, world.issuer
    keys = sts.assume_role(config, issuer.token("x", preferred_username=["alice", "bob"]), "nobody")
    with pytest.raises(ClientError):
        buckets.client(config, keys).list_objects_v2(Bucket="alice")


def test_mapped_names_have_buckets_by_the_hubs_word_alone(world: World) -> None:
    """Of twins, each has one; and nobody else's word counts, nor the hub's for another name."""
    config, issuer = world.config, world.issuer
    voucher, role = issuer.voucher, config.mapped_role_arn
    with json_server(config.ports.hub, lambda _path, _headers: (200, voucher.public_keys())):
        twins = [names.from_claim(claim) for claim in ("Alice", "ALICE", "al*", "\u0430lice")]
        clients = {}
        for twin in twins:
            keys = issuer.keys(twin)
            buckets.ensure_personal_bucket(config, twin, keys)
            buckets.ensure_scratch_area(config, twin, keys)
            clients[twin] = buckets.client(config, keys)
            clients[twin].put_object(Bucket=twin, Key="whose", Body=twin.encode())
        for twin, client in clients.items():
            assert client.get_object(Bucket=twin, Key="whose")["Body"].read() == twin.encode()
            for other in {*twins, "alice"} - {twin}:
                with pytest.raises(ClientError):
                    client.list_objects_v2(Bucket=other)
                with pytest.raises(ClientError):
                    client.put_object(Bucket="scratch", Key=f"{other}/x", Body=b"")
        forged = {trust.MAPPED_CLAIM: twins[0], "iss": config.hub_issuer, "aud": trust.AUDIENCE}
        for token, wanted in (
            (issuer.token("alice", **forged), role),  # signed by another key
            (issuer.token("alice", **{trust.MAPPED_CLAIM: twins[0]}), role),  # of the provider
            (voucher.token(twins[0]), config.store.role_arn),
        ):
            with pytest.raises(StorageRefusedError):
                sts.assume_role(config, token, "mallory", wanted)


def test_ensuring_twice_keeps_what_is_there(world: World) -> None:
    config, issuer = world.config, world.issuer
    keys = issuer.keys("alice")
    s3(world, "alice").put_object(Bucket="alice", Key="kept", Body=b"1")
    buckets.ensure_personal_bucket(config, "alice", keys)
    buckets.ensure_scratch_area(config, "alice", keys)
    assert s3(world, "alice").get_object(Bucket="alice", Key="kept")["Body"].read() == b"1"


def test_a_bucket_of_another_name_is_refused(world: World) -> None:
    config, issuer = world.config, world.issuer
    with pytest.raises(StorageRefusedError):
        buckets.ensure_personal_bucket(config, "mallory", issuer.keys("alice"))
    with pytest.raises(StorageRefusedError):
        buckets.ensure_personal_bucket(config, "bob", issuer.keys("alice"))


def multipart(client: Any, bucket: str, key: str) -> None:
    upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    part = client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"x")
    client.complete_multipart_upload(
        Bucket=bucket,
        Key=key,
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )


@pytest.mark.parametrize(
    ("bucket", "prefix"), [("alice", ""), ("scratch", "alice/")], ids=["own bucket", "own scratch"]
)
def test_what_is_mine_i_may_use(world: World, bucket: str, prefix: str) -> None:
    client = s3(world, "alice")
    client.put_object(Bucket=bucket, Key=f"{prefix}a/b", Body=b"text")
    client.copy_object(Bucket=bucket, Key=f"{prefix}c", CopySource=f"{bucket}/{prefix}a/b")
    multipart(client, bucket, f"{prefix}parts")
    tags = {"TagSet": [{"Key": "kind", "Value": "raw"}]}
    client.put_object_tagging(Bucket=bucket, Key=f"{prefix}c", Tagging=tags)
    assert client.get_object_tagging(Bucket=bucket, Key=f"{prefix}c")["TagSet"] == tags["TagSet"]
    listed = client.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    assert {f"{prefix}{key}" for key in ("a/b", "c", "parts")} <= {o["Key"] for o in listed}
    client.delete_object(Bucket=bucket, Key=f"{prefix}a/b")
    doomed = {"Objects": [{"Key": f"{prefix}c"}, {"Key": f"{prefix}parts"}]}
    assert not client.delete_objects(Bucket=bucket, Delete=doomed).get("Errors")
    left = client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    assert not {f"{prefix}{key}" for key in ("a/b", "c", "parts")} & {o["Key"] for o in left}


def test_versions_of_my_bucket(world: World) -> None:
    client = s3(world, "alice")
    client.put_bucket_versioning(Bucket="alice", VersioningConfiguration={"Status": "Enabled"})
    client.put_object(Bucket="alice", Key="versioned", Body=b"1")
    client.put_object(Bucket="alice", Key="versioned", Body=b"2")
    versions = client.list_object_versions(Bucket="alice", Prefix="versioned")["Versions"]
    assert len(versions) == 2
    client.put_bucket_versioning(Bucket="alice", VersioningConfiguration={"Status": "Suspended"})


def test_everybody_reads_scratch(world: World) -> None:
    s3(world, "alice").put_object(Bucket="scratch", Key="alice/shared", Body=b"for all")
    client = s3(world, "bob")
    assert client.get_object(Bucket="scratch", Key="alice/shared")["Body"].read() == b"for all"
    keys = {o["Key"] for o in client.list_objects_v2(Bucket="scratch")["Contents"]}
    assert "alice/shared" in keys


REFUSED: dict[str, Callable[[Any], object]] = {
    "list": lambda c: c.list_objects_v2(Bucket="alice"),
    "list versions": lambda c: c.list_object_versions(Bucket="alice"),
    "list uploads": lambda c: c.list_multipart_uploads(Bucket="alice"),
    "get": lambda c: c.get_object(Bucket="alice", Key="secret"),
    "put": lambda c: c.put_object(Bucket="alice", Key="x", Body=b""),
    "delete": lambda c: c.delete_object(Bucket="alice", Key="secret"),
    "multipart": lambda c: c.create_multipart_upload(Bucket="alice", Key="x"),
    "copy from": lambda c: c.copy_object(Bucket="bob", Key="x", CopySource="alice/secret"),
    "copy to": lambda c: c.copy_object(Bucket="alice", Key="x", CopySource="bob/mine"),
    "upload part copy": lambda c: c.upload_part_copy(
        Bucket="bob",
        Key="part",
        PartNumber=1,
        UploadId=c.create_multipart_upload(Bucket="bob", Key="part")["UploadId"],
        CopySource="alice/secret",
    ),
    "delete bucket": lambda c: c.delete_bucket(Bucket="alice"),
    "scratch put": lambda c: c.put_object(Bucket="scratch", Key="x", Body=b""),
    "scratch put in hers": lambda c: c.put_object(Bucket="scratch", Key="alice/x", Body=b""),
    "scratch put near mine": lambda c: c.put_object(Bucket="scratch", Key="bobby/x", Body=b""),
    "scratch climb": lambda c: c.put_object(Bucket="scratch", Key="bob/../alice/x", Body=b""),
    "scratch delete": lambda c: c.delete_object(Bucket="scratch", Key="alice/secret"),
    "scratch multipart": lambda c: c.create_multipart_upload(Bucket="scratch", Key="alice/x"),
    "scratch tagging": lambda c: c.put_object_tagging(
        Bucket="scratch", Key="alice/secret", Tagging={"TagSet": []}
    ),
    "scratch acl": lambda c: c.put_bucket_acl(Bucket="scratch", ACL="public-read-write"),
    "scratch policy": lambda c: c.put_bucket_policy(
        Bucket="scratch", Policy='{"Version": "2012-10-17", "Statement": []}'
    ),
    "scratch versioning": lambda c: c.put_bucket_versioning(
        Bucket="scratch", VersioningConfiguration={"Status": "Enabled"}
    ),
    "scratch delete bucket": lambda c: c.delete_bucket(Bucket="scratch"),
    "policy of my own bucket": lambda c: c.put_bucket_policy(
        Bucket="bob", Policy='{"Version": "2012-10-17", "Statement": []}'
    ),
    "public acl of my own bucket": lambda c: c.put_bucket_acl(Bucket="bob", ACL="public-read"),
    "other bucket": lambda c: c.create_bucket(Bucket="bob2"),
}


@pytest.fixture(scope="module")
def bob(world: World) -> Any:
    alice, client = s3(world, "alice"), s3(world, "bob")
    alice.put_object(Bucket="alice", Key="secret", Body=b"hers")
    alice.put_object(Bucket="scratch", Key="alice/secret", Body=b"hers")
    client.put_object(Bucket="bob", Key="mine", Body=b"his")
    return client


@pytest.mark.parametrize("attempt", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_mine_is_refused(world: World, bob: Any, attempt: Callable[..., Any]) -> None:
    with pytest.raises(ClientError) as refused:
        attempt(bob)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 403)
    alice = s3(world, "alice")
    assert alice.get_object(Bucket="alice", Key="secret")["Body"].read() == b"hers"
    assert alice.get_object(Bucket="scratch", Key="alice/secret")["Body"].read() == b"hers"


def test_delete_of_many_spares_what_is_not_mine(world: World, bob: Any) -> None:
    answer = bob.delete_objects(
        Bucket="scratch", Delete={"Objects": [{"Key": "alice/secret"}, {"Key": "bob/none"}]}
    )
    assert [error["Key"] for error in answer["Errors"]] == ["alice/secret"]


def test_bucket_names_of_others_stay_unknown(world: World, bob: Any) -> None:
    try:
        listed = {bucket["Name"] for bucket in bob.list_buckets()["Buckets"]}
    except ClientError:
        listed = set()
    assert "alice" not in listed


def test_without_keys_nothing_is_served(world: World) -> None:
    config, issuer = world.config, world.issuer
    for path in ("/", "/alice", "/alice/secret", "/scratch", "/scratch/alice/secret"):
        assert httpx.get(config.store_endpoint + path).status_code == 403
    bearer = {"Authorization": f"Bearer {issuer.token('bob')}"}
    assert httpx.get(f"{config.store_endpoint}/alice/secret", headers=bearer).status_code == 403
    created = httpx.post(config.store_endpoint, data={"Action": "CreateUser", "UserName": "me"})
    assert created.status_code in (400, 403)


def test_it_listens_on_loopback_and_on_its_ports_only(world: World) -> None:
    config, store = world.config, world.store
    addresses = {
        (connection.laddr.ip, connection.laddr.port)
        for connection in psutil.Process(store.process.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    own = {port for name, port in config.ports if name.startswith("store_")}
    assert addresses == {("127.0.0.1", port) for port in own}


def test_secrets_are_in_a_file_of_its_own(world: World) -> None:
    config, store = world.config, world.store
    secret = config.store.sts_signing_key.get_secret_value()
    assert seaweedfs.directory(config).joinpath("iam.json").stat().st_mode & 0o777 == 0o600
    process = psutil.Process(store.process.pid)
    assert secret not in " ".join(process.cmdline())
    assert secret not in str(process.environ())


def test_data_and_keys_survive_a_kill(world: World) -> None:
    store = world.store
    client = s3(world, "alice")
    client.put_object(Bucket="alice", Key="durable", Body=b"x" * 100_000)
    store.stop(signal.SIGKILL)
    store.start()
    assert client.get_object(Bucket="alice", Key="durable")["Body"].read() == b"x" * 100_000
    assert s3(world, "bob").list_objects_v2(Bucket="scratch")["KeyCount"] > 0


def test_buckets_that_no_mount_looks_after_get_their_quota(world: World) -> None:
    """Somebody's who has no server, and a further one made by an S3 client; a quota that is there
    is somebody else's business."""
    config = world.config
    limited = config.store.model_copy(update={"quota": 8 << 20, "further_quota": 4 << 20})
    config = config.model_copy(update={"store": limited})
    seaweedfs_quota.ensure_quota(config, "bob", 6 << 20)
    s3(world, "alice").create_bucket(Bucket="alice--run-7")

    async def look() -> None:
        async with httpx.AsyncClient() as nobody:
            await all_quotas.look(config, HubKeys(config, nobody))

    for _ in range(2):
        asyncio.run(look())
        quotas = {bucket.name: bucket.quota for bucket in seaweedfs_quota.buckets(config)}
        wanted = {"alice": 8 << 20, "bob": 6 << 20, "alice--run-7": 4 << 20, "scratch": 0}
        assert {name: quotas[name] for name in wanted} == wanted
    seaweedfs_quota.ensure_quota(config, "alice", 0)
    seaweedfs_quota.ensure_quota(config, "bob", 0)
