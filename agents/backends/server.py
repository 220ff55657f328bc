"""Any OpenAI-compatible server (vLLM, llama.cpp, Ollama, ...) as a reasoner."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Final, TypeVar

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, Field, ValidationError, create_model

from agents.backends.messages import Message, checked_choices, one_of
from multimodal.errors import BackendError, ConfigError

__all__ = ["KEY_VARIABLE", "ServerReasoner"]

T = TypeVar("T", bound=BaseModel)
KEY_VARIABLE: Final = "WORLDMODEL_SERVER_KEY"
"""Environment variable of the key that is sent to the server, if it wants one."""
_LONGEST_REPLY: Final = 1 << 20
_TOKENS: Final = 400


class ServerReasoner:
    """Talks to `/chat/completions`; every reply is checked against the schema and asked for again.

    Args:
        address: of the interface, such as "http://localhost:8000/v1".
        model: name that the server knows it by.
        timeout_s: for each request.
        attempts: how often a reply that does not fit is asked for again.

    Raises:
        ConfigError: no address of a server.
    """

    def __init__(
        self, address: str, model: str = "default", timeout_s: float = 20.0, attempts: int = 2
    ) -> None:
        if not re.match(r"https?://[^/]", address):
            raise ConfigError(f"{address!r} is no address; write it like http://localhost:8000/v1.")
        self.address, self.model = address.rstrip("/"), model
        self.timeout_s, self.attempts = timeout_s, attempts
        key = os.environ.get(KEY_VARIABLE)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def generate(self, messages: Sequence[Message], schema: type[T]) -> T:
        """A reply that was checked against the schema; see `Reasoner.generate`."""
        turns = [_turn(message) for message in messages]
        wrong = ""
        for _ in range(1 + self.attempts):
            said = self._complete(turns, schema)
            try:
                return schema.model_validate_json(_json_in(said))
            except ValidationError as error:
                wrong = "; ".join(
                    f"{'.'.join(map(str, each['loc'])) or 'reply'}: {each['msg']}"
                    for each in error.errors()[:3]
                )
            turns += [
                {"role": "assistant", "content": said[:2000]},
                {"role": "user", "content": f"That does not fit the schema ({wrong}). Reply with "
                 "the JSON object alone."},
            ]  # fmt: skip
        raise BackendError(
            f"{self.address} answered {1 + self.attempts} times in no form that fits "
            f"{schema.__name__}: {wrong}. Use a model that follows instructions, or reason=grammar."
        )

    def score(self, messages: Sequence[Message], choices: Sequence[str]) -> NDArray[Any]:
        """0 for the reply that the server chose, -inf for the others; see `Reasoner.score`."""
        given = checked_choices(choices)
        fields: dict[str, Any] = {"choice": (one_of(given), Field())}
        schema = create_model("Choice", **fields)
        chosen = getattr(self.generate(messages, schema), "choice")  # noqa: B009
        return np.where(np.array(given) == chosen, 0.0, -np.inf)

    def _complete(self, turns: Sequence[dict[str, Any]], schema: type[BaseModel]) -> str:
        request = {
            "model": self.model,
            "messages": list(turns),
            "temperature": 0,
            "max_tokens": _TOKENS,
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": schema.__name__,
                    "schema": schema.model_json_schema(),
                    "strict": True,
                },
            },
        }
        reply = self._post(request)
        if reply.status_code in (400, 422):
            # Older servers know no schemas; what they write is checked all the same.
            del request["response_format"]
            reply = self._post(request)
        if reply.status_code != 200:
            raise BackendError(
                f"{self.address} answered {reply.status_code}: {reply.text[:200]!r}. Is the model "
                f"{self.model!r} served there, and {KEY_VARIABLE} set if it wants a key?"
            )
        try:
            said = reply.json()["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise BackendError(
                f"{self.address} answered, but not as /chat/completions does: "
                f"{reply.text[:200]!r}. Is it an OpenAI-compatible server?"
            ) from error
        return str(said or "")

    def _post(self, request: dict[str, Any]) -> httpx.Response:
        try:
            with httpx.Client(timeout=self.timeout_s, headers=self._headers) as client:
                url = f"{self.address}/chat/completions"
                with client.stream("POST", url, json=request) as reply:
                    body = b""
                    for piece in reply.iter_bytes():
                        body += piece
                        if len(body) > _LONGEST_REPLY:
                            raise BackendError(
                                f"{self.address} answers without end; stopped after 1 MiB."
                            )
                return httpx.Response(reply.status_code, content=body)
        except httpx.TimeoutException as error:
            raise BackendError(
                f"{self.address} did not answer within {self.timeout_s:g} s; raise timeout_s, or "
                "use a smaller model."
            ) from error
        except httpx.HTTPError as error:
            raise BackendError(
                f"{self.address} cannot be reached ({error or type(error).__name__}); is the "
                "server running?"
            ) from error


def _turn(message: Message) -> dict[str, Any]:
    if not message.pictures:
        return {"role": message.role, "content": message.text}
    content: list[dict[str, Any]] = [{"type": "text", "text": message.text}]
    for picture in message.pictures:
        buffer = BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        data = base64.b64encode(buffer.getvalue()).decode()
        content.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}})
    return {"role": message.role, "content": content}


def _json_in(said: str) -> str:
    """The JSON object in a reply, out of fences and thoughts where there are any."""
    said = re.sub(r"<think>.*?</think>", "", said, flags=re.DOTALL)
    start, end = said.find("{"), said.rfind("}")
    return said[start : end + 1] if 0 <= start < end else said
