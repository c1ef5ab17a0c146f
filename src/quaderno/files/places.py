"""What a person sees of the store, and the names in it; pure.

An object's key may be any text of up to 1,024 bytes (Amazon S3 user guide, "Object key names").
It is never a path of ours: in addresses it is one percent-encoded parameter, elsewhere JSON.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from urllib.parse import quote

from quaderno import names
from quaderno.config import Config

MOST_BYTES = 1024
HOWS = ("read", "write")  # how a bucket is shared; whoever writes also reads
_KINDS = {
    "img": "png jpg jpeg gif svg webp tif tiff bmp fits",
    "txt": "txt md rst log tex",
    "tab": "csv tsv parquet xls xlsx ods feather arrow",
    "data": "h5 hdf5 nc root npy npz json yaml yml xml db sqlite pkl",
    "nb": "ipynb",
    "pdf": "pdf",
    "code": "py r jl c h cpp cc hpp rs go java js ts sh f90 toml sql",
    "zip": "zip gz tgz tar bz2 xz zst 7z",
    "av": "mp3 wav flac ogg mp4 mkv mov webm avi",
}
_KIND_OF = {ending: kind for kind, endings in _KINDS.items() for ending in endings.split()}


@dataclass(frozen=True)
class Area:
    """A bucket as one person knows it; they may write below the prefix `own`."""

    name: str
    title: str
    bucket: str
    own: str
    path: str  # in their server, below /workarea; empty where it is not there
    guest: bool = False  # somebody else's, to whom they are a guest
    read_only: bool = False

    @property
    def has_quota(self) -> bool:
        """Whether its owner is the one who looks: scratch is everybody's, and has none."""
        return not self.guest and self.name != "scratch"

    def writable(self, key: str) -> bool:
        """Whether the store's policy lets them write `key`, or in the folder `key`."""
        return key.startswith(self.own) and not self.read_only

    def s3_address(self, key: str) -> str:
        """As S3 programs take it."""
        return f"s3://{self.bucket}/{key}"

    def server_path(self, key: str) -> str:
        """Where it is in their server; empty where it is not."""
        return f"/workarea/{self.path}/{key}" if self.path else ""

    def lab_address(self, key: str) -> str:
        """Of JupyterLab in their server, which is started if need be; empty where `key` is no path
        that a file system has."""
        if new_key_problem(key) or not self.path:
            return ""
        return f"/hub/user-redirect/lab/tree/{quote(f'{self.path}/{key}'.rstrip('/'))}"


@dataclass(frozen=True)
class Entry:
    """A folder, whose key ends in a slash and of which nothing else is known, or an object."""

    key: str
    size: int | None = None  # bytes
    modified: datetime | None = None


@dataclass(frozen=True)
class Listing:
    """A page of a folder; `more` continues it, and is empty at its end. It is not `complete` where
    the folder is too large to be sorted, and the rest is on no page."""

    entries: list[Entry]
    more: str
    complete: bool = True


def areas(config: Config, username: str) -> dict[str, Area]:
    """The areas of `username` by name; the first is the one to open."""
    bucket, scratch = names.bucket(username), config.store.scratch_bucket
    return {
        "home": Area("home", "My files", bucket, "", f"cloud_storage/{username}"),
        "scratch": Area(
            "scratch", "Scratch", scratch, f"{username}/", "cloud_storage/scratch"
        ),
    }  # fmt: skip


def further(config: Config, username: str, area: str) -> Area | None:
    """The area that is a further bucket, by its name: of `username`, or with how they may use it
    (`ada--run-7:read`) of another. None where there is no such area; the store has the last word.
    """
    bucket, _, how = area.partition(":")
    whose, name = names.owner(bucket)
    if not config.store.further_buckets or names.storage_problem(whose):
        return None
    if names.further_problem(whose, name):
        return None
    if whose == username:
        return None if how else Area(area, name, bucket, "", "")
    if not config.shares_buckets or how not in HOWS:
        return None
    return Area(area, f"{name} of {whose}", bucket, "", "", guest=True, read_only=how == "read")


@dataclass(frozen=True)
class Crumb:
    """A step of the way from the area to a folder."""

    title: str
    prefix: str


def crumbs(area: Area, prefix: str) -> list[Crumb]:
    """The way to the folder `prefix`, which is empty or ends in a slash."""
    way, so_far = [Crumb(area.title, "")], ""
    for part in prefix.split("/")[:-1]:
        so_far += f"{part}/"
        way.append(Crumb(part or "(no name)", so_far))
    return way


def name_of(key: str) -> str:
    """The last part of a key, as people read it."""
    return key.rstrip("/").rpartition("/")[2] or "(no name)"


def folder_of(key: str) -> str:
    """The folder in which `key`, a file or a folder, lies."""
    return key[: len(key.rstrip("/"))].rpartition("/")[0] + "/" if "/" in key.rstrip("/") else ""


def key_problem(key: str) -> str | None:
    """Why the page cannot work with `key`, as a sentence; None when it can."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "This name is not valid text."
    if not 1 <= size <= MOST_BYTES:
        return f"A name with its folders has 1 to {MOST_BYTES:,} bytes; this one has {size:,}."
    if {".", ".."} & set(key.split("/")):
        return "No part of a name can be “.” or “..”: browsers change such addresses."
    if "\0" in key:
        return "A name cannot hold the character NUL."
    return None


def new_key_problem(key: str) -> str | None:
    """Why nothing can be made under the name `key`: it must be a file name in servers, too."""
    if key.startswith("/") or "//" in key:
        return "A name cannot begin with a slash or hold two in a row."
    if "\\" in key:  # which SeaweedFS takes for a slash
        return "A name cannot hold a backslash."
    return key_problem(key)


def free_name(key: str, taken: Callable[[str], bool]) -> str:
    """`key`, or where that is `taken` the first of "name (2).end", "name (3).end" that is not."""
    candidate, number = key, 1
    slash = "/" if key.endswith("/") else ""
    path = PurePosixPath(name_of(key))
    while taken(candidate):
        number += 1
        candidate = f"{folder_of(key)}{path.stem} ({number}){path.suffix}{slash}"
    return candidate


def kind(key: str) -> str:
    """What an icon says: folder, img, txt, tab, data, nb, pdf, code, zip, av or file."""
    if key.endswith("/"):
        return "folder"
    return _KIND_OF.get(PurePosixPath(name_of(key)).suffix[1:].lower(), "file")


def disposition(key: str) -> str:
    """The header Content-Disposition (RFC 6266) with which browsers save the object.

    Only letters, digits and a few signs go into the plain form, so that no name can end the header
    or begin another; the whole name is in the encoded form (RFC 8187).
    """
    name = name_of(key)
    plain = "".join(c if c.isascii() and (c.isalnum() or c in " ._-") else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
