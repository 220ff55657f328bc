"""`worldmodel evaluate model=clip|vlm`: its measures on cases made by hand, and the whole verb."""

import json

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from multimodal.errors import CheckpointError, ConfigError, DatasetError
from multimodal.language import HELD_OUT_COMBINATIONS, Question, Scene, is_held_out_template
from multimodal.language.scene import SceneObject
from multimodal.store import EpisodeStore, StoreSettings
from multimodal.vlm.descriptions import description, mistakes
from tests.worldmodel.vlm_recordings import TINY, record_scenes, save_text, save_trunk
from worldmodel.cli import composed
from worldmodel.evaluation.clip import COMBINATIONS, classify, recall
from worldmodel.evaluation.run import run
from worldmodel.evaluation.vlm import exact_matches
from worldmodel.evaluation.vlm_cases import Case, Guesser, ask_cases, open_flat
from worldmodel.evaluation.vlm_descriptions import (
    held_out_scenes,
    left_over,
    measure_descriptions,
)
from worldmodel.reader_card import pack_reader, write_reader_card
from worldmodel.readers import load_clip, load_vlm
from worldmodel.training.run import run as train

FRAME = np.zeros((1, 64, 64, 3), np.uint8)


def question(answer, choices=(), template="count.objects/1"):
    return Question("count", "How many?", answer, choices, 1, template)


def test_an_answer_counts_only_letter_for_letter():
    cases = [Case("count", question(each), FRAME, 0, False) for each in ("2", "red cube", "K7")]
    assert exact_matches(cases, ["2 ", "red", "k7"]).tolist() == [1, 0, 0]


def test_recall_counts_a_right_one_among_the_best():
    similar = np.array([[0.9, 0.5, 0.1], [0.9, 0.5, 0.1]])
    same = np.array([[True, False, False], [False, True, False]])
    assert recall(similar, same, 1).tolist() == [True, False]
    assert recall(similar, same, 2).tolist() == [True, True]


def test_a_description_is_wrong_by_what_is_false_missing_or_doubled():
    scene = Scene(
        (SceneObject("red", "cube", 0.1, 0), SceneObject("blue", "ball", -0.1, 0)), (), (0, 0)
    )
    assert description(scene) == "a blue ball, a red cube"
    assert mistakes("a blue ball, a red cube", scene) == (0, 0, 0)
    assert mistakes("a red cube, a blue ball", scene) == (0, 0, 0), "in any order"
    assert mistakes("a blue cube, a red cube, a green cross", scene) == (2, 1, 0)
    assert mistakes("a red cube, a red cube, a red cube", scene) == (0, 1, 2)
    assert mistakes("nothing", scene) == (0, 2, 0)


def test_the_language_only_guess_is_the_most_frequent_well_formed_answer():
    asked = [question("3")] * 3 + [question("2")] * 2 + [question("7", template="count.shape/1")]
    guesser = Guesser(asked)
    assert guesser.answer(question("2")) == "3"
    assert guesser.answer(question("2", choices=("1", "2"))) == "2"
    assert guesser.answer(question("9", template="count.objects/11")) == "3"


class Oracle:
    """Knows what it is shown: the first pixel of a frame is the number of its combination."""

    def encode_image(self, frames):
        return torch.eye(24)[torch.as_tensor(frames[:, 0, 0, 0].astype(int))]

    def encode_text(self, texts):
        return torch.stack(
            [
                torch.eye(24)[
                    next(k for k, (c, s) in enumerate(COMBINATIONS) if f"{c} {s}" in text)
                ]
                for text in texts
            ]
        )


def test_zero_shot_takes_the_prompt_that_agrees_best():
    frames = np.zeros((24, 8, 8, 3), np.uint8)
    frames[:, 0, 0, 0] = np.arange(24)
    assert classify(Oracle(), frames, [0, 11]).tolist() == list(range(24))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated")
    record_scenes(folder / "scenes", episodes=24)
    save_trunk(folder / "trunk")
    save_text(folder / "text")
    trained(folder, "vlm", f"out={folder / 'run'}")
    return folder


def trained(place, objective, *overrides):
    settings = [*TINY, f"data={place / 'scenes'}", f"text={place / 'text'}", "reading=null"]
    settings += [f"trunk={place / 'trunk'}", f"objective={objective}"]
    assert train(composed("train", [*settings, *overrides])) == 0


