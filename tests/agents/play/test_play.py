"""The page for a human: sessions, the socket, and the page itself in a real browser."""

import base64
import io
import json
import shutil
import socket
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import uvicorn
from diffusers import FlowMapEulerDiscreteScheduler
from PIL import Image
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from agents.play import PlaySession, play_app
from agents.play.run import own_picture
from agents.policy import Policy
from multimodal.errors import ActionError, ConfigError, FrameError, RenderingError
from tests.worldmodel.test_compact import parts
from worldmodel import WorldModelPipeline
from worldmodel.cli import main

RIGHT = np.array([1.0, 0.0], np.float32)


@pytest.fixture(scope="module")
def pipeline():
    return WorldModelPipeline.from_pretrained("push")


@pytest.fixture
def session(pipeline):
    opened = PlaySession(pipeline)
    yield opened
    opened.close()


def test_both_worlds_begin_alike_and_go_the_same_way(session):
    first = session.begin(7)
    assert first.psnr_db > 40
    assert first.instruction.startswith("push")
    for _ in range(8):
        seen = session.move(RIGHT)
    assert seen.step == 8
    assert seen.psnr_db > 25
    for before, after in ((first.learned, seen.learned), (first.truth, seen.truth)):
        assert np.abs(before.astype(int) - after.astype(int)).max() > 80


def test_going_back_leads_to_the_same_future(session):
    session.begin(7)
    views = [session.move(RIGHT) for _ in range(6)]
    there = session.back(4)
    assert there.step == 2
    assert np.array_equal(there.learned, views[1].learned)
    assert np.array_equal(there.truth, views[1].truth)
    again = [session.move(RIGHT) for _ in range(4)][-1]
    assert np.array_equal(again.learned, views[-1].learned)
    assert np.array_equal(again.truth, views[-1].truth)
    assert session.back(10_000).step == 0


def test_the_model_goes_on_from_what_the_simulator_shows(session):
    session.begin(3)
    for _ in range(40):
        seen = session.move(RIGHT)
    met = session.meet()
    assert met.psnr_db > max(35, seen.psnr_db)
    assert met.instruction == seen.instruction
    assert met.step == seen.step


def test_success_is_what_the_simulator_says(session):
    policy = Policy.from_pretrained("push-policy")
    reached = []
    for seed in (100, 101, 102):
        view = session.begin(seed)
        assert view.success is None
        goal = policy.goals_of([view.instruction])
        for _ in range(60):
            action = policy.act(view.truth[None], goal)[0]
            view = session.move(np.asarray(action, np.float32))
            if view.success:
                break
        reached.append(view.success)
    assert sum(reached) >= 2
    assert session.begin(0).success is None


def test_a_world_of_one_action_keeps_its_own_rate_and_says_where_an_episode_ends():
    pole = WorldModelPipeline(
        *parts(action_dim=1), FlowMapEulerDiscreteScheduler(), world="InvertedPendulum-v5"
    )
    session = PlaySession(pole)
    assert session.steps_per_s == 25
    session.begin(0)
    views = [session.move(np.ones(1, np.float32)) for _ in range(30)]
    assert views[-1].over
    assert not any(view.success for view in views)
    session.close()


def test_a_model_of_no_world_asks_for_a_picture(session):
    alone = WorldModelPipeline(*parts(), FlowMapEulerDiscreteScheduler())
    with pytest.raises(ConfigError, match="image=PATH"):
        PlaySession(alone)
    own = PlaySession(alone, session.begin(0).truth)
    assert own.begin(0).step == 0
    own.close()


def test_a_wrong_action_moves_nothing(session):
    session.begin(3)
    seen = session.move(RIGHT)
    with pytest.raises(ActionError):
        session.move(np.array([2.0, 0.0], np.float32))
    assert np.array_equal(session.view().learned, seen.learned)
    assert session.back(1).step == 0


def test_a_picture_of_ones_own_is_played_without_a_simulator(session, pipeline, tmp_path):
    Image.fromarray(session.begin(5).truth).resize((256, 256)).save(tmp_path / "mine.png")
    own = PlaySession(pipeline, own_picture(tmp_path / "mine.png", 64))
    seen = own.begin(0)
    assert seen.truth is seen.psnr_db is None
    assert np.abs(seen.learned.astype(int) - session.view().learned).mean() < 6
    assert own.move(RIGHT).step == 1
    with pytest.raises(ConfigError, match="no MuJoCo world"):
        own.meet()
    own.close()


