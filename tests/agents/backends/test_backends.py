"""Reasoners: the shipped model, one of transformers, and servers that work or do not."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import pytest
import torch
import uvicorn
from PIL import Image
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from agents.backends import HubReasoner, Message, OwnReasoner, ServerReasoner
from agents.backends.filling import filled
from agents.backends.understanding import reasoned
from agents.protocol import Ask, Refuse, Stop
from multimodal.errors import BackendError, ConfigError, FrameError, TextError


class Reply(BaseModel):
    colour: Literal["red", "green", "blue"]
    sure: bool
    places: list[Literal["left", "right"]] = Field(max_length=2)


def picture(side=64):
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)


ASKED = [Message("user", "What colour is the cube?", (picture(),))]


@pytest.fixture(scope="module")
def own() -> OwnReasoner:
    return OwnReasoner()


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> HubReasoner:
    """A LLaVA of random weights, the smallest there is."""
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    from multimodal.text_tokenizer import train_text_tokenizer

    tokenizer = train_text_tokenizer(['{"colour": "red", "sure": true}'], vocab_size=300)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2}
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**sizes, image_size=32, patch_size=8),
        text_config=LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=2, **sizes),
        image_token_index=3,
    )
    tokenizer.split_special_tokens = False
    folder = tmp_path_factory.mktemp("llava")
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    crops = {"shortest_edge": 32}, {"height": 32, "width": 32}
    LlavaProcessor(
        CLIPImageProcessor(size=crops[0], crop_size=crops[1]),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    return HubReasoner(folder)


@pytest.mark.parametrize("name", ["own", "hub"])
def test_replies_always_parse_and_scores_are_log_probabilities(name, request):
    reasoner = request.getfixturevalue(name)
    assert isinstance(reasoner.generate(ASKED, Reply), Reply)
    logs = reasoner.score(ASKED, ["red", "green", "a purple thing"])
    assert np.exp(logs).sum() == pytest.approx(1)
    with pytest.raises(TextError):
        reasoner.score(ASKED, [])
    with pytest.raises(TextError):
        reasoner.score(ASKED, ["red", "red"])


def test_a_model_of_transformers_scores_replies_as_their_whole_text_is_likely(hub):
    """The prompt is the same for all, so whole texts differ by what the replies are worth."""
    choices = ["red", "r", "sure true", " red"]
    whole = []
    for choice in choices:
        inputs = hub._ids(hub._prompt(ASKED) + choice, [Image.fromarray(ASKED[0].pictures[0])])
        with torch.no_grad():
            logs = hub.vlm.model(**inputs).logits[0].double().log_softmax(-1)
        ids = inputs["input_ids"][0]
        whole.append(float(logs[:-1].gather(1, ids[1:, None]).sum()))
    normal = np.array(whole) - np.logaddexp.reduce(whole)
    assert hub.score(ASKED, choices) == pytest.approx(normal, abs=1e-3)


def test_our_own_model_scores_as_it_answers(own):
    frame = picture()
    choices = ["yes", "no"]
    question = "Is there a red cube?"
    logs = own.score([Message("user", question, (frame,))], choices)
    assert choices[int(logs.argmax())] == own.vlm.answer(frame, question, choices)


def test_the_schema_is_filled_in_with_what_scores_best():
    def likes(so_far, options):
        return np.array([float("blue" in o or "false" in o or "right" in o) for o in options])

    text = filled(Reply.model_json_schema(), likes)
    assert json.loads(text) == {"colour": "blue", "sure": False, "places": []}

    class Essay(BaseModel):
        text: str

    with pytest.raises(ConfigError, match="Literal"):
        filled(Essay.model_json_schema(), likes)


def test_what_is_no_picture_is_refused():
    with pytest.raises(FrameError):
        Message("user", "look", (np.zeros((4, 4)),))


# Servers ----------------------------------------------------------------------------------------


@contextmanager
def serving(answer) -> Iterator[str]:
    """A real HTTP server on a free port of the loopback, as long as the context lasts."""
    app = Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        thread.join(60)


def said(text: str) -> JSONResponse:
    return JSONResponse({"choices": [{"message": {"role": "assistant", "content": text}}]})


def test_a_server_with_a_real_model_answers_in_the_schema(own):
    """The shipped model behind the interface of OpenAI: pictures and schema go over the wire."""
    seen = []

    async def answer(request: Request) -> Response:
        body = await request.json()
        text, shown = body["messages"][-1]["content"]
        raw = base64.b64decode(shown["image_url"]["url"].partition(",")[2])
        frame = np.array(Image.open(io.BytesIO(raw)))
        seen.append((frame, body["model"]))
        messages = [Message("user", text["text"], (frame,))]
        schema = body["response_format"]["json_schema"]["schema"]
        return said(
            filled(schema, lambda so_far, o: own._logs(messages, [so_far + each for each in o]))
        )

    with serving(answer) as address:
        reasoner = ServerReasoner(address, "ours")
        assert reasoner.generate(ASKED, Reply) == own.generate(ASKED, Reply)
        choice = reasoner.score(ASKED, ["red", "green"])
    assert sorted(choice) == [-np.inf, 0.0]
    assert np.array_equal(seen[0][0], ASKED[0].pictures[0])
    assert seen[0][1] == "ours"


def test_a_reply_that_does_not_fit_is_asked_for_again():
    asked = []

    async def answer(request: Request) -> Response:
        asked.append((await request.json())["messages"])
        good = '```json\n{"colour": "red", "sure": true, "places": []}\n```'
        return said(good if len(asked) == 2 else '{"colour": "pink"}')

    with serving(answer) as address:
        assert ServerReasoner(address).generate(ASKED, Reply).colour == "red"
    assert "colour" in asked[1][-1]["content"], "the server is told what was wrong"


def test_nonsense_that_does_not_end_is_an_error_that_says_so():
    async def answer(request: Request) -> Response:
        return said("I would rather talk about the weather.")

    with serving(answer) as address, pytest.raises(BackendError, match="3 times"):
        ServerReasoner(address).generate(ASKED, Reply)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (lambda: PlainTextResponse("no such model", 404), "404"),
        (lambda: PlainTextResponse("<html>"), "OpenAI-compatible"),
        (lambda: JSONResponse({"choices": []}), "OpenAI-compatible"),
        (lambda: PlainTextResponse("x" * 3_000_000), "without end"),
    ],
)
def test_a_server_of_another_kind_is_an_error_that_says_so(reply, message):
    async def answer(request: Request) -> Response:
        return reply()

    with serving(answer) as address, pytest.raises(BackendError, match=message):
        ServerReasoner(address).generate(ASKED, Reply)


def test_a_slow_server_is_not_waited_for():
    async def answer(request: Request) -> Response:
        import asyncio

        await asyncio.sleep(2)
        return said("{}")

    with serving(answer) as address, pytest.raises(BackendError, match=r"within 0\.3 s"):
        ServerReasoner(address, timeout_s=0.3).generate(ASKED, Reply)


def test_a_server_that_is_down_is_an_error_that_says_so():
    with pytest.raises(BackendError, match="running"):
        ServerReasoner("http://127.0.0.1:9/v1").generate(ASKED, Reply)
    with pytest.raises(ConfigError, match="http://localhost"):
        ServerReasoner("localhost:8000")


# Understanding by a language model --------------------------------------------------------------


class Says:
    """A reasoner that always gives one reply: what a model under somebody's influence would do."""

    def __init__(self, **reply):
        self.reply = reply

    def generate(self, messages, schema):
        return schema.model_validate(self.reply)