def evaluate(place, model, checkpoint, *overrides):
    out = place / f"evaluated_{model}"
    settings = [f"model={model}", f"checkpoint={checkpoint}", f"scenes={place / 'scenes'}"]
    settings += [f"trunk={place / 'trunk'}", "reading=null", "cases=6", "resamples=50"]
    settings += ["descriptions=12"]
    assert run(composed("evaluate", [*settings, f"out={out}", *overrides])) == 0
    return out, json.loads((out / "metrics.json").read_text())


def test_cases_are_held_out_and_answered_from_state(place):
    flat = open_flat(place / "scenes")
    cases = ask_cases(flat, {"count": "count", "shape": "shape"}, 5)
    held_out = set(flat.episodes("test").tolist())
    assert {case.episode for case in cases} <= held_out
    assert all(is_held_out_template(case.question.template) for case in cases)
    for case in cases:
        first = int(flat.starts[case.episode])
        scene = Scene.from_state(flat.state, first)
        assert case.frames.shape == (1, 64, 64, 3)
        if case.question.template.startswith("count.objects"):
            assert case.question.answer == str(len(scene.objects))
        assert case.unseen >= bool(scene.combinations & HELD_OUT_COMBINATIONS)


def test_a_kind_that_cannot_be_asked_is_an_error(place):
    with pytest.raises(DatasetError, match="'reading'"):
        ask_cases(open_flat(place / "scenes"), {"reading": "reading"}, 5)


def test_clip_is_packed_measured_and_described(place):
    packed = pack_reader("clip", [place / "run" / "clip"], place / "clip")
    out, figures = evaluate(place, "clip", packed)
    names = {"clip_zero_shot", "clip_zero_shot_seen_combinations", "clip_zero_shot_blank"}
    names |= {"clip_text_recall_1", "clip_text_recall_5", "clip_image_recall_1"}
    assert names <= figures.keys()
    assert all(0 <= figures[name] <= 1 for name in names)
    assert figures["clip_text_recall_1"] <= figures["clip_text_recall_5"]
    assert "<img" in (out / "index.html").read_text()
    card = write_reader_card(packed, out, "worldmodel evaluate model=clip").read_text()
    assert f"| `clip_zero_shot` | {figures['clip_zero_shot']:.3f} |" in card
    assert load_clip(packed, place / "trunk").encode_text(["a red cube"]).shape == (1, 8)


def test_scenes_to_describe_are_held_out_starts_and_more_than_were_recorded(place):
    flat = open_flat(place / "scenes")
    shown = held_out_scenes(place / "scenes", 15)
    starts = [int(flat.starts[e]) for e in flat.episodes("test")]
    assert len(starts) < 15
    np.testing.assert_array_equal(shown.frames[: len(starts)], flat.frames[starts])
    assert shown.scenes[: len(starts)] == [Scene.from_state(flat.state, k) for k in starts]
    assert len({frame.tobytes() for frame in shown.frames}) == 15
    train = {frame.tobytes() for frame in flat.frames[flat.starts[flat.episodes("train")]]}
    assert not train & {frame.tobytes() for frame in shown.frames}


@pytest.mark.parametrize("count", [0, -3])
def test_no_scenes_to_describe_are_refused(place, count):
    with pytest.raises(ConfigError, match=f"descriptions={count}"):
        held_out_scenes(place / "scenes", count)


def test_scenes_of_an_unknown_world_or_with_none_held_out_are_refused(place, tmp_path):
    held = EpisodeStore.open(place, "scenes")
    recording = held.metadata["recording"]

    def stored(name, metadata, split):
        store = EpisodeStore.create(tmp_path, name, StoreSettings(metadata=metadata))
        store.append([held[held.indices(split)[0]]])
        return tmp_path / name

    for name, metadata, split in (
        ("unnamed", {}, "test"),
        ("training", {"recording": recording}, "train"),
    ):
        with pytest.raises(DatasetError, match="worldmodel record"):
            held_out_scenes(stored(name, metadata, split), 3)
    misspelt = {"recording": {**recording, "world": "worldmodel/Posh-v0"}}
    with pytest.raises(ConfigError, match=r"worldmodel/Posh-v0.*cannot be made"):
        held_out_scenes(stored("misspelt", misspelt, "test"), 3)


