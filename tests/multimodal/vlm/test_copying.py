"""Words copied from things: which they are, and that they depend on nothing but the thing."""

import math

import numpy as np
import pytest
import torch

from multimodal.language import COLOURS, SHAPES, Scene
from multimodal.language.corpus import sentences
from multimodal.language.scene import SceneObject
from multimodal.language.vocabulary import HALF_VIEW_M
from multimodal.text_tokenizer import encode_text, train_text_tokenizer
from multimodal.things import THING
from multimodal.vlm.copying import (
    ARTICLE,
    COLOUR,
    COPIED,
    OWN,
    SHAPE,
    Copier,
    Copying,
    Said,
    Shown,
    copied_ids,
)
from multimodal.vlm.pointing import Pointing
from multimodal.vlm.projector import FrameTokens
from multimodal.vlm.turns import IGNORED
from worldmodel.objectives.vlm import copying_loss

END = len(COPIED)
FRAME = FrameTokens(4, 8, 3, 9)
SCENE = Scene(
    (SceneObject("orange", "ball", 0.1, 0.05), SceneObject("blue", "cube", -0.1, 0.0)),
    (),
    (0.0, 0.1),
)
CUBE, BALL = FRAME.first_thing, FRAME.first_thing + 1


def pointing(*points):
    found = np.zeros((3, THING), np.float16)
    for row, (x_m, y_m) in zip(found, points, strict=False):
        row[-4:-2] = x_m / HALF_VIEW_M, -y_m / HALF_VIEW_M
        row[-1] = 1
    return Pointing(FRAME, found)


@pytest.fixture(scope="module")
def tokenizer():
    return train_text_tokenizer(list(sentences(2000)), vocab_size=600)


def labels(tokenizer, answer, about=None, where=((-0.1, 0.0), (0.1, 0.05))):
    ids = encode_text(tokenizer, f" {answer}")
    parts = Copying(tokenizer).of(ids, SCENE, pointing(*where), about)
    assert len(parts) == len(ids)
    words = [tokenizer.decode([each]).strip() for each in ids]
    return {word: part for word, part in zip(words, parts, strict=True) if part[0] != OWN}


def test_a_description_copies_articles_colours_and_shapes(tokenizer):
    assert labels(tokenizer, "a blue cube, an orange ball") == {
        "a": (ARTICLE, 0),
        "blue": (COLOUR, 0),
        "cube": (SHAPE, 0),
        "an": (ARTICLE, 1),
        "orange": (COLOUR, 1),
        "ball": (SHAPE, 1),
    }


def test_a_word_alone_is_that_of_what_the_question_is_about(tokenizer):
    assert labels(tokenizer, "orange", BALL) == {"orange": (COLOUR, 1)}
    assert labels(tokenizer, "cube", CUBE) == {"cube": (SHAPE, 0)}
    # A bar of a chart has a colour too, and is no thing.
    assert labels(tokenizer, "orange", FRAME.first_detail + 2) == {}
    assert labels(tokenizer, "orange") == {}
    assert labels(tokenizer, "yes", BALL) == {}


def test_what_was_not_cut_out_is_the_models_own_word(tokenizer):
    assert labels(tokenizer, "a blue cube, an orange ball", where=((-0.1, 0.0),)) == {
        "a": (ARTICLE, 0),
        "blue": (COLOUR, 0),
        "cube": (SHAPE, 0),
    }
    ids = encode_text(tokenizer, " an orange ball")
    nothing = Copying(tokenizer).of(ids, SCENE, Pointing(FRAME, None))
    assert nothing == ((OWN, 0),) * len(ids)
    assert labels(tokenizer, "a red cube") == {}, "there is none"


def shown(frames=2, things=3, width=8):
    """Things of other shapes and colours in every frame; the last of each is not there."""
    there = torch.ones(frames, things, dtype=torch.bool)
    there[:, -1] = False
    shapes, colours = (torch.full((frames, things, len(w)), -9.0) for w in (SHAPES, COLOURS))
    for frame in range(frames):
        for thing in range(things):
            shapes[frame, thing, thing % len(SHAPES)] = 9.0
            colours[frame, thing, (2 * frame + thing) % len(COLOURS)] = 9.0
    return Shown.of(torch.randn(frames, things, 3, width), shapes, colours, there)


def certain(part, width=8, vocabulary=40):
    """A copier that always copies this part."""
    copier = Copier(width, list(range(len(COPIED))), END)
    with torch.no_grad():
        copier.part.weight.zero_()
        copier.part.bias.fill_(-50.0)
        copier.part.bias[part] = 50.0
    return copier, torch.randn(4, vocabulary), torch.randn(4, width)


