"""What a store says about how much a bucket holds."""

from typing import Any

import pytest

from quaderno.errors import StorageError
from quaderno.storage import seaweedfs_quota, usage


def volume(bucket: str, number: int, size: int, deleted: int = 0) -> dict[str, Any]:
    return {"Collection": bucket, "Id": number, "Size": size, "DeletedByteCount": deleted}


def answer(*nodes: list[dict[str, Any]] | None) -> dict[str, Any]:
    """As the master's: by data centre, rack and node."""
    racks = {"rack": {f"127.0.0.1:{port}": held for port, held in enumerate(nodes)}}
    return {"Volumes": {"DataCenters": {"center": racks}, "Free": 1, "Max": 2}}


def test_the_volumes_of_a_bucket_are_summed_up() -> None:
    held = [volume("ada", 1, 100), volume("ada", 2, 50, deleted=20), volume("bob", 3, 7)]
    assert seaweedfs_quota.by_bucket(answer(held)) == {"ada": 130, "bob": 7}


def test_copies_of_a_volume_count_once() -> None:
    found = seaweedfs_quota.by_bucket(
        answer([volume("ada", 1, 100)], [volume("ada", 1, 110, deleted=40)], None)
    )
    assert found == {"ada": 100}


@pytest.mark.parametrize("nothing", [{}, {"Volumes": {"DataCenters": None}}])
def test_a_master_without_volume_servers_knows_nothing(nothing: dict[str, Any]) -> None:
    with pytest.raises(StorageError, match="knows of no volumes"):
        seaweedfs_quota.by_bucket(nothing)


@pytest.mark.parametrize(
    ("headers", "figures"),
    [
        ({"x-amz-request-id": "1"}, None),
        ({"x-rgw-bytes-used": "12"}, (12, 0)),
        ({"x-rgw-bytes-used": "12", "x-rgw-quota-bucket-size": "-1"}, (12, 0)),
        (
            {
                "x-rgw-bytes-used": "12",
                "x-rgw-quota-bucket-size": "40",
                "x-rgw-quota-user-size": "30",
            },
            (12, 30),
        ),
        ({"x-rgw-bytes-used": "much"}, None),
    ],
)
def test_a_rados_gateway_says_it_in_headers(
    headers: dict[str, str], figures: tuple[int, int] | None
) -> None:
    assert usage.rgw_figures(headers) == figures
