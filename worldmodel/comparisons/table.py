"""A comparison as a table: JSON for programs, Markdown for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from multimodal.atomic import atomic_write_bytes
from worldmodel.runs import RunDirectory
from worldmodel.training.record import shown_command

__all__ = ["write_table"]


def write_table(
    directory: RunDirectory, title: str, rows: Mapping[str, Mapping[str, float]]
) -> Path:
    """Write `table.json` and `table.md`, with the command of this process, and show the table.

    Args:
        directory: the run's.
        title: what is compared.
        rows: arm to figure to value; a figure that an arm lacks stays empty.

    Returns:
        The path of the Markdown.
    """
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    command = shown_command()
    directory.write_json("table.json", {"title": title, "command": command, "rows": rows})
    shown = Table("", *columns, title=title)
    lines = [
        f"# {title}",
        "",
        f"`{command}`",
        "",
        "| | " + " | ".join(columns) + " |",
        "|---" * (1 + len(columns)) + "|",
    ]
    for arm, row in rows.items():
        values = [f"{row[name]:.4g}" if name in row else "" for name in columns]
        shown.add_row(arm, *values)
        lines.append(f"| {arm} | " + " | ".join(values) + " |")
    Console(stderr=True).print(shown)
    path = directory.path / "table.md"
    atomic_write_bytes(path, ("\n".join(lines) + "\n").encode())
    return path
