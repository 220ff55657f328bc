"""The vision-language model: rows of turns, the cache, the round trip, and what it refuses."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from multimodal.errors import CheckpointError, FrameError, TextError
from multimodal.eyes import Eyes
from multimodal.language import COLOURS, SHAPES
from multimodal.language.corpus import sentences
from multimodal.layers import LayerReader
from multimodal.text_tokenizer import train_text_tokenizer
from multimodal.tokenizer import VideoTokenizer
from multimodal.vlm.copying import ARTICLE, COLOUR, OWN, SHAPE, Shown, copied_ids
from multimodal.vlm.generate import generate
from multimodal.vlm.language import small_language
from multimodal.vlm.model import VlmModel, answer_log_probability
from multimodal.vlm.shared import LONGEST_QUESTION, SharedVlm
from multimodal.vlm.turns import IGNORED, Marks, Turn, assemble, attention_mask, collate_rows

WORDS = list(sentences(600))


@pytest.fixture(scope="module")
def vlm():
    torch.manual_seed(0)
    trunk = VideoTokenizer(latent_channels=8, width=16).eval()
    eyes = Eyes(trunk, LayerReader(slots=3, width=8, dilations=(1,)).eval())
    tokenizer = train_text_tokenizer(WORDS, vocab_size=500)
    language = small_language(tokenizer, width=32, hidden=48, layers=2, heads=2)
    model = VlmModel(
        language_config=language.config.to_diff_dict() | {"model_type": "llama"},
        mark_ids=asdict(Marks.of(tokenizer)),
        **eyes.names,
        slots=eyes.slots,
        fine_px=64,
        channels=8,
        width=16,
        hidden=32,
        layers=1,
        heads=2,
        copied=copied_ids(tokenizer),
    ).eval()
    # Fresh weights of 0.02 make every token equally likely; answers should differ.
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.2)
    return SharedVlm(model, eyes, tokenizer)


def frames(count=1, seed=0, side=64):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)


def test_several_turns_in_a_row_say_what_single_turns_say(vlm):
    model, marks = vlm.model, vlm.model.marks
    glances = vlm.look(frames(2))
    turns = [Turn((20, 21, 22), (30, marks.eos), 1), Turn((40,), (41, 42, marks.eos), 2)]
    turns.append(Turn((50, 51), (52, marks.eos), 1))
    packed = assemble(turns, 2, model.frame_tokens, marks) | {"glances": glances.numpy()}
    logits, ids = model.answer(collate_rows([packed])).next[:2]
    alone = []
    for turn in turns:
        row = assemble([turn], turn.frames, model.frame_tokens, marks)
        batch = collate_rows([row | {"glances": glances[: turn.frames].numpy()}])
        alone.append(model.answer(batch).next[:2])
    assert torch.equal(ids, torch.cat([each[1] for each in alone]))
    torch.testing.assert_close(logits, torch.cat([each[0] for each in alone]), atol=1e-4, rtol=1e-4)


def test_rows_of_a_batch_do_not_disturb_one_another(vlm):
    model, marks = vlm.model, vlm.model.marks
    rows = []
    for number, length in enumerate((2, 9)):
        turn = Turn(tuple(range(20, 20 + length)), (60, 61, marks.eos), 1)
        laid = assemble([turn], 1, model.frame_tokens, marks)
        rows.append(laid | {"glances": vlm.look(frames(seed=number)).numpy()})
    together = answer_log_probability(model, collate_rows(rows))
    alone = torch.cat([answer_log_probability(model, collate_rows([row])) for row in rows])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_rows_of_two_one_and_no_frames_do_not_disturb_one_another(vlm):
    model, marks = vlm.model, vlm.model.marks
    assert model.copier is not None
    rows = []
    for number, count in enumerate((2, 0, 1, 2)):
        laid = assemble(
            [Turn((20, 21), (60, 61, marks.eos), count)], count, model.frame_tokens, marks
        )
        seen = vlm.look(frames(max(count, 1), seed=number))[:count]
        rows.append(laid | {"glances": seen.numpy()})
    together = answer_log_probability(model, collate_rows(rows))
    alone = torch.cat([answer_log_probability(model, collate_rows([row])) for row in rows])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    assert len(set(together.tolist())) == 4


def test_what_is_said_is_what_is_most_probable(vlm):
    model, marks = vlm.model, vlm.model.marks
    question, glances = (20, 21, 22), vlm.look(frames(2, seed=3))
    asked = assemble([Turn(question, (), 2)], 2, model.frame_tokens, marks)
    ids = torch.from_numpy(asked["ids"])[None]
    said = generate(model, ids, glances, 4)[0]
    told = assemble([Turn(question, (*said, marks.eos), 2)], 2, model.frame_tokens, marks)
    answered = model.answer(collate_rows([told | {"glances": glances.numpy()}]))
    assert said
    assert answered.next.logits.argmax(-1)[: len(said)].tolist() == said


def three_things(width=32):
    """An orange ball, a red cube and a blue triangle; the second frame lacks the last.

    Returned with what the copier has to ask for, so that they fit in shares of 0.40, 0.35, 0.25.
    """
    shapes, colours = torch.full((2, 3, len(SHAPES)), -20.0), torch.full((2, 3, 6), -20.0)
    for thing, name in enumerate(("orange ball", "red cube", "blue triangle")):
        colour, shape = name.split(" ")
        shapes[:, thing, SHAPES.index(shape)] = colours[:, thing, COLOURS.index(colour)] = 0.0
    parts, asks = torch.zeros(2, 3, 3, width), torch.zeros(width)
    parts[:, :, 2, 0], asks[0] = torch.tensor([0.40, 0.35, 0.25]).log(), width**0.5
    there = torch.tensor([[True, True, True], [True, True, False]])
    return Shown.of(parts, shapes, colours, there), asks


def drive(model, ids, glances, script):
    """Teach the part alone: of each row's answer step by step the part that the script says.

    Returns what is said then, with room for more than the script has.
    """
    part, read = model.copier.part, []
    hook = part.register_forward_pre_hook(lambda _, given: read.append(given[0].double()))
    steps = max(map(len, script))
    for count in range(1, steps + 1):
        read.clear()
        generate(model, ids, glances, count, cached=False)
        pairs = [
            (read[step][row], wanted[step])
            for row, wanted in enumerate(script)
            for step in range(min(count, len(wanted)))
        ]
        hidden = torch.stack([F.pad(each, (0, 1), value=1.0) for each, _ in pairs])
        target = 60 * F.one_hot(torch.tensor([wanted for _, wanted in pairs]), 4).double()
        learnt = torch.linalg.lstsq(hidden, target, driver="gelsd").solution.float()
        part.weight.data, part.bias.data = learnt[:-1].T.contiguous(), learnt[-1].contiguous()
    hook.remove()
    return generate(model, ids, glances, steps + 4)


def test_what_was_said_counts_alike_in_training_and_in_use(vlm, monkeypatch):
    """Articles, colours, shapes and the model's own words in turn name every thing once, and end.

    The orange ball fits best by itself: that an answer begins with "a", which two things share,
    that the colour is then red and the shape that of the red one is all due to what was said.
    """
    model, marks, tokenizer = vlm.model, vlm.model.marks, vlm.tokenizer
    before = {name: value.clone() for name, value in model.copier.state_dict().items()}
    things, asks = three_things()
    monkeypatch.setattr(model, "shown", lambda seen: things)
    glances, question = torch.randn(2, model.layout.numbers), (20, 21)
    start = assemble([Turn(question, (), 1)], 1, model.frame_tokens, marks)["ids"].tolist()
    ids, one = torch.tensor([start, start]), [ARTICLE, COLOUR, SHAPE, OWN]
    try:
        model.copier.ask.weight.data.zero_()
        model.copier.ask.bias.data.copy_(asks)
        model.copier.keys[2].weight.data.copy_(torch.eye(32))
        model.copier.ends.weight.data.zero_()
        model.copier.ends.bias.data.fill_(10.0)
        said = drive(model, ids, glances, [3 * one, 2 * one])
        names = [
            [tokenizer.decode(row[k : k + 3]).strip() for k in range(0, len(row), 4)]
            for row in said
        ]
        assert names[0] == ["a red cube", "an orange ball", "a blue triangle"]
        assert names[1] == ["an orange ball", "a red cube"]
        # The last of the model's own words is the end.
        assert [len(row) for row in said] == [11, 7]
        assert said == generate(model, ids, glances, 16, cached=False)
        rows = []
        for row, glance in zip(said, glances, strict=True):
            turns = [Turn((22,), (*row[::-1], marks.eos), 1)]
            turns.append(Turn(question, (*row, marks.eos), 1))
            laid = assemble(turns, 1, model.frame_tokens, marks)
            rows.append(laid | {"glances": glance[None].numpy()})
        answered = model.answer(collate_rows(rows)).next
        for number, row in enumerate(said):
            likeliest = answered.logits.argmax(-1)[answered.rows == number]
            assert likeliest[-len(row) - 1 :].tolist() == [*row, marks.eos]
    finally:
        model.copier.load_state_dict(before)


def test_weights_from_before_answers_knew_where_to_end_are_read(vlm, tmp_path):
    vlm.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    old = {name: value for name, value in weights.items() if "copier.ends" not in name}
    assert len(old) == len(weights) - 2
    save_file(old, tmp_path / "model.safetensors", {"format": "pt"})
    again = VlmModel.from_pretrained(tmp_path)
    assert not again.copier.ends.weight.any()
    assert not again.copier.ends.bias.any()
    save_file(dict(list(old.items())[1:]), tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="1 are missing"):
        VlmModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("sees", [1, 2])
def test_words_are_copied_from_the_last_frame_that_a_question_is_about(vlm, sees):
    model, marks = vlm.model, vlm.model.marks
    glances = torch.randn(2, model.layout.numbers)
    things = model.layout.parts(glances).things
    things[..., -2:] = 0.0
    things[0, 0, -1] = things[1, 1, -1] = 1.0
    row = assemble([Turn((20, 21), (60, marks.eos), sees)], 2, model.frame_tokens, marks)
    other = assemble([Turn((22,), (61, marks.eos), 1)], 1, model.frame_tokens, marks)
    rows = [other | {"glances": glances[:1].numpy()}, row | {"glances": glances.numpy()}]
    which = model.answer(collate_rows(rows)).copied.which.detach().exp()[-2:]
    assert which.argmax(-1).unique().tolist() == [sees - 1]
    assert float(which.amax(-1).min()) > 0.99


def test_training_leaves_out_things_where_something_is_copied_and_nowhere_else(vlm):
    """A green cube is never shown: a green ball must not be passed over for being no cube."""
    model, marks = vlm.model, vlm.model.marks
    cube, ball = (SHAPES.index("cube"), COLOURS.index("red")), (1, COLOURS.index("green"))
    named = torch.tensor([[cube, ball, (-1, -1)]])
    glances = torch.randn(1, model.layout.numbers)
    things = model.layout.parts(glances).things
    things[..., -2], things[..., -1] = 0.0, 1.0

    def which(copies, **told):
        turn = Turn((20, 21), (60, marks.eos), 1, copies=copies)
        row = assemble([turn], 1, model.frame_tokens, marks) | {"glances": glances.numpy()}
        return model.answer(collate_rows([row]) | told).copied.which.detach().exp()[0]

    free = which(((COLOUR, 0), (OWN, 0)))
    assert float(free.min()) > 0
    torch.testing.assert_close(which(((OWN, 0), (OWN, 0)), named=named), free)
    told = which(((COLOUR, 0), (OWN, 0)), named=named)
    assert float(told[:, 1].max()) == 0
    assert float(told[:, 0].min()) > 0


def test_only_answers_are_learnt():
    marks = Marks(0, 1, 2, 3)
    row = assemble([Turn((10, 11), (12, 2), 1), Turn((13,), (14, 2), 1)], 1, 4, marks)
    assert row["ids"].tolist() == [1, 3, 3, 3, 3, 10, 11, 12, 2, 13, 14, 2]
    learnt = row["labels"] != IGNORED
    assert row["ids"][learnt].tolist() == [12, 2, 14, 2]
    assert row["positions"].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 5, 6, 7]


def test_a_question_about_the_first_frame_does_not_see_the_second():
    turns = [Turn((10,), (11,), 1), Turn((12,), (13,), 2)]
    row = assemble(turns, 2, 1, Marks(0, 1, 2, 3))
    names = ("turns", "sees", "frames")
    seen = attention_mask(*(torch.from_numpy(row[name])[None] for name in names))[0, 0] == 0
    begin, first, second, asked, answered, other, last = range(7)
    assert seen[answered].nonzero().flatten().tolist() == [begin, first, asked, answered]
    assert seen[last].nonzero().flatten().tolist() == [begin, first, second, other, last]
    assert seen[first].nonzero().flatten().tolist() == [begin, first]


def test_answers_depend_on_the_picture(vlm):
    model = vlm.model
    row = assemble([Turn((20, 21), (30, 31), 1)], 1, model.frame_tokens, model.marks)
    likely = [
        answer_log_probability(
            model, collate_rows([row | {"glances": vlm.look(frames(seed=seed)).numpy()}])
        )
        for seed in (0, 1)
    ]
    assert not torch.allclose(likely[0], likely[1])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_cached_generation_equals_uncached(vlm, count):
    model = vlm.model
    ids = torch.tensor([[1, *[3] * (count * model.frame_tokens), 20 + k, 21] for k in range(3)])
    glances = vlm.look(frames(3 * count)) if count else torch.zeros(0, model.layout.numbers)
    cached = generate(model, ids, glances, 12)
    assert cached == generate(model, ids, glances, 12, cached=False)
    assert any(len(said) > 1 for said in cached)


def test_saved_and_loaded_it_is_the_same_to_the_last_bit(vlm, tmp_path):
    vlm.save_pretrained(tmp_path)
    again = SharedVlm.from_pretrained(tmp_path, vlm.eyes)
    before, after = vlm.model.state_dict(), again.model.state_dict()
    assert before.keys() == after.keys()
    assert {name.partition(".")[0] for name in before} == {
        "tower",
        "projector",
        "language",
        "copier",
    }
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert again.answer(frames(), "What moved?") == vlm.answer(frames(), "What moved?")


def test_another_trunk_is_refused(vlm):
    torch.manual_seed(1)
    with pytest.raises(CheckpointError, match="Use the tokeniser it was trained on"):
        SharedVlm(vlm.model, Eyes(VideoTokenizer(latent_channels=8, width=16)), vlm.tokenizer)


def test_a_folder_without_weights_is_refused(vlm, tmp_path):
    vlm.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        SharedVlm.from_pretrained(tmp_path, vlm.eyes)


def test_the_choice_is_the_most_probable_answer(vlm):
    model, choices = vlm.model, ["red", "blue", "a green cube"]
    likely = []
    for answer in choices:
        row = vlm._row(vlm.look(frames()), "What colour is it?", answer)
        batch = collate_rows([row | {"glances": vlm.look(frames()).numpy()}])
        likely.append(float(answer_log_probability(model, batch)))
    chosen = vlm.answer(frames(), "What colour is it?", choices)
    assert chosen == choices[int(np.argmax(likely))]


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((1, 1, 3), np.uint8), "64x64"),
        (np.zeros((64, 64, 0), np.uint8), r"\(\.\.\., H, W, 3\)"),
        (np.zeros((64, 64, 5), np.uint8), r"\(\.\.\., H, W, 3\)"),
        (np.zeros((3, 64, 64), np.uint8), "channels come first"),
        (np.zeros((4096, 4096, 3), np.uint8), "64x64"),
        (np.full((64, 64, 3), np.nan, np.float32), "finite"),
        (np.zeros((0, 64, 64, 3), np.uint8), "got none"),
        (np.zeros((64, 64, 3), np.int64), "uint8"),
    ],
)
def test_pictures_that_cannot_be_read_are_refused(vlm, picture, message):
    with pytest.raises(FrameError, match=message):
        vlm.answer(picture, "What moved?")


@pytest.mark.parametrize(
    ("question", "choices", "message"),
    [
        ("", None, "empty"),
        ("  \n", None, "empty"),
        ("x" * 1_000_000, None, "1,000,000 characters"),
        ("What?", [], "list of different answers"),
        ("What?", "yes", "list of different answers"),
        ("What?", ["yes", "yes"], "list of different answers"),
        ("What?", ["yes", " "], "says something"),
    ],
)
def test_questions_that_cannot_be_asked_are_refused(vlm, question, choices, message):
    with pytest.raises(TextError, match=message):
        vlm.answer(frames(), question, choices)


def test_too_many_frames_are_refused(vlm):
    with pytest.raises(TextError, match="frames at most"):
        vlm.answer(frames(9), "What moved?")


@settings(max_examples=10, deadline=None)
@given(st.text(min_size=1, max_size=60).filter(str.strip))
def test_any_question_gets_some_answer(vlm, question):
    assert isinstance(vlm.answer(frames(), question), str)


def test_the_longest_question_fits(vlm):
    assert isinstance(vlm.answer(frames(), "a " * (LONGEST_QUESTION // 8)), str)
    with pytest.raises(TextError, match="positions"):
        vlm.answer(frames(2), "\x00" * LONGEST_QUESTION)
