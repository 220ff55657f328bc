"""Words told to a projector: each part is brought near its word and learns of no other part."""

from dataclasses import asdict

import pytest
import torch

from multimodal.glance import GlanceLayout
from multimodal.landmarks import DETAILS, KINDS, details
from multimodal.language import COLOURS, SHAPES, Scene
from multimodal.language.scene import Bar
from multimodal.language.vocabulary import GLYPHS
from multimodal.text_tokenizer import encode_text, load_text_tokenizer
from multimodal.things import THING
from multimodal.vlm.words import read_words
from tests.worldmodel.vlm_recordings import small_vlm
from worldmodel.objectives.spelling import (
    SpellingLoss,
    details_shares,
    kind_words,
    whereabouts,
)


@pytest.fixture
def parts(tmp_path):
    torch.manual_seed(0)
    sizes = asdict(GlanceLayout(16, 4, 2)) | {"merge": (2, 1), "details": 9}
    model = small_vlm(tmp_path / "text", 0.5, **sizes)
    tokenizer = load_text_tokenizer(tmp_path / "text")
    return model, tokenizer, SpellingLoss(tokenizer)


def labels():
    named = torch.full((3, 2, 2), -1)
    named[0, 0], named[1, 1] = torch.tensor([2, 4]), torch.tensor([0, 1])
    marks = torch.zeros(3, 16, len(KINDS))
    marks[2, 5, KINDS.index(f"letter {GLYPHS[3]}")] = 0.9
    return named, marks


NO_FRAMES_BEFORE = torch.arange(3)
NOTHING_PRINTED = torch.full((3, DETAILS, 3), -1)


def told(spelling, model, features, seen, named, marks, printed=NOTHING_PRINTED):
    tokens = model.projector(features)
    return spelling(model, features, tokens, seen, NO_FRAMES_BEFORE, named, marks, printed)


def rows(*things):
    """Rows of three frames with two slots: column, row, colour, whether it is the pusher."""
    layout, found = GlanceLayout(16, 4, 2), torch.zeros(3, 2, THING)
    for frame, slot, x, y, colour, driven in things:
        found[frame, slot, -7:] = torch.tensor([*colour, x, y, driven, 1.0])
    return layout.row(torch.zeros(3, 16, 4), found, torch.zeros(3, 1, 1, 3, dtype=torch.uint8))


def says(model, tokenizer, token):
    logits = model.language.get_output_embeddings()(model.language.base_model.norm(token))
    ids = logits.topk(2).indices.flatten().tolist()
    return [tokenizer.convert_ids_to_tokens(i).replace("Ġ", "") for i in ids]


