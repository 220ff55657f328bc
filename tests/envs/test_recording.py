"""A recording is decided by its seeds, whoever makes it and however often it is interrupted."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import minari
import numpy as np
import psutil
import pytest

from envs.adapter import make_world
from envs.recording import record_episode, run, seeds_of, split_of
from multimodal.errors import ConfigError, DatasetError
from multimodal.store import EpisodeStore
from tests.multimodal.episodes import assert_same
from worldmodel.cli import composed, main
from worldmodel.runs import RunDirectory

ROOT = Path(__file__).parents[2]
ARGUMENTS = ["record", "episodes=4", "steps=6", "workers=1", "seed=40"]


@pytest.fixture(autouse=True)
def _ctrl_c_arrives() -> Iterator[None]:
    """Shells start background commands, such as a whole test run, deaf to Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def record(out: Path, *changes: str) -> int:
    return main([*ARGUMENTS, f"out={out}", *changes])


def start(out: Path, *changes: str) -> "subprocess.Popen[bytes]":
    """The command in a process group of its own, as a terminal starts it."""
    command = [sys.executable, "-m", "worldmodel", *ARGUMENTS, f"out={out}", *changes]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL)


def wait_for_staged(out: Path, count: int) -> None:
    deadline = time.monotonic() + 90
    while len(list((out / "staging").glob("episode_*"))) < count:
        assert time.monotonic() < deadline, "nothing was recorded"
        time.sleep(0.01)


def digests(out: Path) -> list[str]:
    return [record.digest for record in EpisodeStore.open(out.parent, out.name).records]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four episodes recorded without interruption, in one process."""
    out = tmp_path_factory.mktemp("recorded") / "push-v0"
    assert record(out) == 0
    return out


def test_the_same_seed_gives_the_same_episode_in_a_fresh_and_in_a_used_world() -> None:
    used = make_world("worldmodel/Push-v0")
    record_episode(used, seed=3, steps=5)
    again = record_episode(used, seed=7, steps=8)
    assert_same(again, record_episode(make_world("worldmodel/Push-v0"), seed=7, steps=8))


def test_another_seed_gives_another_episode() -> None:
    world = make_world("worldmodel/Push-v0")
    one, two = (record_episode(world, seed, steps=4) for seed in (1, 2))
    assert one.frames.tobytes() != two.frames.tobytes()
    assert one.actions.tobytes() != two.actions.tobytes()


def test_every_action_leads_from_its_frame_to_the_next() -> None:
    world = make_world("worldmodel/Push-v0")
    episode = record_episode(world, seed=11, steps=10)
    frame, info = world.reset(seed=11)
    assert info["instruction"] == episode.instruction
    np.testing.assert_array_equal(frame, episode.frames[0])
    for step, action in enumerate(episode.actions):
        frame, reward, terminated, _, info = world.step(action)
        np.testing.assert_array_equal(frame, episode.frames[step + 1])
        assert reward == pytest.approx(episode.rewards[step])
        assert terminated == episode.terminations[step]
        assert info["success"] == episode.success[step + 1]
        assert info["contact"] == episode.state["contact"][step + 1]
        for name, value in info["state"].items():
            np.testing.assert_array_equal(value, episode.state[name][step + 1])


def test_an_episode_is_cut_off_after_its_steps() -> None:
    episode = record_episode(make_world("worldmodel/Push-v0"), seed=1, steps=3)
    assert (len(episode), len(episode.frames)) == (3, 4)
    assert episode.truncations.tolist() == [False, False, True]
    assert episode.captions


def test_splits_are_ninety_five_five_and_never_change() -> None:
    splits = [split_of(seed) for seed in range(20_000)]
    for name, share in (("train", 0.9), ("validation", 0.05), ("test", 0.05)):
        assert splits.count(name) / len(splits) == pytest.approx(share, abs=0.006)
    assert seeds_of("test", 3) == [34, 47, 53]
    assert seeds_of("validation", 3) == [23, 30, 48]


def test_the_seeds_of_a_split_go_on_where_the_last_ones_ended() -> None:
    assert seeds_of("test", 6)[3:] == seeds_of("test", 3, start=seeds_of("test", 3)[-1] + 1)
    assert {split_of(seed) for seed in seeds_of("validation", 50)} == {"validation"}
    with pytest.raises(ConfigError, match="train, validation, test"):
        seeds_of("held-out", 1)


def test_a_recording_is_a_minari_dataset_with_its_figures(recorded: Path) -> None:
    store = EpisodeStore.open(recorded.parent, recorded.name)
    assert [episode.seed for episode in store] == [40, 41, 42, 43]
    dataset = minari.MinariDataset(recorded / "data")
    assert dataset.total_episodes == 4
    assert dataset.action_space == make_world("worldmodel/Push-v0").action_space
    assert dataset.recover_environment().observation_space == dataset.observation_space
    metrics = json.loads((recorded / "metrics.json").read_text())
    contact = np.concatenate([episode.state["contact"] for episode in store])
    assert metrics["contact_share"] == pytest.approx(contact.mean())
    assert (metrics["episodes"], metrics["frames"]) == (4, len(contact))
    assert metrics["frames_per_s"] > 0
    assert "worldmodel record seed=40 episodes=4 steps=6" in (recorded / "README.md").read_text()
    assert not (recorded / "staging").exists()


def card_arguments(out: Path) -> list[str]:
    """What the dataset card says to type, without the program's name."""
    card = (out / "README.md").read_text()
    (line,) = [line for line in card.splitlines() if line.startswith("    worldmodel record")]
    return shlex.split(line)[1:]


