"""What previews make of files, hostile ones above all."""

import base64
import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaderno.files import previews
from quaderno.files.places import Entry

PNG = base64.b64encode(b"\x89PNG").decode()
# Ways to run a script, to load or send something, or to become another page.
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><animate onbegin=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href=' jAva\tscript:alert(1)'>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<meta http-equiv=refresh content='0;url=/hub/logout'>",
    "<form action=/services/files/delete method=post><input name=key><button>x</button></form>",
    "<style>body { background: url(/x) }</style><p style='position: fixed'>",
    "<link rel=stylesheet href=/x><base href=/x><object data=/x></object><embed src=/x>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<img src='data:image/svg+xml,<svg onload=alert(1)>'>",
    "[x](javascript:alert(1)) ![x](data:text/html;base64,PHNjcmlwdD4=)",
]
TAGS = {"script", "style", "iframe", "form", "input", "button", "meta", "link", "base", "object",
        "embed", "svg", "math", "animate"}  # fmt: skip


class Tags(HTMLParser):
    """Tags, and attributes as (tag, name, value), of a document."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, "".join((value or "").split())) for name, value in attrs]


def assert_harmless(document: str) -> None:
    found = Tags(document)
    assert not found.tags & TAGS, document
    for tag, name, value in found.attributes:
        assert not name.startswith("on"), document
        assert name not in ("style", "srcdoc", "id", "class"), document
        assert not value.lower().startswith("javascript:"), document
        assert (tag, name) != ("img", "src"), document
        assert not value.startswith("data:"), document


@pytest.mark.parametrize(
    "source",
    [
        "<p>" + "".join(f"<b a={n}>" for n in range(3000)) + "<p>x" * 3000,
        "<p>" + "".join(f"<B\n{n}/>" for n in range(3000)) + "<p>x" * 3000,
        "<p>" + "".join(f"<i a='{n}>x</i>'>" for n in range(1000)) + "<p>x" * 3000,
        "<p>" + "".join(f"<i a={n}><!--</i>-->" for n in range(1000)) + "<p>x" * 3000,
        "<p>" + "".join(f"<i a={n}><p a='</i>'>" for n in range(1000)) + "<p>x" * 3000,
        "<p>" + "".join(f"<i a={n}>x<<b>y</b>/i>" for n in range(1000)) + "<p>x" * 3000,
        "<p>"
        + "".join(f"<s a={n}>x</\u017f>x</s\xa0>x</s\v>" for n in range(1000))
        + "<p>x" * 3000,
        f"[a]: http://{'x' * 60_000}\n\n" + "[a] " * 15_000,
    ],
)
def test_a_small_document_does_not_become_a_huge_one(source: str) -> None:
    with pytest.raises(previews.UnreadableError, match="too large"):
        previews.markdown(source)
    cells = [{"cell_type": "markdown", "source": source}]
    [cell] = previews.notebook(json.dumps({"cells": cells}).encode())
    assert cell.html is None
    assert "too large" in cell.text


def test_what_is_repeated_in_each_paragraph_is_short() -> None:
    title, address = "x" * 301, "y" * 1001
    shown = previews.cleaned(f"<i title={title}><a href={address}>" + "<p>z" * 100)
    assert len(shown) < 10_000


def test_a_long_document_with_much_that_is_formatted_is_shown() -> None:
    line = '**[`x`](http://a "b")** [![y](z.png)](http://c)<br>*d* <!-- e --> <span>f</span>\n\n'
    assert previews.markdown(line * 1500).count("<strong>") == 1500


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_of_a_hostile_document_is_left(hostile: str) -> None:
    assert_harmless(previews.cleaned(hostile))
    assert_harmless(previews.markdown(hostile))
    cells = [
        {"cell_type": "markdown", "source": [hostile]},
        {"cell_type": "code", "source": "x", "outputs": [
            {"output_type": "display_data", "data": {"text/html": [hostile]}},
            {"output_type": "execute_result", "data": {"text/markdown": hostile}},
            {"output_type": "display_data", "data": {"image/svg+xml": hostile}},
            {"output_type": "display_data", "data": {"image/png": hostile}},
        ]},
    ]  # fmt: skip
    for cell in previews.notebook(json.dumps({"cells": cells}).encode()):
        assert_harmless(cell.html or "")
        for output in cell.outputs:
            assert_harmless(output.html or "")
            assert output.image == ""


@given(st.text("<>/='\"&;:# abdhimonrstvx\n\t`[]()!", max_size=200))
def test_no_text_becomes_something_that_runs(source: str) -> None:
    assert_harmless(previews.cleaned(source))
    assert_harmless(previews.markdown(source))


def test_markdown_keeps_what_documents_are_made_of() -> None:
    links = f"[x](https://example.org) ![p](data:image/png;base64,{PNG})"
    made = previews.markdown(f"# Title\n\n|a|b|\n|-|-|\n|1|2|\n\n{links}")
    assert "<h1>Title</h1>" in made
    assert "<td>2</td>" in made
    assert f'src="data:image/png;base64,{PNG}"' in made
    assert 'href="https://example.org"' in made
    assert 'target="_blank" rel="noopener noreferrer"' in made


def test_a_notebook_with_all_kinds_of_output() -> None:
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["one\n", "\x1b[31mtwo\x1b[0m"]},
        {"output_type": "error", "traceback": ["Trace", "\x1b[1mName\x1b[0mError"]},
        {"output_type": "display_data", "data": {"image/png": PNG + "\n", "text/plain": "figure"}},
        {"output_type": "execute_result", "data": {"text/html": "<table><tr><td>1</table>"}},
        {"output_type": "execute_result", "data": {"text/plain": ["4", "2"]}},
        {"output_type": "update_display_data"},
    ]
    code = {"cell_type": "code", "source": ["a\n", "b"], "outputs": outputs}
    content = json.dumps({"cells": [{"cell_type": "markdown", "source": "*hi*"}, code]}).encode()
    words, cell = previews.notebook(content)
    assert words.html == "<p><em>hi</em></p>\n"
    assert cell.text == "a\nb"
    texts = [output.text for output in cell.outputs]
    assert texts == ["one\ntwo", "Trace\nNameError", "", "", "42", ""]
    assert cell.outputs[2].image == f"data:image/png;base64,{PNG}"
    assert "<td>1</td>" in str(cell.outputs[3].html)


def test_half_a_character_of_a_notebook_is_shown_as_unknown() -> None:
    half = "a\ud800"
    outputs = [
        {"output_type": "stream", "text": half},
        {"output_type": "error", "traceback": [half]},
        {"output_type": "display_data", "data": {"text/html": [half]}},
    ]
    cells = [
        {"cell_type": "code", "source": [half], "outputs": outputs},
        {"cell_type": "markdown", "source": half},
    ]
    code, words = previews.notebook(json.dumps({"cells": cells}).encode())
    shown = [code.text, str(words.html), *(one.text or str(one.html) for one in code.outputs)]
    assert all("a?" in text for text in shown)


def test_not_more_is_cleaned_than_there_is_time_for() -> None:
    page = {"output_type": "display_data", "data": {"text/html": "<p>" + "x" * 65_000}}
    large = {"output_type": "display_data", "data": {"text/html": "<div>" * 100_000}}
    cells = [{"cell_type": "code", "outputs": [large, *[page] * 20]}]
    outputs = previews.notebook(json.dumps({"cells": cells}).encode())[0].outputs
    assert [bool(output.html) for output in outputs] == [False] + [True] * 8 + [False] * 12
    assert outputs[0].text == "This is too large to be shown here."


@pytest.mark.parametrize(
    "content",
    [b"", b"no", b"[]", b'{"worksheets": []}', b'{"cells": 1}', b'{"cells": [1]}', b"[" * 100_000,
     b'{"cells": [{}]}', b'{"cells": [{"cell_type": "code", "outputs": [{}]}]}', b"\xff\xfe\0"],
    ids=range(10),
)  # fmt: skip
def test_what_is_no_notebook_is_said_to_be_none(content: bytes) -> None:
    with pytest.raises(previews.UnreadableError, match="not a notebook"):
        previews.notebook(content)


def test_text_is_text() -> None:
    assert previews.text("é<b>".encode(), cut=False) == "é<b>"
    assert previews.text("aé".encode()[:-1], cut=True) == "a"
    assert previews.text("\ufeffa".encode("utf-16"), cut=False) == "\ufeffa"
    assert previews.text(b"\xef\xbb\xbfa\xff", cut=False) == "a\ufffd"
    with pytest.raises(previews.UnreadableError):
        previews.text(b"\x7fELF\0", cut=False)


def test_tables() -> None:
    assert previews.table(b'a;b\n"1\n2";3\n', cut=False, tabs=False).rows == [
        ["a", "b"],
        ["1\n2", "3"],
    ]
    assert previews.table(b"a\tb,c\n", cut=False, tabs=True).rows == [["a", "b,c"]]
    assert previews.table(b"a,b\n1,2\n3", cut=True, tabs=False).rows == [["a", "b"], ["1", "2"]]
    many = previews.table(b"x," * 100 + b"\n" + b"1\n" * 500, cut=False, tabs=False)
    assert (len(many.rows), len(many.rows[0]), many.cut) == (101, 50, True)
    with pytest.raises(previews.UnreadableError):
        previews.table(b'"' + b"x" * 200_000, cut=False, tabs=False)


@pytest.mark.parametrize(
    ("key", "size", "way"),
    [
        ("a/B.PNG", 1, "image"),
        ("a.png", 21 << 20, "large"),
        ("a.pdf", 1, "pdf"),
        ("README.md", 1, "markdown"),
        ("x.tsv", 9 << 30, "table"),
        ("x.parquet", 9 << 30, "parquet"),
        ("x.ipynb", 9 << 20, "large"),
        ("page.html", 1, "text"),
        ("Makefile", 1, "text"),
        ("x.h5", 1, ""),
        ("x.mp4", 1, ""),
        ("x.tif", 1, ""),
    ],
)
def test_how_a_file_is_shown(key: str, size: int, way: str) -> None:
    assert previews.way(Entry(key, size)) == way