def test_tokens_come_to_look_like_the_words_for_what_they_show(parts):
    model, tokenizer, spelling = parts
    features, (named, marks) = torch.randn(3, 18, 24), labels()
    optimizer = torch.optim.AdamW(model.projector.parameters(), 1e-2)
    for _ in range(60):
        loss = told(spelling, model, features, rows(), named, marks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.5
    shape, colour = SHAPES[2], COLOURS[4]
    for part, word in ((0, shape), (1, colour)):
        token = model.projector.part_of(features[0, 16:17], part)
        said = model.language.get_output_embeddings()(model.language.base_model.norm(token))
        assert int(said.argmax()) == encode_text(tokenizer, f" {word}")[-1]
    token = model.projector(features[2:])[0, 1]
    said = model.language.get_output_embeddings()(model.language.base_model.norm(token))
    assert int(said.argmax()) == encode_text(tokenizer, GLYPHS[3])[-1]


def test_where_nothing_has_a_name_there_is_no_loss(parts):
    model, _, spelling = parts
    named, marks = labels()
    model.projector.details = None
    nothing = told(
        spelling,
        model,
        torch.randn(3, 18, 24),
        rows(),
        torch.full_like(named, -1),
        torch.zeros_like(marks),
    )
    assert float(nothing) == 0


def test_a_colour_teaches_the_shapes_part_nothing(parts):
    model, _, spelling = parts
    named, marks = labels()
    features = torch.randn(3, 18, 24, requires_grad=True)
    model.projector.details = None
    nothing = rows(), named, torch.zeros_like(marks)
    loss = told(spelling, model, features, *nothing)
    loss.backward()
    place = features.grad[0, 16, 16:]
    assert torch.equal(place, torch.zeros_like(place))
    other = features.detach().clone()
    other[0, 16, 8:16] = 9 * torch.randn(8)
    again = told(spelling, model, other, *nothing)
    parts_of = [model.projector.part_of(each[0, 16:17], 0) for each in (features, other)]
    torch.testing.assert_close(parts_of[0], parts_of[1])
    assert not torch.isclose(loss.detach(), again.detach())


RED, BLUE = (0.9, 0.1, 0.1), (0.1, 0.3, 0.9)


def test_words_for_places_hold_by_degrees():
    seen = rows((0, 0, -0.9, 0.0, RED, 0), (1, 0, 0.0, 0.9, RED, 0), (2, 0, 0.2, -0.3, RED, 0))
    share, present = whereabouts(GlanceLayout(16, 4, 2), seen, seen)
    left, right, top, bottom, above, below, *others = share[:, 0].unbind(-1)
    assert torch.equal(top, above)
    assert torch.equal(bottom, below)
    assert float(left[0]) > 0.99
    assert float(bottom[1]) > 0.99
    assert left[1] == right[1] == 0.5
    assert top[0] == bottom[0] == 0.5
    assert 0.5 < float(right[2]) < float(top[2]) < 0.95
    # What is compared with itself has not moved.
    assert float(torch.stack(others).max()) < 0.02
    assert present.tolist() == [[True, False]] * 3


def test_what_moved_is_found_by_its_colour_and_told_from_what_shakes():
    seen = rows(
        (0, 0, 0.0, 0.0, RED, 0),
        (0, 1, 0.5, 0.5, BLUE, 0),
        (1, 1, 0.0, -0.2, RED, 0),
        (1, 0, 0.5, 0.51, BLUE, 0),
    )
    share, _ = whereabouts(GlanceLayout(16, 4, 2), seen, seen[torch.tensor([0, 0, 2])])
    pusher, moved, up, down = share[1, :, 6:].unbind(-1)
    assert float(moved[1]) > 0.99
    assert float(up[1]) > 0.99
    assert float(moved[0]) < 0.05
    assert float(pusher.max()) == 0
    assert float(down.max()) < 0.05


def test_a_token_says_where_its_thing_lies_and_which_is_the_pusher(parts):
    model, tokenizer, spelling = parts
    features, (named, marks) = torch.randn(3, 18, 24), labels()
    seen = rows((0, 1, 0.9, 0.9, BLUE, 0), (1, 0, -0.9, -0.9, BLUE, 1))
    model.projector.details = None
    rest = seen, torch.full_like(named, -1), torch.zeros_like(marks)
    optimizer = torch.optim.AdamW(model.projector.parameters(), 1e-2)
    before = float(told(spelling, model, features, *rest).detach())
    for _ in range(120):
        loss = told(spelling, model, features, *rest)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    lies = model.projector.part_of(features[0, 17:18], 2)
    assert set(says(model, tokenizer, lies)) <= {"right", "bottom", "below"}
    pushes = model.projector.part_of(features[1, 16:17], 2)
    assert set(says(model, tokenizer, pushes)) <= {"left", "top", "above", "pusher"}
    assert float(loss.detach()) < before / 5


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (f"letter {GLYPHS[3]}", [GLYPHS[3]]),
        ("letter number 2", [" second"]),
        ("bar number 5", [" bar", " fifth"]),
        ("red bar 3", [" red", " bar", "3"]),
        ("blue target", [" blue", " target"]),
    ],
)
def test_every_landmark_has_its_words(kind, words):
    assert kind in KINDS
    assert kind_words(kind) == words


def printed(**options):
    return torch.from_numpy(details(Scene((), (), (0.0, 0.0), **options)))


def test_details_are_characters_and_bars_and_say_which_is_the_tallest():
    shown = printed(text="A7", bars=(Bar("red", 2), Bar("blue", 5), Bar("green", 2)))
    share = details_shares(torch.stack([shown, printed(bars=(Bar("red", 3),)), printed()]))
    tokens = [*GLYPHS, *COLOURS, *"12345", "bar", "tallest", "lowest", "nothing"]
    words = [
        [{tokens[k] for k in torch.where(token > 0)[0].tolist()} for token in frame]
        for frame in share
    ]
    assert words[0][:4] == [{"A"}, {"7"}, {"nothing"}, {"nothing"}]
    # Two are as low as each other, so that none is the lowest.
    assert words[0][4:7] == [
        {"red", "2", "bar"},
        {"blue", "5", "bar", "tallest"},
        {"green", "2", "bar"},
    ]
    assert words[1][4] == {"red", "3", "bar"}
    assert words[2] == [{"nothing"}] * 9


def test_tokens_that_ask_come_to_say_what_is_printed(parts):
    model, tokenizer, spelling = parts
    features, (named, marks) = torch.randn(3, 18, 24), labels()
    shown = torch.stack(
        [printed(text="K4"), printed(bars=(Bar("red", 3), Bar("blue", 1))), printed()]
    )
    rest = rows(), torch.full_like(named, -1), torch.zeros_like(marks), shown
    optimizer = torch.optim.AdamW(model.projector.parameters(), 1e-2)
    for _ in range(120):
        loss = told(spelling, model, features, *rest)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    tokens = model.projector(features)
    first, second = tokens[0, -9:][:2]
    assert says(model, tokenizer, first)[0] == "K"
    assert says(model, tokenizer, second)[0] == "4"
    # Four words share a token of 32 numbers; the two that it is nearest to are among them. A height
    # and a character may be the same digit.
    said, ids = read_words(model.language, tokens[1, -5]), spelling.details.unique()
    right = spelling.details[details_shares(shown)[1, 4] > 0].tolist()
    assert set(ids[said[ids].topk(2).indices].tolist()) <= set(right)
