"""What a person is told of copies that were kept of what two sites had changed."""

from pathlib import Path
from typing import cast

from quaderno import config as quaderno_config
from quaderno.errors import StorageRefusedError
from quaderno.storage import conflict_notes, mounts
from quaderno.storage.objects import Object, Objects

COPY = "note.txt.conflict-bari-2026-03-01T09.30.00Z"


class Buckets:
    """Objects of an empty content, by bucket and key."""

    def __init__(self, *paths: str) -> None:
        self.there = {tuple(path.split("/", 1)) for path in paths}

    def keys(self, bucket: str, prefix: str) -> list[str]:
        return sorted(k for b, k in self.there if b == bucket and k.startswith(prefix))

    def head(self, bucket: str, key: str) -> Object | None:
        assert key
        if bucket not in ("ada", "ada--run", "scratch"):
            raise StorageRefusedError("refused")
        return Object(0, 0.0, '"tag"') if (bucket, key) in self.there else None

    def delete(self, bucket: str, key: str) -> None:
        self.there.discard((bucket, key))


def test_a_copy_is_told_of_until_it_is_gone(tmp_path: Path) -> None:
    config = quaderno_config.generate(tmp_path)
    plan = mounts.plan(config, "ada")
    notes = [f"ada/.quaderno/conflicts/{path}" for path in (f"ada/{COPY}", f"scratch/ada/{COPY}")]
    buckets = Buckets(*notes, f"ada/{COPY}", f"scratch/ada/{COPY}", "ada/note.txt")
    objects = cast("Objects", buckets)
    expected = f"cloud_storage/ada/{COPY}", f"cloud_storage/scratch/ada/{COPY}"
    assert conflict_notes.standing(plan, objects) == expected
    buckets.delete("ada", COPY)
    assert conflict_notes.standing(plan, objects) == expected[1:]
    assert buckets.keys("ada", ".quaderno/") == [notes[1].removeprefix("ada/")]


def test_a_copy_in_a_further_bucket_is_told_of_by_its_address(tmp_path: Path) -> None:
    plan = mounts.plan(quaderno_config.generate(tmp_path), "ada")
    buckets = Buckets(f"ada/.quaderno/conflicts/ada--run/{COPY}", f"ada--run/{COPY}")
    assert conflict_notes.standing(plan, cast("Objects", buckets)) == (f"s3://ada--run/{COPY}",)


def test_notes_that_nobody_but_their_owner_can_have_written_hold_nothing_up(tmp_path: Path) -> None:
    plan = mounts.plan(quaderno_config.generate(tmp_path), "ada")
    odd = [f"ada/.quaderno/conflicts/{path}" for path in ("bob/x", "ada", "no-slash")]
    buckets = Buckets(*odd, f"ada/.quaderno/conflicts/ada/{COPY}", f"ada/{COPY}")
    objects = cast("Objects", buckets)
    assert conflict_notes.standing(plan, objects) == (f"cloud_storage/ada/{COPY}",)
    assert buckets.keys("ada", ".quaderno/") == [f".quaderno/conflicts/ada/{COPY}"]