def test_wrong_descriptions_are_shown_first_and_right_ones_for_the_rest(place):
    scenes = place / "scenes"
    shown = held_out_scenes(scenes, 12)
    true = [description(scene) for scene in shown.scenes]
    cfg = OmegaConf.create({"scenes": str(scenes), "descriptions": 12, "resamples": 20})
    for wrong in ((), (7,), (2, 5, 7, 9)):
        said = ["nothing" if k in wrong else text for k, text in enumerate(true)]
        figures, _, examples = measure_descriptions(lambda *_, said=said: said, None, cfg)
        assert figures["whole_descriptions"]["value"] == pytest.approx(1 - len(wrong) / 12)
        assert len(examples) == 6
        assert len({each.frames.tobytes() for each in examples}) == 6
        assert [each.answer for each in examples].count("nothing") == min(3, len(wrong))
        assert all(each.answer == "nothing" for each in examples[: min(3, len(wrong))])


def test_the_vlm_is_packed_measured_and_described(place):
    stages = [place / "run" / stage for stage in ("projector", "instruct", "preference")]
    packed = pack_reader("vlm", stages, place / "vlm")
    before = place / "run" / "instruct" / "model"
    out, figures = evaluate(place, "vlm", packed, f"before={before}")
    names = {f"vlm_{each}" for each in ("count", "colour", "shape", "relation", "moved", "blank")}
    names |= {"vlm_blank_over_language_only", "vlm_shuffled", "dpo_accuracy_loss", "vlm_answer_ms"}
    assert names <= figures.keys()
    assert figures["vlm_answer_ms"] > 0
    answers = json.loads((out / "answers.json").read_text())
    right = [each["answer"] == each["right"] for each in answers if each["group"] == "count"]
    assert figures["vlm_count"] == pytest.approx(np.mean(right))
    said = json.loads((out / "descriptions.json").read_text())
    assert len(said) == 12
    shown = held_out_scenes(place / "scenes", 12)
    wrong = [mistakes(s["said"], scene) for s, scene in zip(said, shown.scenes, strict=True)]
    assert figures["missing_objects"] == pytest.approx(np.mean([each.missing for each in wrong]))
    assert figures["whole_descriptions"] == np.mean([not any(each) for each in wrong])
    left = sum(each.missing for each in wrong) / figures["missing_objects_before"] / 12
    assert figures["missing_objects_ratio"] == pytest.approx(left)
    assert figures["described_objects"] == sum(len(scene.objects) for scene in shown.scenes)
    assert "| `vlm_count` |" in write_reader_card(packed, out, "worldmodel evaluate").read_text()
    assert load_vlm(packed, place / "trunk").answer(FRAME[0], "How many?", ["1", "2"]) in ("1", "2")


def test_mistakes_that_are_left_are_counted_against_those_before_or_one():
    two, none, one = np.array([2.0, 0, 2]), np.zeros(3), np.array([1.0, 0, 0])
    half = left_over(np.array([0.0, 0, 2]), two, 200)
    assert (half["value"], half["count"]) == (0.5, 3)
    assert half["low"] <= 0.5 <= half["high"]
    assert left_over(none, none, 200) == {"value": 0.0, "low": 0.0, "high": 0.0, "count": 3}
    assert left_over(one, none, 200)["value"] == 1.0


def test_a_model_that_was_trained_on_keeps_the_account_of_what_it_began_with(place):
    stages = [place / "run" / stage for stage in ("projector", "instruct")]
    packed = pack_reader("vlm", stages, place / "earlier")
    trained(place, "instruct", f"initial={packed}", f"out={place / 'on'}")
    later = pack_reader("vlm", [place / "on" / "instruct"], place / "later", onto=packed)
    accounts = json.loads((later / "training.json").read_text())
    assert list(accounts) == ["projector, before", "instruct, before", "instruct"]
    assert accounts["instruct"]["inputs"]["initial"]
    trained(place, "instruct", f"initial={later}", f"out={place / 'further'}")
    last = pack_reader("vlm", [place / "further" / "instruct"], place / "last", onto=later)
    names = json.loads((last / "training.json").read_text())
    assert list(names) == [
        "projector, 2 before",
        "instruct, 2 before",
        "instruct, before",
        "instruct",
    ]
    with pytest.raises(CheckpointError, match="did not begin"):
        pack_reader("vlm", [place / "run" / "instruct"], place / "wrong", onto=packed)
