"""`store.sharing: false` closes what people have opened, at the store's next start."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from quaderno import names
from quaderno.storage import buckets
from tests.contract.files_fixtures import anybody
from tests.contract.storage_fixtures import Issuer, Store, new_config


def test_what_was_open_is_closed_and_stays_so(tmp_path: Path) -> None:
    config = new_config(tmp_path)
    issuer = Issuer(config)
    closed = config.model_copy(update={"store": config.store.model_copy(update={"sharing": False})})
    address = f"{config.store_endpoint}/alice--open/k"
    with issuer.serving():
        store = Store(closed)
        try:
            store.start()
            store.stop()
            store = Store(config)
            store.start()
            alice: Any = buckets.client(config, issuer.keys("alice"))
            _open(alice)
            alice.create_bucket(Bucket="alice--own")
            assert anybody("GET", address).content == b"for all"
            store.stop()
            store = Store(closed)
            store.start()
            assert anybody("GET", address).status_code == 403
            assert _notices(store) == []
            kept = alice.get_object(Bucket="alice--open", Key="k")["Body"].read()
            assert kept == b"for all"
            store.stop()
            store = Store(config)
            store.start()
            assert anybody("GET", address).status_code == 403, "allowed again, it is not open again"
            with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
                alice.get_bucket_policy(Bucket="alice--open")
        finally:
            store.stop()


def _open(s3: Any) -> None:
    s3.create_bucket(Bucket="alice--open")
    s3.put_object(Bucket="alice--open", Key="k", Body=b"for all")
    resources = ["arn:aws:s3:::alice--open", "arn:aws:s3:::alice--open/*"]
    statement = {"Effect": "Allow", "Principal": "*", "Action": ["s3:*"], "Resource": resources}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    s3.put_bucket_policy(Bucket="alice--open", Policy=policy)
    s3.put_object(Bucket=names.NOTICES, Key="bob/alice--open/read")


def _notices(store: Store) -> list[str]:
    filer = f"http://127.0.0.1:{store.config.ports.store_filer}/buckets/{names.NOTICES}/"
    answer = anybody("GET", filer, headers={"Accept": "application/json"}).json()
    return [each["FullPath"] for each in answer["Entries"] or ()]
