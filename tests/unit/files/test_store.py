"""What moves of a folder while others write into it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from quaderno.files.places import Entry
from quaderno.files.store import Store

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Busy(Store):
    """One bucket, in which something is written while it copies; as botocore's client, too."""

    def __init__(self, *keys: str, meanwhile: str = "") -> None:
        self.objects = {key: Entry(key, 1, NOON) for key in keys}
        self.meanwhile = meanwhile
        self.s3: Any = self

    def below(self, bucket: str, prefix: str, after: str = "") -> Iterator[Entry]:  # noqa: ARG002
        found = [self.objects[key] for key in sorted(self.objects) if key > after]
        return iter([entry for entry in found if entry.key.startswith(prefix)])

    def copy(self, bucket: str, key: str, to_bucket: str, to_key: str) -> None:  # noqa: ARG002
        for entry in list(self.below(bucket, key)):
            name = to_key + entry.key.removeprefix(key)
            self.objects[name] = Entry(name, entry.size, NOON)
        if self.meanwhile:
            self.objects[self.meanwhile] = Entry(self.meanwhile, 2, NOON)

    def delete_objects(self, Bucket: str, Delete: Any) -> dict[str, Any]:  # noqa: N803, ARG002
        for each in Delete["Objects"]:
            self.objects.pop(each["Key"], None)
        return {}


def test_a_folder_moves() -> None:
    store = Busy("a/", "a/x", "a/b/y", "ab")
    store.move("bucket", "a/", "bucket", "c/")
    assert set(store.objects) == {"c/", "c/x", "c/b/y", "ab"}


def test_a_file_moves() -> None:
    store = Busy("x", "xy")
    store.move("bucket", "x", "bucket", "z")
    assert "x" not in store.objects
    assert {"xy", "z"} <= set(store.objects)


def test_what_is_added_while_a_folder_moves_stays() -> None:
    store = Busy("a/", "a/x", meanwhile="a/new")
    store.move("bucket", "a/", "bucket", "c/")
    assert {"a/new", "c/", "c/x"} <= set(store.objects)
    assert "a/x" not in store.objects


def test_what_is_changed_while_it_moves_stays() -> None:
    store = Busy("a/x", "y", meanwhile="a/x")
    store.move("bucket", "a/", "bucket", "c/")
    assert store.objects["a/x"].size == 2
    store = Busy("y", meanwhile="y")
    store.move("bucket", "y", "bucket", "z")
    assert store.objects["y"].size == 2