def fresh():
    torch.manual_seed(0)
    copier = Copier(8, list(range(len(COPIED))), END)
    logits, hidden = 3 * torch.randn(4, 40), torch.randn(4, 8)
    return logits, copier(logits, hidden, shown(), torch.tensor([0, 1, 1, -1]))


def test_shares_of_words_are_shares():
    _, copied = fresh()
    assert torch.allclose(copied.words.exp().sum(-1), torch.ones(4), atol=1e-5)
    assert torch.allclose(copied.parts.exp().sum(-1), torch.ones(4), atol=1e-5)


def test_what_is_not_there_is_not_copied():
    _, copied = fresh()
    assert float(copied.which[:3, :, 2].detach().exp().max()) == 0


def test_without_a_picture_the_language_model_has_the_word():
    logits, copied = fresh()
    torch.testing.assert_close(copied.words[3], logits[3].log_softmax(-1), atol=1e-4, rtol=1e-4)


def test_articles_are_shares_in_half_precision_too():
    things = shown()
    with torch.autocast("cpu", torch.bfloat16):
        kept = Shown.of(
            things.parts,
            torch.randn(2, 3, len(SHAPES)).bfloat16(),
            torch.randn(2, 3, len(COLOURS)).bfloat16(),
            things.there,
        )
    torch.testing.assert_close(kept.words.sum(-1), torch.full((2, 3), 3.0))
    assert float(kept.words.min()) >= 0


@pytest.mark.parametrize(("part", "words"), [(SHAPE, SHAPES), (COLOUR, COLOURS)])
def test_a_copied_word_is_the_things_whatever_the_language_model_says(part, words):
    torch.manual_seed(1)
    copier, logits, hidden = certain(part)
    everything = shown()
    # One thing only, the second of the second frame: the second shape in the fourth colour.
    there = torch.zeros_like(everything.there)
    there[1, 1] = True
    # The language model is certain of something else.
    logits[:, COPIED.index(words[0])] = 30.0
    copied = copier(logits, hidden, everything._replace(there=there), torch.ones(4).long())
    right = {SHAPE: SHAPES[1], COLOUR: COLOURS[3]}[part]
    assert copied.words.argmax(-1).tolist() == [COPIED.index(right)] * 4


def test_a_thing_is_found_by_all_but_what_is_said_of_it():
    torch.manual_seed(5)
    copier, (shape, other, place) = Copier(8, list(range(len(COPIED))), END), torch.randn(3, 8)
    colour, another, elsewhere = torch.randn(3, 8)
    things = [(shape, colour, place), (other, another, place), (shape, another, place)]
    things += [(other, colour, place), (shape, colour, elsewhere)]
    parts = torch.stack([torch.stack(each) for each in things])[None]
    words = torch.zeros(1, 5, len(SHAPES)), torch.zeros(1, 5, len(COLOURS))
    shown = Shown.of(parts, *words, torch.ones(1, 5, dtype=torch.bool))
    copied = copier(torch.randn(3, 40), torch.randn(3, 8), shown, torch.zeros(3).long())
    by_colour, by_shape, article = copied.which.detach().unbind(1)
    # Whatever its shape, where a shape is said; whatever its colour, where a colour or an article.
    torch.testing.assert_close(by_colour[:, [0, 1]], by_colour[:, [3, 2]])
    torch.testing.assert_close(by_shape[:, [0, 1]], by_shape[:, [2, 3]])
    torch.testing.assert_close(article, by_shape)
    for which in (by_colour, by_shape):
        assert float((which[:, 0] - which[:, 1]).abs().min()) > 1e-3
        assert float((which[:, 0] - which[:, 4]).abs().min()) > 1e-3


def told(*words):
    """What an answer has said, word by word."""
    ids = torch.arange(len(COPIED))
    said = Said.nothing(4, ids)
    for word in words:
        said = said.then(torch.full((4,), COPIED.index(word) if word in COPIED else 39), ids)
    return said