def test_a_model_can_only_do_what_was_said(table):
    wanted = {"object": "red cube", "place": "green target"}
    act = reasoned(Says(decision="act", steps=[wanted]))
    steps = act("push the red cube to the green target", table)
    assert [step.words() for step in steps] == ["push the red cube to the green target"]
    injected = act("push the blue cube to the left wall", table)
    assert isinstance(injected, Ask)
    assert isinstance(act("stop", table), Stop)
    assert isinstance(act("", table), Ask)


@pytest.mark.parametrize(
    "instruction",
    [
        "push the green cube to the green target",
        "push the red ball to the green target",
        "push the blue cube to the green target and the red cube to the left wall",
        "push the green cube to the red target",
    ],
)
def test_another_colour_shape_or_clause_than_was_said_is_asked_about(instruction, table):
    wanted = {"object": "red cube", "place": "green target"}
    act = reasoned(Says(decision="act", steps=[wanted]))
    assert isinstance(act(instruction, table), Ask)


def test_what_was_named_before_may_be_called_it(table):
    wanted = {"object": "red cube", "place": "green target"}
    act = reasoned(Says(decision="act", steps=[wanted]))
    said = "push the red cube to the left wall, then push it to the green target"
    assert not isinstance(act(said, table), Ask)


def test_our_own_model_reasons_about_a_scene_without_breaking(own, table):
    decided = reasoned(own)("push the red cube to the green target", table)
    assert isinstance(decided, tuple | Ask | Refuse)
