"""What a preview shows of a file, from its first bytes; pure. Files are hostile: what comes out is
text, to be escaped, or HTML that has been cleaned, for a frame in which nothing can run."""

import base64
import binascii
import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

from quaderno.files import places
from quaderno.files.places import Entry

IMAGES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "bmp": "image/bmp",
    "svg": "image/svg+xml",
}
# Bytes of a file up to which there is a preview; of text and tables the beginning is shown.
MOST = {"image": 20 << 20, "pdf": 50 << 20, "notebook": 8 << 20, "markdown": 128 << 10}
READ = 256 << 10  # bytes of the beginning
_ROWS, _COLUMNS, _LETTERS = 100, 50, 200
_CELLS = 300
_TOO_LARGE = "This is too large to be shown here."
_OUTPUT = 20_000  # characters of one output that is text
_RICH, _RICH_IN_ALL = (
    64 << 10,
    512 << 10,
)  # characters of HTML and Markdown: to clean them takes time
_BY_ENDING = {
    **dict.fromkeys(IMAGES, "image"),
    **dict.fromkeys(("json", "yaml", "yml", "xml"), "text"),
    "pdf": "pdf",
    "md": "markdown",
    "csv": "table",
    "tsv": "table",
    "parquet": "parquet",
    "ipynb": "notebook",
}
_IMAGE_DATA = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]*")
# A parser repeats a formatting element that is open in each paragraph that follows (HTML standard,
# 13.2.4.3), so that few bytes become many elements. Those that end with nothing but text, images
# and the like in them repeat nothing; what is left of such tags, times all tags, is how many there
# may be.
_REPEATED = "a|b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u"
_SPACE = r"[ \t\n\f\r]"
_NO_MORE = "\0"  # in place of what has been taken out: it makes no tag of what is around it
_VALUES = rf"(?:{_SPACE}+[\w:-]+(?:=(?:\"[^\"<>\0]*\"|'[^'<>\0]*'|[^\s\"'<>=`\0]+))?)*{_SPACE}*/?"
_CLOSED = re.compile(
    rf"<({_REPEATED}|span){_VALUES}>[^<>]*(?:<(?:img|br){_VALUES}>[^<>]*)*</\1{_SPACE}*>",
    re.IGNORECASE | re.ASCII,
)
_OPEN = re.compile(rf"<(?:{_REPEATED})(?![^\s/>])", re.IGNORECASE | re.ASCII)
_DEPTH = 8  # of elements that are looked for in one another
_ELEMENTS = 50_000
_VALUE, _ADDRESS = 300, 1000  # characters of an attribute that may be repeated
_VALUES_IN_ALL = 1 << 20  # characters of addresses and titles of one Markdown document
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours and moves (ECMA-48)


class UnreadableError(ValueError):
    """The file is not what its name says; the message is a sentence."""


@dataclass(frozen=True)
class Table:
    """The beginning of a table; all rows are as long as they are in the file, up to a limit."""

    rows: list[list[str]]
    cut: bool


@dataclass(frozen=True)
class Cell:
    """Of a notebook: either `html` that has been cleaned or `text`, then what came out of it."""

    text: str = ""
    html: Markup | None = None
    outputs: list["Output"] = field(default_factory=list)


@dataclass(frozen=True)
class Output:
    """Of a cell: HTML that has been cleaned, the address of an image with its data, or text."""

    text: str = ""
    html: Markup | None = None
    image: str = ""


def ending(key: str) -> str:
    """Of its name, in small letters."""
    return PurePosixPath(places.name_of(key)).suffix[1:].lower()


def way(entry: Entry) -> str:
    """How `entry` is shown: image, pdf, parquet, notebook, markdown, table, text, or not at all:
    "large" or empty."""
    found = _BY_ENDING.get(ending(entry.key), "")
    if not found and places.kind(entry.key) in ("txt", "code", "file"):
        found = "text"
    return "large" if (entry.size or 0) > MOST.get(found, 1 << 60) else found


