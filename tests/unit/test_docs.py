"""The documentation is about this program: references are current, links lead somewhere."""

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from quaderno.hub import preflight, pull_failures, start_failures
from quaderno.hub.failures import Cause

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
GENERATE = SimpleNamespace(**runpy.run_path(str(DOCS / "generate.py")))

# Markdown's links and images, and HTML's for pictures that depend on the width.
_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")
_CODE = re.compile(r"^(?P<fence> *```).*?^(?P=fence)\s*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def _page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _links(page: Path) -> Iterator[str]:
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    for match in _LINK.finditer(text):
        target = match[1] or match[2]
        if not target.startswith(("http://", "https://")):
            yield target


def _anchors(page: Path) -> set[str]:
    """Of its headings, as MkDocs and code hosts make them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings)
    return {re.sub(r"\s+", "-", heading) for heading in plain}


@pytest.mark.parametrize("path", GENERATE.pages(), ids=lambda path: path.name)
def test_the_reference_is_what_the_code_says(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == GENERATE.pages()[path], "run: make docs"


def test_every_cause_of_a_failed_start_is_in_the_operators_table() -> None:
    table = (DOCS / "operator" / "running.md").read_text(encoding="utf-8")
    modules = (preflight, pull_failures, start_failures)
    causes = [found for module in modules for found in vars(module).values()]
    ids = {cause.id for cause in causes if isinstance(cause, Cause)}
    assert [missing for missing in sorted(ids) if f"`{missing}`" not in table] == []
    assert len(ids) > 30


def test_every_setting_and_section_has_help() -> None:
    for group in GENERATE.groups():
        assert group.help, group.name
        for setting in group.settings:
            assert len(setting.help) > 10, setting.name


def test_every_command_and_option_has_help() -> None:
    for command in GENERATE.commands():
        assert command.help, command.name
        for parameter in command.parameters:
            assert parameter.help, f"{command.name} {parameter.name}"


@pytest.mark.parametrize("page", PAGES, ids=_page_name)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    for link in _links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.is_file(), f"{link} leads nowhere"
        if anchor:
            assert anchor in _anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=_page_name)
def test_pictures_say_what_they_show(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"!\[\s*\]", text)
    for tag in re.findall(r"<img [^>]*>", text):
        assert re.search(r'alt="[^"]{10,}"', tag), tag


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in DOCS.rglob("*.md"):
        assert page.relative_to(DOCS).as_posix() in navigation


def test_the_make_commands_that_are_written_down_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        written = re.findall(r"(?:`|^|sudo )make ([a-z]+)\b", text, re.MULTILINE)
        assert set(written) <= targets, page
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make up" in readme
    assert "make test" in readme


def test_an_unknown_setting_points_to_the_reference() -> None:
    from quaderno import config
    from quaderno.errors import ConfigError

    with pytest.raises(ConfigError) as caught:
        config.parse({"nmae": "x"}, Path("quaderno.yaml"))
    page = re.match(r"\S+\.md", caught.value.hint)
    assert page
    assert (ROOT / page[0]).is_file()
