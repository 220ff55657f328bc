"""A NumPy generator's state as plain integers, so that saving it needs no pickle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["generator_words", "restore_generator"]

_WORD_BITS = 64
_WORD_MASK = (1 << _WORD_BITS) - 1


def generator_words(generator: np.random.Generator) -> tuple[int, ...]:
    """A PCG64 generator's state as six integers below 2**64."""
    state = generator.bit_generator.state
    numbers = (state["state"]["state"], state["state"]["inc"])
    words = (part for number in numbers for part in (number >> _WORD_BITS, number & _WORD_MASK))
    return (*words, int(state["has_uint32"]), int(state["uinteger"]))


def restore_generator(generator: np.random.Generator, words: Sequence[int]) -> None:
    """Put a PCG64 generator back to where `generator_words` was taken."""
    high, low, inc_high, inc_low, has_uint32, uinteger = (int(word) for word in words)
    generator.bit_generator.state = {
        **generator.bit_generator.state,
        "state": {
            "state": (high << _WORD_BITS) | low,
            "inc": (inc_high << _WORD_BITS) | inc_low,
        },
        "has_uint32": has_uint32,
        "uinteger": uinteger,
    }
