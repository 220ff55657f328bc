"""The state probe: it learns from real frames, reads what is there, and invents nothing."""

import numpy as np
import pytest
import torch

from envs.gap.probe import StateProbe
from envs.gap.probe_data import ProbeFrames
from envs.gap.probe_files import add_probe, load_probe
from envs.gap.probe_objective import ProbeObjective, _turned
from envs.gap.probe_stage import probe_datasets, probe_objective
from envs.gap.quality import probe_quality
from envs.push_scene import TABLE_RGB
from envs.recording import seeds_of
from multimodal.errors import CheckpointError, DatasetError, FrameError
from worldmodel.checkpoint import verify, write_manifest


@pytest.fixture(scope="module")
def trained():
    """A narrow probe after some seconds of training, and frames it has never seen."""
    torch.manual_seed(0)
    frames, held = probe_datasets(rendered=1500, validation=150)
    objective = probe_objective(width=24)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=4e-3)
    rng = np.random.default_rng(0)
    for _ in range(150):
        batch = [frames[int(i)] for i in rng.integers(len(frames), size=32)]
        out = objective(**torch.utils.data.default_collate(batch))
        optimizer.zero_grad()
        out["loss"].backward()
        optimizer.step()
    return objective.probe.eval(), held


def test_the_probe_is_small():
    assert sum(p.numel() for p in StateProbe(width=64).parameters()) < 400_000


@pytest.mark.slow
def test_seconds_of_training_find_bodies_within_a_few_millimetres(trained):
    probe, held = trained
    quality = probe_quality(probe.read(held.frames[None]), held.truth[None])
    assert quality.presence_accuracy > 0.97
    assert quality.object_error_m < 0.01
    assert quality.pusher_error_m < 0.01


@pytest.mark.slow
def test_an_object_painted_out_is_not_read(trained):
    probe, held = trained
    seen = probe.read(held.frames)
    frames = held.frames.copy()
    painted = []
    for index in range(len(frames)):
        known = np.flatnonzero(held.truth.present[index] & seen.present[index])
        if len(known) == 0:
            continue
        colour = int(known[0])
        _square(frames[index], held.truth.position_m[index, colour])[:] = _table()
        painted.append((index, colour))
    after = probe.read(frames)
    still_there = [after.present[index, colour] for index, colour in painted]
    assert len(painted) > 100
    assert np.mean(still_there) < 0.05


@pytest.mark.slow
def test_an_object_pasted_twice_is_counted_twice(trained):
    probe, held = trained
    counted = []
    for frame, position, present in zip(
        held.frames, held.truth.position_m, held.truth.present, strict=True
    ):
        for colour in np.flatnonzero(present)[:1]:
            target = -position[colour]
            if np.abs(position[colour]).max() > 0.12 or np.linalg.norm(target) < 0.08:
                continue
            doubled = frame.copy()
            _square(doubled, target)[:] = _square(frame, position[colour])
            counted.append(probe.read(doubled[None]).copies[0, colour])
    assert len(counted) > 10
    assert np.mean(np.array(counted) == 2) > 0.7


def _square(frame, position_m, half_px=8):
    column, row = (round(32 * (1 + v / 0.2138)) for v in (position_m[0], -position_m[1]))
    row, column = (min(max(v, half_px), 64 - half_px) for v in (row, column))
    return frame[row - half_px : row + half_px, column - half_px : column + half_px]


def _table():
    return np.round(np.array(TABLE_RGB) * 252).astype(np.uint8)


def test_frames_of_another_size_are_refused():
    with pytest.raises(FrameError, match="64, 64, 3"):
        StateProbe()(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))


def test_reading_keeps_the_leading_axes():
    readings = StateProbe(width=8).read(np.zeros((2, 3, 64, 64, 3), np.uint8))
    assert readings.pusher_m.shape == (2, 3, 2)
    assert readings.position_m.shape == (2, 3, 6, 2)
    assert readings.copies.shape == (2, 3, 6)


def test_reading_in_small_batches_gives_the_same():
    probe = StateProbe(width=8)
    frames = np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3), np.uint8)
    whole, parts = probe.read(frames), probe.read(frames, batch=2)
    np.testing.assert_allclose(whole.pusher_m, parts.pusher_m, atol=1e-6)


def test_a_turned_frame_shows_its_bodies_where_the_turned_positions_say():
    frames = torch.zeros(1, 64, 64, 3)
    frames[0, 10, 50] = 1
    position = torch.tensor([[[(50.5 / 32 - 1), 1 - 10.5 / 32]]])
    for seed in range(12):
        torch.manual_seed(seed)
        turned, moved = _turned(frames, position)
        row, column = np.argwhere(turned[0, ..., 0].numpy() == 1)[0]
        expected = [(column + 0.5) / 32 - 1, 1 - (row + 0.5) / 32]
        np.testing.assert_allclose(moved[0, 0].numpy(), expected, atol=1e-6)


def test_the_objective_ignores_where_absent_objects_would_be():
    torch.manual_seed(0)
    objective = ProbeObjective(StateProbe(width=8)).eval()
    data = ProbeFrames.rendered(4, seeds_of("train", 4))
    batch = torch.utils.data.default_collate([data[i] for i in range(4)])
    elsewhere = dict(batch)
    elsewhere["position_m"] = torch.where(
        batch["present"][..., None], batch["position_m"], torch.tensor(9.0)
    )
    assert objective(**batch)["loss"] == objective(**elsewhere)["loss"]


def test_rendered_frames_come_with_the_truth_of_one_to_four_objects():
    data = ProbeFrames.rendered(40, seeds_of("train", 40), frames_per_scene=1)
    counts = data.truth.present.sum(-1)
    assert len(data) == 40
    assert set(counts) == {1, 2, 3, 4}
    assert np.isfinite(data.truth.position_m).all()


def test_too_few_seeds_are_an_error():
    with pytest.raises(DatasetError, match="at least"):
        ProbeFrames.rendered(10, seeds_of("train", 1))


def test_a_probe_travels_with_a_checkpoint_under_its_manifest(tmp_path, tiny_pipeline):
    tiny_pipeline.save_pretrained(tmp_path / "model")
    probe = StateProbe(width=8).eval()
    add_probe(probe, tmp_path / "model")
    manifest = verify(tmp_path / "model")
    loaded = load_probe(tmp_path / "model")
    assert any(name.startswith("probe/") for name in manifest["files"])
    frames = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), np.uint8)
    np.testing.assert_array_equal(loaded.read(frames).position_m, probe.read(frames).position_m)


def test_a_checkpoint_without_a_probe_says_how_to_get_one(tmp_path, tiny_pipeline):
    tiny_pipeline.save_pretrained(tmp_path / "model")
    with pytest.raises(CheckpointError, match="objective=probe"):
        load_probe(tmp_path / "model")


def test_a_trained_probe_that_was_altered_is_refused_by_its_own_manifest(tmp_path):
    StateProbe(width=8).save_pretrained(tmp_path / "probe")
    write_manifest(tmp_path / "probe", "probe")
    assert load_probe("push", str(tmp_path / "probe")).config.width == 8
    weights = next((tmp_path / "probe").glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match="altered"):
        load_probe("push", str(tmp_path / "probe"))