def text(content: bytes, cut: bool) -> str:
    """As UTF-8, or as a byte order mark says; raises UnreadableError where it is no text."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    if encoding != "utf-16" and b"\0" in content:
        raise UnreadableError("This is not text.")
    shown = content.decode(encoding, "replace")
    return shown.removesuffix("\ufffd") if cut else shown


def table(content: bytes, cut: bool, tabs: bool) -> Table:
    """Comma separated values, or those with semicolons or `tabs`; raises UnreadableError."""
    plain = text(content, cut)
    if cut:  # in the middle of a line
        plain = plain.rpartition("\n")[0] or plain
    first = plain.partition("\n")[0]
    delimiter = "\t" if tabs else max(",;\t", key=first.count)
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(plain), delimiter=delimiter):
            if len(rows) > _ROWS:
                return Table(rows, cut=True)
            rows.append([cell[:_LETTERS] for cell in row[:_COLUMNS]])
    except csv.Error as error:
        raise UnreadableError("This is not a table of comma separated values.") from error
    return Table(rows, cut)


def markdown(source: str) -> Markup:
    """CommonMark with tables, as HTML that has been cleaned; raises UnreadableError where that is
    too much, since an address may be written once and used everywhere."""
    converter = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tokens = converter.parse(source)
    inline = (token for block in tokens for token in block.children or ())
    if sum(len(str(v)) for token in inline for v in token.attrs.values()) > _VALUES_IN_ALL:
        raise UnreadableError(_TOO_LARGE)
    return cleaned(converter.renderer.render(tokens, converter.options, {}))


def cleaned(html: str) -> Markup:
    """`html` without anything that runs, loads, or looks like the page around it; raises
    UnreadableError where that is too much."""
    if _most_elements(html) > _ELEMENTS:
        raise UnreadableError(_TOO_LARGE)
    return Markup(  # noqa: S704
        nh3.clean(
            html,
            url_schemes={"http", "https", "mailto", "data"},
            attribute_filter=_attribute,
            set_tag_attribute_values={"a": {"target": "_blank"}},
        )
    )


def _most_elements(html: str) -> int:
    """How many elements a parser may make of those that it repeats."""
    left, found = html, 1
    for _ in range(_DEPTH):
        if not found:
            break
        left, found = _CLOSED.subn(_NO_MORE, left)
    return sum(1 for _ in _OPEN.finditer(left)) * html.count("<")


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Images are those that the document holds itself; elsewhere nobody needs data."""
    if tag == "img" and name == "src":
        return value if _IMAGE_DATA.fullmatch(value) else None
    if len(value) > (_ADDRESS if name == "href" else _VALUE):
        return None
    return None if "".join(value.split()).lower().startswith("data:") else value


def notebook(content: bytes) -> list[Cell]:
    """The first cells of a notebook in format 4; raises UnreadableError."""
    try:
        reader = _Notebook()
        return [reader.cell(cell) for cell in json.loads(content)["cells"][:_CELLS]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableError("This is not a notebook, or one of an old format.") from error


class _Notebook:
    """Reads cells, and cleans no more of them than it has time for."""

    def __init__(self) -> None:
        self._left = _RICH_IN_ALL

    def cell(self, cell: dict[str, Any]) -> Cell:
        """Of words or of a program."""
        source = _joined(cell.get("source", ""))
        if cell["cell_type"] == "markdown":
            shown = self._rich(source, markdown)
            return Cell(shown.text, shown.html)
        outputs = [self._output(one) for one in cell.get("outputs", [])[:_CELLS]]
        return Cell(source[:_RICH], outputs=outputs)

    def _output(self, output: dict[str, Any]) -> Output:
        """The richest form that is safe: an image, HTML, or text."""
        if output["output_type"] == "stream":
            return Output(_plain(_joined(output.get("text", ""))))
        if output["output_type"] == "error":
            return Output(_plain(_joined("\n".join(map(str, output.get("traceback", []))))))
        data = output.get("data", {})
        for kind in ("image/png", "image/jpeg"):
            if kind in data:
                return Output(image=_image(kind, _joined(data[kind])))
        for kind, convert in (("text/html", cleaned), ("text/markdown", markdown)):
            if kind in data:
                return self._rich(_joined(data[kind]), convert)
        return Output(_plain(_joined(data.get("text/plain", ""))))

    def _rich(self, source: str, convert: Callable[[str], Markup]) -> Output:
        if len(source) > min(_RICH, self._left):
            return Output(_TOO_LARGE)
        self._left -= len(source)
        try:
            return Output(html=convert(source))
        except UnreadableError as error:
            return Output(str(error))


def _image(kind: str, encoded: str) -> str:
    """The address of an image with its data; empty where it is none."""
    try:
        content = base64.b64decode("".join(encoded.split()), validate=True)
    except binascii.Error:
        return ""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _joined(source: Any) -> str:
    """Multi-line strings are lists (nbformat 4). JSON may hold halves of characters, which no page
    can be sent with."""
    text = source if isinstance(source, str) else "".join(map(str, source))
    return text.encode(errors="replace").decode()


def _plain(said: str) -> str:
    return _TERMINAL.sub("", said)[:_OUTPUT]
