"""The shipped CLIP, vision-language and native models: they open by name, are small, and see."""

import json
import re

import numpy as np
import pytest

from envs.push import PushWorld
from multimodal.language import COLOURS, PROMPTS, SHAPES, Scene, prompt
from worldmodel.checkpoint import shipped, verify
from worldmodel.readers import load_clip, load_native, load_vlm, named_eyes

NAMES = ("clip", "vlm", "native")


@pytest.fixture(scope="module")
def scenes():
    """Twelve frames with one object, and what they show."""
    world = PushWorld(objects=1)
    seen = []
    for seed in range(900, 912):
        frame, info = world.reset(seed=seed)
        seen.append((frame, Scene.from_state(info["state"])))
    world.close()
    return seen


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_model_is_whole_small_and_names_its_trunk(name):
    folder = shipped(name)
    manifest = verify(folder, name)
    sizes = [record["bytes"] for record in manifest["files"].values()]
    assert max(sizes) <= 15 * 2**20
    eyes = named_eyes("push").names
    # The native model reads the trunk alone.
    assert manifest["trunk"] == eyes["trunk"]
    assert manifest.get("reader", eyes["reader"]) == eyes["reader"]


def test_all_together_are_small():
    files = [path for name in NAMES for path in shipped(name).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20 * 2**20


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_of_the_card_comes_from_the_scores_beside_it(name):
    folder = shipped(name)
    figures = json.loads((folder / "scores.json").read_text())["figures"]
    card = (folder / "README.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (-?[\d.]+) \|", card, re.MULTILINE))
    assert rows == {each: f"{figure['value']:.3f}" for each, figure in figures.items()}


def test_clip_tells_colours_apart(scenes):
    clip = load_clip()
    texts = [prompt(c, s, len(PROMPTS) - 1) for c in COLOURS for s in SHAPES]
    similar = (
        clip.encode_image(np.stack([frame for frame, _ in scenes])) @ clip.encode_text(texts).T
    )
    said = [COLOURS[int(best) // len(SHAPES)] for best in similar.argmax(-1)]
    right = [scene.objects[0].colour for _, scene in scenes]
    assert np.mean([a == b for a, b in zip(said, right, strict=True)]) >= 0.9


def test_the_vlm_answers_in_the_words_of_the_question(scenes):
    vlm = load_vlm()
    said = [vlm.answer(frame, "What colour is the leftmost object?") for frame, _ in scenes]
    assert set(said) <= set(COLOURS)
    counts = [vlm.answer(frame, "How many objects are there?") for frame, _ in scenes]
    assert np.mean([count == "1" for count in counts]) >= 0.75


def test_the_native_model_answers_about_a_picture_in_writing(scenes):
    native = load_native()
    pictures = native.picture(np.stack([frame for frame, _ in scenes]))
    asked = native.words("How many objects are there?")
    assert np.mean([said == "1" for said in native.say([[p, asked] for p in pictures])]) >= 0.75
    colours = native.say(
        [
            [picture, native.words(f"What colour is the {scene.objects[0].shape}?")]
            for picture, (_, scene) in zip(pictures, scenes, strict=True)
        ]
    )
    right = [scene.objects[0].colour for _, scene in scenes]
    # Six colours: by chance two of the twelve.
    assert np.mean([a == b for a, b in zip(colours, right, strict=True)]) >= 0.5
