"""`worldmodel agent` from the command line."""

import json
import shutil
from threading import Event

import numpy as np
import pytest

from agents.acting.run import Session
from agents.voice import listener, spoken_instruction
from multimodal.audio.engines import Voice, speak
from multimodal.audio.waveform import write_wav
from multimodal.errors import AudioError
from multimodal.speech import Listener, Transcript
from worldmodel.cli import composed, main
from worldmodel.runs import RunDirectory

HASTY = ["imagine=none", "say=false"]


def last(out, number=0):
    lines = (out / f"episode_{number:03d}" / "trace.jsonl").read_text().splitlines()
    return json.loads(lines[-1])


def test_ears_open_without_a_word_on_the_terminal(capfd):
    listener()
    assert "Loading" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("world", ["mujoco", "learned"])
def test_an_instruction_is_carried_out_traced_and_replayed(world, tmp_path):
    out = tmp_path / "run"
    text = "instruction=push the red cube to the green target"
    words = ["agent", text, f"world={world}", f"out={out}", *HASTY]
    most = 120 if world == "mujoco" else 15
    assert main([*words, f"max_ticks={most}"]) == (0 if world == "mujoco" else main_code(out))
    figures = json.loads((out / "metrics.json").read_text())
    assert figures["ticks"] > 0
    if world == "mujoco":
        assert figures["success"] == 1
        assert last(out)["status"] == "done"
    assert main(["agent", "replay", f"trace={out / 'episode_000'}"]) == 0


def test_what_is_said_later_goes_on_from_there_and_is_replayed_too(tmp_path):
    words = [f"out={tmp_path}", "scene=3", "max_ticks=4", *HASTY]
    session = Session(composed("agent", words), RunDirectory(tmp_path))
    text = session.world.reset(seed=3)[1]["instruction"]
    session.carry_out_all((text, {}, Event()) for _ in range(2))
    session.world.close()
    for number in range(2):
        assert last(tmp_path, number)["ticks"] == 4
        assert main(["agent", "replay", f"trace={tmp_path / f'episode_{number:03d}'}"]) == 0


def test_an_instruction_from_a_fresh_start_is_replayed_without_those_before_it(tmp_path):
    words = [f"out={tmp_path}", "scene=3", "max_ticks=4", *HASTY]
    session = Session(composed("agent", words), RunDirectory(tmp_path))
    for _ in range(2):
        session.do(None, {})
    session.world.close()
    for number in range(2):
        assert main(["agent", "replay", f"trace={tmp_path / f'episode_{number:03d}'}"]) == 0


def main_code(out):
    """What the command should have returned, by its own trace: a learned world has no judge."""
    return 1 if last(out)["status"] in ("gave_up", "out_of_time") else 0


@pytest.mark.parametrize(
    ("text", "status"),
    [("push the banana to the left wall", "refused"), ("''", "asked"), ("stop", "stopped")],
)
def test_what_is_not_done_is_answered_and_the_command_succeeds(text, status, tmp_path):
    out = tmp_path / "run"
    assert main(["agent", f"instruction={text}", f"out={out}", *HASTY]) == 0
    assert last(out)["status"] == status


def test_without_an_instruction_it_asks_for_one(capsys):
    assert main(["agent"]) == 2
    said = capsys.readouterr().err.replace("\n", " ")
    assert "instruction=" in said
    assert "scene=N" in said


def test_a_scene_alone_brings_its_own_instruction_and_says_so(tmp_path, capsys):
    out = tmp_path / "run"
    main(["agent", "scene=3", "max_ticks=1", f"out={out}", *HASTY])
    assert "scene 3: I take its own instruction" in capsys.readouterr().err.replace("\n", " ")
    assert last(out)["ticks"] <= 1


def test_a_server_that_is_down_is_an_error_and_the_trace_is_whole(tmp_path, capsys):
    out = tmp_path / "run"
    words = ["agent", "scene=3", "reason='http://127.0.0.1:9/v1'", f"out={out}", *HASTY]
    assert main(words) == 1
    assert "is the server running" in capsys.readouterr().err.replace("\n", " ")
    assert last(out)["status"] == "broken_off"


@pytest.mark.parametrize(
    "wrong",
    [["mode=dream"], ["instruction=push it", "audio=a.wav"], ["scene=1", "imagine=crystal_ball"],
     ["scene=1", "planner.candidates=0"], ["scene=1", "world=learned", "imagine=mujoco"],
     ["replay"], ["scene=1", "reason=tea_leaves"]],
)  # fmt: skip
def test_a_command_that_makes_no_sense_is_refused(wrong, capsys):
    assert main(["agent", *wrong]) == 2
    assert "What shall I do?" not in capsys.readouterr().err


class Hears:
    """A recogniser for one sentence: what is measured here is how its words become a command."""

    def transcribe(self, waveform, rate_hz):
        return Transcript("push the red cube to the green target", 1.0)


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
def test_a_sound_file_becomes_an_instruction(tmp_path):
    waveform, rate_hz = speak("push the red cube to the green target", Voice("espeak-ng", "en-us"))
    quiet = np.zeros(rate_hz, np.float32)
    sound = np.concatenate([quiet, 0.5 * waveform.numpy(), quiet]).astype(np.float32)
    write_wav(tmp_path / "command.wav", sound, rate_hz)
    text, heard = spoken_instruction(tmp_path / "command.wav", Listener(Hears()))
    assert text == "push the red cube to the green target"
    assert heard["utterances"] == 1
    assert 0 < heard["endpoint_ms"] < 1000
    write_wav(tmp_path / "silence.wav", np.zeros(16_000, np.float32), 16_000)
    assert spoken_instruction(tmp_path / "silence.wav", Listener(Hears()))[0] == ""


def test_what_is_no_sound_is_refused(tmp_path):
    (tmp_path / "text.wav").write_text("this is not a sound")
    for name in ("text.wav", "nowhere.wav"):
        with pytest.raises(AudioError):
            spoken_instruction(tmp_path / name, Listener(Hears()))
