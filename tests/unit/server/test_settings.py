"""What is brought from the bucket, what is taken to it, and whose change stays."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from quaderno_server.settings import Folder

THEME = "@jupyterlab/apputils-extension/themes.jupyterlab-settings"
LAYOUT = "default-37a8.jupyterlab-workspace"
DARK, LIGHT = '{"theme": "JupyterLab Dark"}', '{"theme": "JupyterLab Light"}'


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, message: str, *arguments: object) -> None:
        self.lines.append(message % arguments)


class Server:
    """One server's folder of settings, or of workspaces, and the bucket that servers share."""

    def __init__(self, directory: Path, bucket: Path, *, merges: bool = True) -> None:
        self.log = Log()
        self.here, self._there = directory, bucket
        self._folder = Folder(directory, bucket, self.log, merges=merges)

    def saves(self, name: str, text: str) -> None:
        """As JupyterLab does."""
        path = self.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def has(self, name: str) -> object:
        return json.loads((self.here / name).read_text())

    def fetches(self, *, late: bool = False) -> None:
        self._folder.take(self._folder.fetch(), late=late)

    def sends(self) -> None:
        self._folder.send()


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    return tmp_path / "bucket" / ".quaderno" / "lab" / "user-settings"


@pytest.fixture
def servers(tmp_path: Path, bucket: Path) -> Iterator[Server]:
    """Servers of one person, each started from scratch."""
    return (Server(tmp_path / str(number), bucket) for number in range(9))


def in_bucket(bucket: Path, name: str) -> object:
    return json.loads((bucket / name).read_text())


def test_a_change_is_there_in_the_next_server(servers: Iterator[Server], bucket: Path) -> None:
    first, second = next(servers), next(servers)
    first.fetches()
    first.saves(THEME, DARK)
    first.sends()
    assert in_bucket(bucket, THEME) == {"theme": "JupyterLab Dark"}
    second.fetches()
    assert second.has(THEME) == {"theme": "JupyterLab Dark"}


def test_of_two_servers_the_later_change_stays(servers: Iterator[Server], bucket: Path) -> None:
    first, second = next(servers), next(servers)
    for server, text in ((first, DARK), (second, LIGHT)):
        server.fetches()
        server.saves(THEME, text)
        server.sends()
    second.saves("other.jupyterlab-settings", "{}")
    second.sends()
    first.sends()
    assert in_bucket(bucket, THEME) == {"theme": "JupyterLab Light"}
    assert in_bucket(bucket, "other.jupyterlab-settings") == {}


def test_what_did_not_change_is_not_written(servers: Iterator[Server], bucket: Path) -> None:
    server = next(servers)
    server.fetches()
    server.saves(THEME, DARK)
    server.sends()
    before = (bucket / THEME).stat()
    server.saves(THEME, DARK)
    server.sends()
    assert (bucket / THEME).stat().st_ino == before.st_ino
    assert [path.name for path in (bucket / THEME).parent.iterdir()] == [Path(THEME).name]


def test_what_was_changed_before_the_bucket_came_is_merged(
    servers: Iterator[Server], bucket: Path
) -> None:
    earlier, late = next(servers), next(servers)
    earlier.fetches()
    earlier.saves(THEME, '{\n// Theme\n"theme": "JupyterLab Dark", "theme-scrollbars": true,\n}')
    earlier.saves("untouched.jupyterlab-settings", '{"a": 1}')
    earlier.sends()
    late.saves(THEME, LIGHT)
    late.fetches()
    late.sends()
    both = {"theme": "JupyterLab Light", "theme-scrollbars": True}
    assert late.has(THEME) == in_bucket(bucket, THEME) == both
    assert late.has("untouched.jupyterlab-settings") == {"a": 1}


KEPT = {"theme": "Dark", "scrollbars": True, "fonts": {"size": 12}}


