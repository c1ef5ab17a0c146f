"""An image is put into the catalogue of a file that its operator has written."""

from pathlib import Path

import pytest

from quaderno import config as configuration
from quaderno import init
from quaderno.config import Image, catalogue
from quaderno.errors import ConfigError

BASE = Image(name="base", display_name="Base", reference="quaderno/base:1")
ASTRO = Image(
    name="astro", display_name="Astronomie für alle: #1", description="x", reference="astro:1"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: x", "name: x\nservers:\n  images:\n{2}"),
        ("name: x\n", "name: x\nservers:\n  images:\n{2}"),
        (
            "servers:\n    # mine\n    pids_limit: 99\nname: x\n",
            "servers:\n    # mine\n    images:\n{4}    pids_limit: 99\nname: x\n",
        ),
        (
            "servers:\n  images:\n  - name: b\n    reference: b # why\n  # next\n  cpu: {}\n",
            "servers:\n  images:\n  - name: b\n    reference: b # why\n{one}  # next\n  cpu: {}\n",
        ),
        (
            "servers:\n  images:\n  - {name: base,\n     reference: b}",
            "servers:\n  images:\n  - {name: base,\n     reference: b}\n{one}",
        ),
        (
            "servers:\n  images:\n  - name: base\n    description: |\n      b\n  cpu: {}\n",
            "servers:\n  images:\n  - name: base\n    description: |\n      b\n{one}  cpu: {}\n",
        ),
    ],
    ids=["last", "end", "section", "block", "flow", "text"],
)
def test_the_rest_of_the_file_stays_as_it_is(text: str, expected: str) -> None:
    def lines(column: int, *images: list[str]) -> str:
        return "".join(f"{' ' * column}{line}\n" for image in images for line in image)

    base = ["- name: base", "  display_name: Base", "  reference: quaderno/base:1"]
    astro = [
        *("- name: astro", "  display_name: 'Astronomie für alle: #1'", "  description: x"),
        "  reference: astro:1",
    ]
    expected = expected.replace("{2}", lines(4, base, astro)).replace("{one}", lines(2, astro))
    expected = expected.replace("{4}", lines(6, base, astro))
    assert catalogue.with_image(text, ASTRO, [BASE]) == expected


@pytest.mark.parametrize(
    "text", ["servers: {pids_limit: 99}\n", "servers:\n", "servers:\n  images: [{name: base}]\n"]
)
def test_what_cannot_be_added_to_is_said_with_the_entry(text: str) -> None:
    with pytest.raises(ConfigError, match="only you can add to") as caught:
        catalogue.with_image(text, ASTRO, [BASE])
    assert "'reference': 'astro:1'" in caught.value.hint


def test_adding_twice_changes_nothing(tmp_path: Path) -> None:
    before = init.write(tmp_path)
    file = tmp_path / configuration.CONFIG_FILE
    assert catalogue.add(file, ASTRO)
    text = file.read_text()
    after = configuration.load(tmp_path)
    assert after.servers.images == [*before.servers.images, ASTRO]
    servers = after.servers.model_copy(update={"images": before.servers.images})
    assert after.model_copy(update={"servers": servers}) == before
    assert file.stat().st_mode & 0o777 == 0o600
    assert not catalogue.add(file, ASTRO)
    assert file.read_text() == text
    assert list(tmp_path.iterdir()) == [file]


def test_a_name_is_not_taken_from_another_image(tmp_path: Path) -> None:
    init.write(tmp_path)
    file = tmp_path / configuration.CONFIG_FILE
    text = file.read_text()
    with pytest.raises(ConfigError, match="by the name base"):
        catalogue.add(file, BASE.model_copy(update={"reference": "other:1"}))
    assert file.read_text() == text
