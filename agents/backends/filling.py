"""JSON that always fits its schema: a model only ever chooses between ways to go on.

Small models break JSON when they write it. Here the schema writes it; wherever the schema leaves a
choice (a word of a list, true or false, one more element or the end), each way is scored as the
continuation of what has been written, and the likeliest is taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multimodal.errors import ConfigError

__all__ = ["filled"]

Scored = Callable[[str, Sequence[str]], NDArray[Any]]
_MOST_ELEMENTS: Final = 4
_MOST_INTEGERS: Final = 32
_DEEPEST: Final = 12


def filled(schema: Mapping[str, Any], score: Scored) -> str:
    """Write JSON that fits.

    Args:
        schema: JSON Schema as pydantic makes it: objects, arrays, enumerations, constants, numbers
            with bounds, booleans, null, and unions of these.
        score: log-probabilities of continuations, given the text written so far.

    Returns:
        The JSON text.

    Raises:
        ConfigError: the schema has a text or number without choices.
    """
    return _Writer(schema, score).write(schema, "", 0)


class _Writer:
    def __init__(self, root: Mapping[str, Any], score: Scored) -> None:
        self._definitions = root.get("$defs", {})
        self._score = score

    def write(self, schema: Mapping[str, Any], so_far: str, depth: int) -> str:
        """`so_far` and a value of the schema."""
        if depth > _DEEPEST:
            raise ConfigError("the schema contains itself; use one that ends.")
        if "$ref" in schema:
            name = str(schema["$ref"]).rpartition("/")[2]
            return self.write(self._definitions[name], so_far, depth + 1)
        if "const" in schema:
            return so_far + json.dumps(schema["const"])
        if "enum" in schema:
            return self._chosen(so_far, [json.dumps(value) for value in schema["enum"]])
        for union in ("anyOf", "oneOf"):
            if union in schema:
                return self._union(schema[union], so_far, depth)
        return self._typed(schema, so_far, depth)

    def _typed(self, schema: Mapping[str, Any], so_far: str, depth: int) -> str:
        kind = schema.get("type")
        if kind == "object":
            return self._object(schema, so_far, depth)
        if kind == "array":
            return self._array(schema, so_far, depth)
        if kind == "boolean":
            return self._chosen(so_far, ["true", "false"])
        if kind == "null":
            return so_far + "null"
        if kind == "integer":
            low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
            high = schema.get("maximum", schema.get("exclusiveMaximum", 0) - 1)
            if 0 <= high - low < _MOST_INTEGERS:
                return self._chosen(so_far, [str(value) for value in range(low, high + 1)])
        raise ConfigError(
            f"a reply of type {kind!r} leaves no choice between known answers; use Literal, an "
            f"Enum, or integers with bounds less than {_MOST_INTEGERS} apart."
        )

    def _object(self, schema: Mapping[str, Any], so_far: str, depth: int) -> str:
        so_far += "{"
        for number, (name, part) in enumerate(schema.get("properties", {}).items()):
            so_far += ("" if number == 0 else ", ") + json.dumps(name) + ": "
            so_far = self.write(part, so_far, depth + 1)
        return so_far + "}"

    def _array(self, schema: Mapping[str, Any], so_far: str, depth: int) -> str:
        least = int(schema.get("minItems", 0))
        most = int(schema.get("maxItems", max(least, _MOST_ELEMENTS)))
        so_far += "["
        for number in range(most):
            if number >= least:
                more = ", " if number else '{"'
                following = self._chosen(so_far, ["]", more])
                if following.endswith("]"):
                    return following
            so_far += ", " if number else ""
            so_far = self.write(schema["items"], so_far, depth + 1)
        return so_far + "]"

    def _union(self, options: Sequence[Mapping[str, Any]], so_far: str, depth: int) -> str:
        """Write every way and take the likeliest."""
        written = [self.write(option, so_far, depth + 1) for option in options]
        return self._chosen(so_far, [text[len(so_far) :] for text in written])

    def _chosen(self, so_far: str, options: Sequence[str]) -> str:
        if len(options) == 1:
            return so_far + options[0]
        return so_far + options[int(np.argmax(self._score(so_far, options)))]