@pytest.mark.parametrize(
    ("before", "saves", "last"),
    [
        ({}, [{"theme": "Light"}], KEPT | {"theme": "Light"}),
        ({}, [{"other": 1}, {"other": 2}], KEPT | {"other": 2}),
        ({"theme": "Light"}, [{"theme": "Red"}, {"theme": "Light"}], KEPT | {"theme": "Light"}),
        ({"theme": "Light"}, [{}], {}),
        # The page was loaded again: it knows all, and what it removes stays removed.
        ({}, [KEPT | {"theme": "Light"}], KEPT | {"theme": "Light"}),
        ({}, [{"theme": "Dark", "scrollbars": True}], {"theme": "Dark", "scrollbars": True}),
        (
            {},
            [{"theme": "Light"}, {"theme": "Light", "scrollbars": True}, {"theme": "Red"}],
            {"theme": "Red", "scrollbars": True},
        ),
    ],
)
def test_a_page_of_before_the_bucket_replaces_nothing_that_it_does_not_know(
    servers: Iterator[Server],
    bucket: Path,
    before: dict[str, object],
    saves: list[dict[str, object]],
    last: dict[str, object],
) -> None:
    earlier, late, next_one = next(servers), next(servers), next(servers)
    earlier.fetches()
    earlier.saves(THEME, json.dumps(KEPT))
    earlier.sends()
    if before:
        late.saves(THEME, json.dumps(before))
    late.fetches(late=True)
    late.sends()
    for number, content in enumerate(saves):
        late.saves(THEME, json.dumps(content) + " " * number)
        late.sends()
    assert late.has(THEME) == in_bucket(bucket, THEME) == last
    assert in_bucket(bucket.with_name("earlier"), THEME) == KEPT
    next_one.fetches()
    assert next_one.has(THEME) == last


def test_a_page_of_after_the_bucket_is_believed(servers: Iterator[Server], bucket: Path) -> None:
    server = next(servers)
    server.fetches()
    for content in (KEPT, {"theme": "Light"}):
        server.saves(THEME, json.dumps(content))
        server.sends()
    assert in_bucket(bucket, THEME) == {"theme": "Light"}
    assert not bucket.with_name("earlier").exists()


def test_a_workspace_is_not_replaced_by_one_that_began_with_nothing(
    tmp_path: Path, bucket: Path
) -> None:
    earlier, late = (Server(tmp_path / name, bucket, merges=False) for name in ("1", "2"))
    earlier.fetches()
    earlier.saves(LAYOUT, '{"data": "full"}')
    earlier.sends()
    late.saves(LAYOUT, '{"data": "empty"}')
    late.fetches()
    for _ in range(2):
        late.saves(LAYOUT, '{"data": "empty still"}')
        late.sends()
    (late.here / LAYOUT).unlink()
    late.saves("other.jupyterlab-workspace", '{"data": "new"}')
    late.sends()
    assert in_bucket(bucket, LAYOUT) == {"data": "full"}
    assert in_bucket(bucket, "other.jupyterlab-workspace") == {"data": "new"}


def test_what_the_image_brings_is_nobodys(tmp_path: Path, bucket: Path) -> None:
    for number, text in enumerate((DARK, LIGHT)):
        path = tmp_path / str(number) / THEME
        path.parent.mkdir(parents=True)
        path.write_text(text)
    first, second = (Server(tmp_path / str(number), bucket) for number in range(2))
    first.fetches()
    first.sends()
    assert not bucket.exists()
    first.saves(THEME, '{"theme": "mine"}')
    first.sends()
    second.fetches()
    assert second.has(THEME) == {"theme": "mine"}


def test_what_is_deleted_stays_deleted(servers: Iterator[Server], bucket: Path) -> None:
    server = next(servers)
    server.fetches()
    server.saves(THEME, DARK)
    server.sends()
    (server.here / THEME).unlink()
    server.sends()
    assert not (bucket / THEME).exists()


@pytest.mark.parametrize("broken", [b"", b'{"theme": "Jup', b"\xff\x00", b"[]", b"[" * 100_000])
def test_what_jupyterlab_could_not_read_goes_nowhere(
    servers: Iterator[Server], bucket: Path, broken: bytes
) -> None:
    """JupyterLab does not start with a file of settings that is cut off."""
    first, second = next(servers), next(servers)
    first.fetches()
    first.saves(THEME, DARK)
    first.sends()
    (first.here / THEME).write_bytes(broken)  # as a look in the middle of a save finds it
    first.sends()
    assert in_bucket(bucket, THEME) == {"theme": "JupyterLab Dark"}
    (bucket / THEME).write_bytes(broken)
    second.fetches()
    assert not (second.here / THEME).exists()
    assert second.log.lines == [f"{bucket / THEME} is not readable"]
    second.saves(THEME, LIGHT)
    second.sends()
    assert in_bucket(bucket, THEME) == {"theme": "JupyterLab Light"}
