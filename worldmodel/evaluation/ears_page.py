"""The report on the ears, to look at."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from multimodal.atomic import atomic_write_bytes

__all__ = ["write_page"]


def write_page(folder: Path, report: Mapping[str, Any]) -> Path:
    """Write `index.html`.

    Args:
        folder: the run's folder.
        report: `table`, `voices`, `figures` and `missed` as `worldmodel.evaluation.ears` makes
            them.

    Returns:
        Path of the page.
    """
    template = resources.files("worldmodel.evaluation").joinpath("ears_page.html")
    page = jinja2.Template(template.read_text(encoding="utf-8"), autoescape=True).render(**report)
    atomic_write_bytes(folder / "index.html", page.encode())
    return folder / "index.html"
