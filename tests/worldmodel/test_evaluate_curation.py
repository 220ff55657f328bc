"""`worldmodel evaluate model=curation`: planted faults, by the shipped CLIP."""

import json

import numpy as np
import pytest

from tests.worldmodel.vlm_recordings import record_scenes
from worldmodel.cli import composed
from worldmodel.evaluation.curation import damaged
from worldmodel.evaluation.run import run


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    folder = tmp_path_factory.mktemp("curation")
    record_scenes(folder / "scenes")
    words = ["model=curation", f"scenes={folder / 'scenes'}", f"out={folder / 'out'}", "cases=8"]
    assert run(composed("evaluate", [*words, "resamples=20"])) == 0
    return folder / "out"


def test_planted_copies_are_found_and_no_other_scene_is_called_one(evaluation):
    figures = json.loads((evaluation / "metrics.json").read_text())
    assert figures["curation_duplicates_found"] == 1
    assert figures["curation_duplicates_wrong"] == 0
    assert 0.5 <= figures["curation_text_auroc"] <= 1


def test_the_report_names_every_dropped_item_with_its_reason(evaluation):
    told = json.loads((evaluation / "dropped.json").read_text())
    assert told["kept"] + len(told["dropped_items"]) == told["items"]
    assert {each["reason"] for each in told["dropped_items"]} <= {"duplicate", "text"}
    assert all(each["like"] < each["item"] for each in told["dropped_items"] if each["like"])
    assert (evaluation / "index.html").stat().st_size > 0


def test_a_damaged_clip_still_shows_the_same():
    ramp = np.linspace(40, 220, 64)[:, None, None]
    clip = np.broadcast_to(ramp, (3, 64, 64, 3)).astype(np.uint8)
    for seed in range(6):
        other = damaged(clip, np.random.default_rng(seed))
        assert other.shape == clip.shape
        assert other.dtype == np.uint8
        assert 0 < np.abs(other.astype(int) - clip).mean() < 40
