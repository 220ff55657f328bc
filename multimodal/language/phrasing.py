"""Paraphrases: families of sentences that say the same, some of each kept out of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from multimodal.errors import ConfigError
from multimodal.language.vocabulary import Split

__all__ = ["FAMILIES", "Family", "is_held_out_template"]

HELD_OUT: Final = 2
"""So many paraphrases at the end of each family are held out."""


class Family:
    """Sentences with the same meaning and the same gaps.

    Args:
        name: "kind.pattern", the first part of a template's id.
        sentences: `str.format` templates; the last two are held out, so they must use words that
            the others teach.

    Raises:
        ConfigError: fewer than ten sentences, or a name that is taken.
    """

    def __init__(self, name: str, sentences: Sequence[str]) -> None:
        if len(sentences) < 10 or len(set(sentences)) != len(sentences):
            raise ConfigError(f"{name} has {len(sentences)} sentences; expected ten that differ.")
        if name in FAMILIES:
            raise ConfigError(f"there is a family {name!r} already; choose another name.")
        self.name = name
        self.sentences = tuple(sentences)
        FAMILIES[name] = self

    def draw(self, rng: np.random.Generator, split: Split, **words: Any) -> tuple[str, str]:
        """A sentence with its gaps filled, and the id of its template."""
        first, last = {
            "train": (0, len(self.sentences) - HELD_OUT),
            "held_out": (len(self.sentences) - HELD_OUT, len(self.sentences)),
            "any": (0, len(self.sentences)),
        }[split]
        index = int(rng.integers(first, last))
        return self.sentences[index].format(**words), f"{self.name}/{index}"


FAMILIES: Final[dict[str, Family]] = {}


def is_held_out_template(template: str) -> bool:
    """Whether a template's id, such as "count.shape/3", belongs to the held-out paraphrases.

    Raises:
        ConfigError: there is no such template.
    """
    name, _, index = template.partition("/")
    if name not in FAMILIES or not index.isdigit() or int(index) >= len(FAMILIES[name].sentences):
        raise ConfigError(f"there is no template {template!r}; take it from a Question or Caption.")
    return int(index) >= len(FAMILIES[name].sentences) - HELD_OUT
