"""Puts an image into the catalogue of quaderno.yaml, and leaves the rest of the file as it is.

The file is an operator's, with comments of theirs, so it is edited as text at the place that the
YAML parser names, and not written anew.
"""

import os
from pathlib import Path
from typing import Any

import yaml

from quaderno.config.file import load_file
from quaderno.config.sections import Image
from quaderno.errors import ConfigError


def add(file: Path, image: Image) -> bool:
    """Offer `image` in the configuration `file`; False when it does so already.

    Raises ConfigError when its name is another's, or the file is written in a way that only its
    author can add to.
    """
    before = load_file(file)
    if offers(file, before.servers.images, image):
        return False
    wanted = [*before.servers.images, image]
    new = file.with_name(f".{file.name}.new")
    text = with_image(file.read_text(encoding="utf-8"), image, before.servers.images)
    _write(new, text, file.stat())
    try:
        if load_file(new).servers.images != wanted:
            raise _by_hand(image)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
    return True


def offers(file: Path, images: list[Image], image: Image) -> bool:
    """Whether `image` is among the `images` of the configuration `file`.

    Raises ConfigError when its name is another's.
    """
    offered = next((each.reference for each in images if each.name == image.name), None)
    if offered in (None, image.reference):
        return offered is not None
    raise ConfigError(
        f"{file} offers {offered} by the name {image.name}",
        "Choose another --add, or edit servers.images",
    )


def _write(path: Path, text: str, like: os.stat_result) -> None:
    """With the owner of `like`, and never readable by more than may read that."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as output:
        os.fchown(output.fileno(), like.st_uid, like.st_gid)
        os.fchmod(output.fileno(), like.st_mode & 0o7777)
        output.write(text)
        output.flush()
        os.fsync(output.fileno())


def with_image(text: str, image: Image, current: list[Image]) -> str:
    """The YAML `text` with `image` as the last of `servers.images`; where it has none, after the
    `current` ones. Raises ConfigError."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    servers = _value(root, "servers")
    if servers is None:
        rest = "" if text.endswith("\n") or not text else "\n"
        return f"{text}{rest}servers:\n{_catalogue([*current, image], 2)}"
    if not isinstance(servers, yaml.MappingNode) or servers.flow_style:
        raise _by_hand(image)
    images = _value(servers, "images")
    if images is None:
        column = servers.start_mark.column
        at = servers.start_mark.index - column
        return text[:at] + _catalogue([*current, image], column) + text[at:]
    if not isinstance(images, yaml.SequenceNode) or images.flow_style or not images.value:
        raise _by_hand(image)
    at = _end_of_line(text, _last(images).end_mark)
    before = text[:at] if text[:at].endswith("\n") else f"{text[:at]}\n"
    return before + _items([image], images.start_mark.column) + text[at:]


def _value(node: Any, key: str) -> Any:
    """Of `key` in a mapping's node; None when there is none."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


def _last(node: Any) -> Any:
    """The last node within `node`: the end of a block is after the comments that follow it."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        child = node.value[-1]
        node = child[1] if isinstance(child, tuple) else child
    return node


def _end_of_line(text: str, mark: Any) -> int:
    """After a block of text the mark is at the start of the next line, where it belongs."""
    if mark.column == 0:
        return int(mark.index)
    end = text.find("\n", mark.index)
    return len(text) if end < 0 else end + 1


def _catalogue(images: list[Image], column: int) -> str:
    return f"{' ' * column}images:\n{_items(images, column + 2)}"


def _items(images: list[Image], column: int) -> str:
    data = [image.model_dump(mode="json", exclude_defaults=True) for image in images]
    lines = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=1000).splitlines()
    return "".join(f"{' ' * column}{line}\n" for line in lines)


def _by_hand(image: Image) -> ConfigError:
    return ConfigError(
        "servers.images is written in a way that only you can add to",
        f"Add to it: {image.model_dump(mode='json', exclude_defaults=True)}",
    )
