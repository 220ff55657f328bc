"""Objectives of `worldmodel train` that train several arms at equal cost and write a table."""

from collections.abc import Mapping

__all__ = ["COMPARISONS"]

# Each module has `compare(source, directory) -> dict[str, float]`, which trains the arms below the
# run's folder, writes `table.json` and `table.md`, and returns the final figures.
COMPARISONS: Mapping[str, str] = {
    "joint": "worldmodel.comparisons.joint",
    "mixture": "worldmodel.comparisons.mixture",
    "resolution": "worldmodel.comparisons.resolution",
}