def of_thing(part, *words):
    """How much a copier that copies a part copies from each thing after what was said.

    A red cube, a yellow ball and an orange triangle; it would by itself have none but the ball.
    """
    torch.manual_seed(6)
    copier, logits, hidden = certain(part)
    shapes, colours = torch.full((1, 3, len(SHAPES)), -20.0), torch.full((1, 3, 6), -20.0)
    for thing, name in enumerate(("red cube", "yellow ball", "orange triangle")):
        colour, shape = name.split(" ")
        shapes[0, thing, SHAPES.index(shape)] = colours[0, thing, COLOURS.index(colour)] = 0.0
    parts = torch.zeros(1, 3, 3, 8)
    with torch.no_grad():
        copier.ask.weight.zero_()
        copier.ask.bias.copy_(hidden[0])
        place = copier.keys[2].weight.T @ hidden[0]
        parts[0, 1, 2] = 5 * 8**0.5 * place / place.square().sum()
    things = Shown.of(parts, shapes, colours, torch.ones(1, 3, dtype=torch.bool))
    return copier(logits, hidden, things, torch.zeros(4).long(), told(*words)).which[0, part - 1]


def test_what_has_been_named_is_not_named_again():
    bare = of_thing(COLOUR)
    for part in (ARTICLE, COLOUR):
        after = of_thing(part, "a", "yellow", "ball", ",")
        assert float((after[1] - bare[1]).detach()) < -30
        torch.testing.assert_close(after[0] - after[2], bare[0] - bare[2], atol=1e-4, rtol=1e-4)
    every = of_thing(COLOUR, "red", "cube", "yellow", "ball", "orange", "triangle", ",")
    torch.testing.assert_close(every, bare, atol=1e-3, rtol=1e-3)


def test_a_shape_is_that_of_the_colour_before_it_and_a_colour_fits_its_article():
    assert int(of_thing(SHAPE).argmax()) == 1
    bare = of_thing(SHAPE)
    red = of_thing(SHAPE, "a", "red")
    assert float((red[0] - red[1] - (bare[0] - bare[1])).detach()) > 30
    # Another word between them, and the shape may be anything's.
    torch.testing.assert_close(of_thing(SHAPE, "red", "or"), bare)
    an = of_thing(COLOUR, "a", "yellow", "ball", ",", "an")
    assert int(an.argmax()) == 2


def test_an_answer_ends_with_the_last_thing():
    torch.manual_seed(7)
    copier, logits, hidden = certain(OWN)
    with torch.no_grad():
        copier.ends.bias.fill_(3.0)
    everything, frames = shown(), torch.tensor([0, 0, 0, -1])

    def end(*words):
        return copier(logits, hidden, everything, frames, told(*words)).words[:, END].exp()

    # The first frame's things are a red cube and an orange ball.
    plain = logits.softmax(-1)[:, END]
    assert bool((end()[:3] < plain[:3]).all())
    assert bool((end("red", "cube")[:3] < plain[:3]).all())
    assert bool((end("red", "cube", ",", "orange", "ball")[:3] > plain[:3]).all())
    torch.testing.assert_close(end("red")[3], plain[3], atol=1e-5, rtol=1e-5)
    # A piece of a sign, of no certain shape, is no object that is left.
    words = everything.words.clone()
    words[0, 1, : len(SHAPES)] = 1 / len(SHAPES)
    everything = everything._replace(words=words)
    assert bool((end()[:3] < plain[:3]).all())
    assert bool((end("red", "cube")[:3] > plain[:3]).all())


def test_what_was_said_is_read_off_rows_turn_by_turn():
    ids = torch.arange(len(COPIED))
    red, blue, cube = (COPIED.index(word) for word in ("red", "blue", "cube"))
    rows = [
        [IGNORED, red, cube, IGNORED, blue, 39, 39],
        [IGNORED, IGNORED, 39, blue, cube, red, 39],
    ]
    turns = torch.tensor([[1, 1, 1, 2, 2, 2, 2], [1, 1, 1, 1, 1, 1, 1]])
    at = torch.tensor([(0, 0), (0, 2), (0, 3), (0, 5), (1, 2), (1, 5)])
    said = Said.at(torch.tensor(rows), turns, *at.unbind(1), ids)
    expected = [(), (red, cube), (), (blue,), (), (blue, cube, red)]
    assert [tuple(each.nonzero()[:, 0].tolist()) for each in said.named] == [
        tuple(sorted(each)) for each in expected
    ]
    assert [each.nonzero()[:, 0].tolist() for each in said.just] == [[], [cube], [], [], [], [red]]


