"""What is taken from the object that a file is a change of."""

import os
from pathlib import Path

from quaderno.storage import merge
from quaderno.storage.cache import Description

BLOCK = merge.BLOCK


def made(path: Path, size: int, *written: tuple[int, bytes]) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
        for start, text in written:
            os.pwrite(file.fileno(), text, start)
    return path


def completed(data: Path, description: Description | None, old: bytes) -> tuple[bytes, bool]:
    """The file's bytes after the merge, and whether it was kept as it was before."""
    kept: list[bytes] = []
    patches = merge.patches(data, description, len(old))
    guessed = merge.apply(
        data, patches, lambda start, end: old[start:end], lambda: kept.append(data.read_bytes())
    )
    assert bool(kept) is guessed
    return data.read_bytes(), guessed


def known(size: int, *parts: tuple[int, int]) -> Description:
    return Description(size, parts, True, {})


def test_holes_come_from_the_object(tmp_path: Path) -> None:
    old = os.urandom(10 * BLOCK)
    data = made(tmp_path / "a", len(old), (2 * BLOCK, b"n" * BLOCK))
    new, guessed = completed(data, known(len(old)), old)
    assert new == old[: 2 * BLOCK] + b"n" * BLOCK + old[3 * BLOCK :]
    assert not guessed
    assert completed(data, known(len(old)), old) == (new, False), "again, it ends the same"


def test_what_is_beyond_the_old_size_stays(tmp_path: Path) -> None:
    old = b"o" * BLOCK
    data = made(tmp_path / "a", 4 * BLOCK, (3 * BLOCK, b"n" * BLOCK))
    new, _ = completed(data, known(BLOCK), old)
    assert new == old + bytes(2 * BLOCK) + b"n" * BLOCK


def test_nothing_is_taken_beyond_what_the_file_was_cut_to(tmp_path: Path) -> None:
    data = made(tmp_path / "a", 2 * BLOCK)
    assert completed(data, known(0), b"o" * 2 * BLOCK) == (bytes(2 * BLOCK), False)


def test_known_zeros_are_zeros(tmp_path: Path) -> None:
    data = made(tmp_path / "a", BLOCK, (0, bytes(BLOCK)))
    assert completed(data, known(BLOCK, (0, BLOCK)), b"o" * BLOCK) == (bytes(BLOCK), False)


def test_a_block_that_was_written_in_part_is_a_guess(tmp_path: Path) -> None:
    old = b"o" * (2 * BLOCK)
    data = made(tmp_path / "a", len(old), (100, b"new"))
    new, guessed = completed(data, known(len(old)), old)
    assert new == old[:100] + b"new" + old[103:]
    assert guessed


def test_zeros_where_the_object_has_zeros_are_no_guess(tmp_path: Path) -> None:
    old = bytes(BLOCK)
    data = made(tmp_path / "a", BLOCK, (100, b"new"))
    assert completed(data, None, old) == (old[:100] + b"new" + old[103:], False)


def test_the_time_of_the_change_stays(tmp_path: Path) -> None:
    data = made(tmp_path / "a", BLOCK)
    os.utime(data, (1000, 1000))
    completed(data, None, b"o" * BLOCK)
    assert data.stat().st_mtime == 1000