def test_what_cannot_be_played_says_why(tmp_path, capsys):
    (tmp_path / "text.png").write_text("no picture")
    Image.new("RGB", (64, 32)).save(tmp_path / "wide.png")
    for name, said in (
        ("text.png", "no picture"),
        ("wide.png", "square"),
        ("none.png", "There is no picture"),
    ):
        with pytest.raises(FrameError, match=said):
            own_picture(tmp_path / name, 64)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["play", f"port={taken.getsockname()[1]}", "beside=false"]) == 2
    assert "try port=0" in capsys.readouterr().err.replace("\n", " ")


def test_the_socket_answers_what_it_is_asked_and_refuses_the_rest(pipeline):
    client = TestClient(play_app(lambda: PlaySession(pipeline), "push", seats=1))
    assert "<title>worldmodel play</title>" in client.get("/").text
    with client.websocket_connect("/session") as page:
        world = page.receive_json()
        assert (world["name"], world["low"], world["beside"]) == ("push", [-1.0, -1.0], True)
        for wrong in ('{"kind": "begin"}', "no json", '{"kind": "move", "action": [NaN, 0]}'):
            page.send_text(wrong)
            assert page.receive_json()["kind"] == "failed"
        page.send_text(json.dumps({"kind": "begin", "seed": 7}))
        begun = page.receive_json()
        png = base64.b64decode(begun["learned"].partition(",")[2])
        assert Image.open(io.BytesIO(png)).size == (64, 64)
        page.send_text(json.dumps({"kind": "move", "action": [0.0, 0.0, 0.0]}))
        assert "2" in page.receive_json()["why"]
        page.send_bytes(b"no text")
        assert page.receive_json()["kind"] == "failed"
        with client.websocket_connect("/session") as late:
            assert "open already" in late.receive_json()["why"]
    with client.websocket_connect("/session") as page:
        assert page.receive_json()["kind"] == "world"


def test_a_page_that_could_not_be_opened_frees_its_seat_and_one_that_closes_its_worlds(pipeline):
    opened = []

    def open_or_fail():
        if not opened:
            opened.append(None)
            raise RenderingError("no OpenGL here")
        opened.append(PlaySession(pipeline))
        return opened[-1]

    client = TestClient(play_app(open_or_fail, "push", seats=1))
    with client.websocket_connect("/session") as page:
        assert "no OpenGL here" in page.receive_json()["why"]
    with client.websocket_connect("/session") as page:
        assert page.receive_json()["kind"] == "world"
        page.send_text(json.dumps({"kind": "begin", "seed": 7}))
        assert page.receive_json()["kind"] == "shown"
        assert opened[1].truth._renderer is not None
    assert opened[1].truth._renderer is None


def test_pages_of_others_are_not_let_in(pipeline):
    client = TestClient(play_app(lambda: PlaySession(pipeline), "push"))
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/session", headers={"origin": "http://evil.example"}),
    ):
        pass
    with client.websocket_connect("/session", headers={"origin": "http://testserver"}) as page:
        assert page.receive_json()["kind"] == "world"


@contextmanager
def served(app):
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="websockets-sansio"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_the_page_is_played_by_keys_in_a_real_browser(pipeline):
    from playwright.sync_api import expect, sync_playwright

    app = play_app(lambda: PlaySession(pipeline), "push")
    with served(app) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page()
        page.goto(f"{address}/?seed=7")
        expect(page.locator("#instruction")).to_contain_text("push")
        page.keyboard.press("p")
        page.keyboard.press("r")
        page.wait_for_function("() => state.shown.step === 0 && !state.waiting")
        first = page.locator("#learned").get_attribute("src")
        page.keyboard.press("p")
        page.keyboard.down("ArrowRight")
        expect(page.locator("#numbers")).to_contain_text("step 1")
        page.wait_for_function("() => state.shown.step >= 25")
        page.keyboard.up("ArrowRight")
        assert page.locator("#plot").is_visible()
        page.keyboard.press("p")
        page.wait_for_function("() => !state.waiting")
        step = page.evaluate("() => state.shown.step")
        page.keyboard.press("Backspace")
        page.wait_for_function(f"() => state.shown.step === {step - 20}")
        moved = page.locator("#learned").get_attribute("src")
        assert moved != first
        page.keyboard.press("r")
        page.wait_for_function("() => state.shown.step === 0")
        assert page.locator("#learned").get_attribute("src") == first
        assert page.locator("#message").inner_text() == ""
        browser.close()
