"""What rclone's log says of uploads that failed."""

import json
from pathlib import Path

import pytest

from quaderno import config as configuration
from quaderno.storage import mounts
from quaderno.storage.cache import CachedFile
from quaderno.storage.uploads import Refusals, Upload

HOME = mounts.plan(configuration.generate(Path("/q")), "alice").home


def failed(name: str) -> Upload:
    return Upload(CachedFile(HOME, name, Path("data"), Path("meta")), 1, 1, 3, False, 60.0)


@pytest.mark.parametrize(
    ("answer", "refused", "of_the_file"),
    [
        ("StatusCode: 400, RequestID: 1, api error KeyTooLongError: too long", True, True),
        ("StatusCode: 400, api error EntityTooLarge: exceeds the maximum", True, True),
        ("StatusCode: 400, api error XMinioInvalidObjectName: invalid characters", True, True),
        ("StatusCode: 413, api error UnknownError: UnknownError", True, True),
        ("StatusCode: 403, api error AccessDenied: Access Denied.", True, False),
        ("StatusCode: 400, api error ExpiredToken: The provided token has expired", True, False),
        ("StatusCode: 404, api error NoSuchBucket: no such bucket", True, False),
        ("StatusCode: 503, api error SlowDown: Please reduce your rate", False, False),
        ("StatusCode: 0, request send failed, connection refused", False, False),
    ],
)
def test_why_an_upload_failed(
    tmp_path: Path, answer: str, refused: bool, of_the_file: bool
) -> None:
    log, upload = tmp_path / "rclone.log", failed("file")
    refusals = Refusals(log)
    message = f"vfs cache: failed to upload try #1, will retry in 2s: S3: PutObject, {answer}"
    log.write_text(json.dumps({"msg": message, "object": "file"}) + "\n")
    refusals.read()
    assert bool(refusals.refused([upload])) is refused
    assert refusals.is_of_the_file(upload) is of_the_file
    assert not refusals.is_of_the_file(failed("other"))
    code = answer.partition("api error ")[2].partition(":")[0]
    assert ("too long" if "too long" in answer else code) in refusals.reason(upload)