def test_what_is_barred_in_training_takes_no_part_in_the_choice():
    torch.manual_seed(4)
    copier, logits, hidden = certain(COLOUR)
    things, barred = shown(), torch.zeros(4, 3, dtype=torch.bool)
    frames = torch.tensor([0, 0, 1, -1])
    before = copier(logits, hidden, things, frames)
    torch.testing.assert_close(
        copier(logits, hidden, things, frames, None, barred).words, before.words
    )
    barred[:, 0] = True
    after = copier(logits, hidden, things, frames, None, barred)
    assert after.which[:3].argmax(-1).tolist() == [[1, 1, 1]] * 3
    assert float(after.which[:3, :, 0].detach().exp().max()) == 0
    torch.testing.assert_close(after.words[3], before.words[3])


def test_an_article_is_that_of_the_colour():
    torch.manual_seed(2)
    copier, logits, hidden = certain(ARTICLE)
    orange = torch.full((1, 1, len(COLOURS)), -9.0)
    orange[..., COLOURS.index("orange")] = 9.0
    for colours, word in ((orange, "an"), (orange.flip(-1), "a")):
        one = Shown.of(
            torch.randn(1, 1, 3, 8),
            torch.zeros(1, 1, len(SHAPES)),
            colours,
            torch.ones(1, 1, dtype=torch.bool),
        )
        said = copier(logits, hidden, one, torch.zeros(4, dtype=torch.long)).words.argmax(-1)
        assert said.tolist() == [COPIED.index(word)] * 4


def test_training_tells_which_part_and_which_thing():
    torch.manual_seed(3)
    copier, things = Copier(8, list(range(len(COPIED))), END), shown()
    logits, hidden = torch.randn(4, 40), torch.randn(4, 8)
    frames = torch.tensor([0, 0, 1, 1])
    told = torch.tensor([[OWN, 0], [SHAPE, 1], [COLOUR, 0], [IGNORED, IGNORED]])
    ends = torch.tensor([True, False, False, False])
    optimizer = torch.optim.Adam(copier.parameters(), 0.05)
    for _ in range(200):
        loss = copying_loss(copier(logits, hidden, things, frames), told, ends)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    copied = copier(logits, hidden, things, frames)
    assert float(loss.detach()) < 0.05
    assert float(copied.ends[0].detach()) > 3
    assert copied.parts[:3].argmax(-1).tolist() == [OWN, SHAPE, COLOUR]
    assert [int(copied.which[k, k - 1].argmax()) for k in (1, 2)] == [1, 0]
    assert int(copied.words[1].argmax()) == COPIED.index(SHAPES[1])
    assert int(copied.words[2].argmax()) == COPIED.index(COLOURS[2])
    unknown = torch.full((4, 2), IGNORED)
    assert float(copying_loss(copied, unknown, ends)) == 0
    own = torch.tensor([[OWN, 0]]).expand(4, 2)
    assert math.isfinite(float(copying_loss(copied, own, ends).detach()))


def test_where_answers_end_is_learnt_only_where_something_is_surely_an_object():
    """Of a sign nothing can be told about ends, and its answers do not dilute what can be."""
    torch.manual_seed(8)
    copier, things = Copier(8, list(range(len(COPIED))), END), shown()
    logits, hidden = torch.randn(4, 40), torch.randn(4, 8)
    # The first frame shows objects; the second a sign, of no certain shape.
    words = things.words.clone()
    words[1, :, : len(SHAPES)] = 1 / len(SHAPES)
    frames, ends = torch.tensor([0, 1, 1, -1]), torch.tensor([True, True, False, False])
    copied = copier(logits, hidden, things._replace(words=words), frames)
    assert copied.objects.tolist() == [True, False, False, False]
    own, unknown = torch.tensor([OWN, 0]), torch.tensor([IGNORED, IGNORED])
    part = -copied.parts[:, OWN]
    signs = copying_loss(copied, torch.stack([unknown, own, own, own]), ends)
    torch.testing.assert_close(signs, part[1:].mean())
    every = copying_loss(copied, torch.stack([own, own, own, own]), ends)
    alone = copying_loss(copied, torch.stack([own, unknown, unknown, unknown]), ends)
    torch.testing.assert_close(every - part.mean(), alone - part[0])
    assert float((alone - part[0]).detach()) > 0.1


def test_a_tokeniser_that_cuts_a_word_in_pieces_leaves_nothing_to_copy():
    assert copied_ids(train_text_tokenizer(["a red cube"] * 9, vocab_size=300)) == []


def test_the_words_have_ids_of_their_own(tokenizer):
    ids = copied_ids(tokenizer)
    assert len(set(ids)) == len(COPIED)
    assert [tokenizer.decode([each]).strip() for each in ids] == list(COPIED)
