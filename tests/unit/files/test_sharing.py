"""The policies of shared buckets."""

from pathlib import Path
from typing import Any

import pytest

from quaderno.config import generate
from quaderno.files import sharing

CONFIG = generate(Path("/q"))


def test_a_policy_tells_with_whom_a_bucket_is_shared_and_how() -> None:
    shares = {"bob": "read", "eve": "write", "u--carl-40x": "read"}
    policy = sharing.policy(CONFIG, "ada--ours", shares)
    assert sharing.shares_of(policy) == shares
    writing = [s for s in policy["Statement"] if "s3:PutObject" in s["Action"]]
    assert [s["Principal"]["AWS"] for s in writing] == [
        ["arn:aws:sts::assumed-role/QuadernoUserGuest/eve"]
    ]
    resources = {resource for s in policy["Statement"] for resource in s["Resource"]}
    assert resources == {"arn:aws:s3:::ada--ours", "arn:aws:s3:::ada--ours/*"}


def test_a_store_that_writes_one_as_a_text_is_understood() -> None:
    policy = sharing.policy(CONFIG, "ada--ours", {"bob": "read"})
    for statement in policy["Statement"]:
        statement["Principal"] = {"AWS": statement["Principal"]["AWS"][0]}
    assert sharing.shares_of(policy) == {"bob": "read"}


def test_a_policy_of_somebody_s_own_is_left_alone() -> None:
    policy = sharing.policy(CONFIG, "ada--ours", {"bob": "read"})
    policy["Statement"].append({"Effect": "Deny", "Principal": "*", "Action": "s3:*"})
    assert sharing.shares_of(policy) is None


@pytest.mark.parametrize("principal", ["*", None, 7])
def test_a_policy_that_only_looks_like_ours_is_left_alone(principal: Any) -> None:
    policy = sharing.policy(CONFIG, "ada--ours", {"bob": "read"})
    policy["Statement"][0]["Principal"] = principal
    assert sharing.shares_of(policy) is None
    assert sharing.shares_of({"Statement": policy["Statement"][0]}) is None
    assert sharing.shares_of({}) is None
