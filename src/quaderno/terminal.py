"""What the commands write on the terminal: progress, findings, tables."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_TABLE_WIDTH = 200  # characters; a narrower terminal wraps lines rather than losing their ends

out = Console(highlight=False, emoji=False, soft_wrap=True)
err = Console(highlight=False, emoji=False, soft_wrap=True, stderr=True)


def progress(message: str) -> None:
    """One line for each thing that is done."""
    out.print(f"[dim]·[/] {escape(message)}")


def finding(found: Any) -> None:
    """A finding of `quaderno check`."""
    colour = "red" if found.level == "error" else "yellow"
    out.print(
        f"[{colour}]{found.level}[/] {found.id}: {escape(found.problem)}. "
        f"[dim]{escape(found.hint)}[/]"
    )


def point(found: Any) -> None:
    """A point of `quaderno image check`."""
    colour = {"ok": "green", "warning": "yellow", "error": "red"}[found.level]
    hint = f". [dim]{escape(found.hint)}[/]" if found.hint else ""
    out.print(f"[{colour}]{found.level}[/] {found.id}: {escape(found.found)}{hint}")


def warnings(texts: list[str]) -> None:
    """What is wrong although everything runs."""
    for text in texts:
        out.print(f"[yellow]warning[/] {escape(text)}")


def table(columns: list[str], rows: list[list[str]]) -> None:
    """Columns for people; programs take --json."""
    grid = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        grid.add_row(*(escape(cell) for cell in row))
    Console(highlight=False, emoji=False, width=max(out.width, _TABLE_WIDTH)).print(grid)


def storage(users: list[dict[str, Any]] | None) -> None:
    """How people's storage is, where the agent says it."""
    if users is None:
        out.print("\nstorage: the agent does not answer")
    elif users:
        out.print()
        columns = [
            "storage of",
            "state",
            "files to upload",
            "bytes",
            "refused",
            "quota",
            "what they are told",
        ]
        table(
            columns,
            [
                [
                    user["user"],
                    user["state"],
                    str(user["pending"]["files"]),
                    str(user["pending"]["bytes"]),
                    str(len(user["refused"])),
                    (user["quota"] or {}).get("text", ""),
                    user["message"],
                ]
                for user in users
            ],
        )


def replication(standing: Any) -> None:
    """How far this site's store is behind the other's, where there is another, and why it is."""
    if standing is not None:
        behind = "not known" if standing.behind is None else f"{standing.behind:.1f} s"
        out.print(f"\nthe store is behind that of {escape(standing.source)}: {behind}")
        if standing.owed:
            out.print(f"{standing.owed} of its objects wait for room: their buckets here are full")


def cell(value: object) -> str:
    """A value of JSON as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) or "-" if isinstance(value, list) else str(value or "-")