def test_the_command_in_the_dataset_card_records_the_same(recorded: Path, tmp_path: Path) -> None:
    arguments = card_arguments(recorded)
    assert main([*arguments, "workers=1", f"out={tmp_path / 'again-v0'}"]) == 0
    assert digests(tmp_path / "again-v0") == digests(recorded)


@pytest.mark.slow
def test_the_number_of_processes_does_not_matter(recorded: Path, tmp_path: Path) -> None:
    assert record(tmp_path / "two-v0", "workers=2") == 0
    assert digests(tmp_path / "two-v0") == digests(recorded)


def test_a_recording_grows_by_what_is_missing(recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "grown-v0"
    assert record(out, "episodes=2") == 0
    assert record(out, "episodes=4") == 0
    assert digests(out) == digests(recorded)
    frames = sum(session["frames"] for session in RunDirectory(out).history())
    assert frames == json.loads((out / "metrics.json").read_text())["frames"]
    assert record(out, "episodes=4") == 0
    assert len(RunDirectory(out).history()) == 2


@pytest.mark.parametrize("change", ["steps=7", "seed=41", "world.options.reward=sparse"])
def test_other_arguments_for_the_same_folder_are_refused(recorded: Path, change: str) -> None:
    cfg = composed("record", [*ARGUMENTS[1:], f"out={recorded}", change])
    with pytest.raises(DatasetError, match="recorded with other arguments"):
        run(cfg)
    assert len(digests(recorded)) == 4


def test_resume_never_refuses_a_folder_with_episodes(recorded: Path) -> None:
    with pytest.raises(ConfigError, match="resume=auto"):
        run(composed("record", [*ARGUMENTS[1:], f"out={recorded}", "resume=never"]))


@pytest.mark.parametrize("change", ["episodes=0", "steps=0", "workers=-1", "seed=-3"])
def test_numbers_out_of_range_are_a_usage_error(tmp_path: Path, change: str) -> None:
    assert record(tmp_path / "bad-v0", change) == 2
    assert not (tmp_path / "bad-v0").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "number", "code"),
    [(1, signal.SIGINT, 130), (2, signal.SIGINT, 130), (2, signal.SIGTERM, 143)],
)
def test_a_stopped_recording_keeps_what_is_finished_and_goes_on_later(
    recorded: Path, tmp_path: Path, workers: int, number: int, code: int
) -> None:
    out = tmp_path / "stopped-v0"
    process = start(out, "episodes=500", f"workers={workers}")
    wait_for_staged(out, 3)
    os.killpg(process.pid, number)
    assert process.wait(60) == code
    # Stopped early enough, everything is still staged.
    committed = digests(out) if (out / "data" / "main_data.hdf5").exists() else []
    total = len(committed) + len(list((out / "staging").glob("episode_*")))
    assert 3 <= total < 500
    assert record(out, f"episodes={total + 2}") == 0
    assert len(digests(out)) == total + 2
    assert digests(out)[: len(committed)] == committed
    assert digests(out)[:4] == digests(recorded)
    assert not (out / "staging").exists()


@pytest.mark.slow
def test_sigkill_loses_no_finished_episode_and_leaves_no_process(
    recorded: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed-v0"
    process = start(out, "episodes=500", "workers=2")
    wait_for_staged(out, 3)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    staged = {path.name for path in (out / "staging").glob("episode_*")}
    assert len(staged) >= 3

    total = max(int(name[8:16]) for name in staged) + 1
    assert record(out, f"episodes={total}") == 0
    assert digests(out)[:4] == digests(recorded)[:total]
    assert len(digests(out)) == total
    again = sum(session["frames"] for session in RunDirectory(out).history())
    assert again <= 7 * (total - len(staged))


def test_two_recordings_of_one_folder_do_not_mix(recorded: Path) -> None:
    store = EpisodeStore.open(recorded.parent, recorded.name)
    with store.lock(), pytest.raises(DatasetError, match="another process is writing"):
        run(composed("record", [*ARGUMENTS[1:], f"out={recorded}", "episodes=5"]))


def test_a_world_of_gymnasium_is_recorded_too(tmp_path: Path) -> None:
    out = tmp_path / "reacher-v0"
    assert record(out, "world=reacher", "episodes=2", "steps=3") == 0
    store = EpisodeStore.open(out.parent, out.name)
    assert store[0].frames.shape == (4, 64, 64, 3)
    assert minari.MinariDataset(out / "data").recover_environment().action_space.shape == (2,)
    again = tmp_path / "again-v0"
    assert main([*card_arguments(out), "workers=1", f"out={again}"]) == 0
    assert digests(again) == digests(out)


def test_an_unknown_world_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    assert record(tmp_path / "none-v0", "world.id=worldmodel/Pull-v0") == 2
    assert not (tmp_path / "none-v0").exists()
