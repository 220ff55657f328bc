"""Interleaved sequences: exactly what went in comes out, and nothing else parses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from multimodal.errors import ActionError, ConfigError, SequenceError
from multimodal.sequence import (
    ActionBins,
    Modality,
    Segment,
    Vocabulary,
    assemble,
    collate,
    parse,
    take_apart,
)
from multimodal.text_tokenizer import encode_text, train_text_tokenizer

WORDS = Vocabulary(40, 0, 1, 2, (6, 8, 10), (7, 9, 11), 5, (2, 30), (3, 20), (2, 9))
finite = st.floats(-3, 3, width=32)


def codes(columns, values, low=0):
    rows = st.integers(0, 12)
    return rows.flatmap(
        lambda n: arrays.arrays(np.int64, (n, columns), elements=st.integers(low, values - 1))
    )


texts = codes(1, WORDS.text, 12).map(lambda ids: Segment.text(ids[:, 0].tolist()))
images = codes(*WORDS.image).map(Segment.image)
sounds = codes(*WORDS.audio).map(Segment.audio)
binned = codes(*WORDS.actions).map(Segment.actions)
numbers = st.integers(1, 6).flatmap(
    lambda n: arrays.arrays(np.float32, (n, 2), elements=finite).map(Segment.continuous_actions)
)
learned = st.tuples(st.one_of(texts, images, sounds, binned, numbers), st.booleans()).map(
    lambda pair: Segment(pair[0].modality, pair[0].codes, pair[0].values, pair[1])
)
interleavings = st.lists(learned, max_size=8)


@given(interleavings)
@settings(max_examples=50, deadline=None)
def test_what_is_assembled_comes_apart_exactly(segments):
    assert take_apart(assemble(segments, WORDS), WORDS) == segments


@given(interleavings)
@settings(max_examples=50, deadline=None)
def test_the_ids_alone_tell_all_but_numbers_and_the_mask(segments):
    row = assemble(segments, WORDS)
    again = assemble(parse(row["ids"], WORDS), WORDS)
    for name in ("ids", "positions", "within", "modalities"):
        assert np.array_equal(again[name], row[name])


@given(st.lists(st.integers(0, WORDS.size - 1), max_size=12))
@settings(max_examples=100, deadline=None)
def test_ids_that_parse_are_the_ids_of_what_they_parse_to(ids):
    row = np.array([WORDS.bos, *ids])
    try:
        segments = parse(row, WORDS)
    except SequenceError:
        return
    again = assemble(segments, WORDS)["ids"]
    assert np.array_equal(again, row[: len(again)])
    assert (row[len(again) :] == WORDS.pad).all()


@given(interleavings)
@settings(max_examples=50, deadline=None)
def test_the_mask_covers_just_what_is_to_be_learned(segments):
    row = assemble(segments, WORDS)
    counted = sum(
        s.codes.size + (len(s.values) if s.continuous else 0) + (1 if s.modality == 0 else 2)
        for s in segments
        if s.learn
    )
    assert row["learn"].sum() == counted
    assert not row["learn"][0]


@given(st.lists(interleavings, min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_padding_changes_nothing(batch):
    rows = [assemble(segments, WORDS) for segments in batch]
    padded = collate(rows, WORDS)
    assert padded["ids"].shape[1] % 8 == 0
    for k, segments in enumerate(batch):
        row = {name: values[k].numpy() for name, values in padded.items()}
        assert take_apart(row, WORDS) == segments
        assert (row["modalities"] == Modality.PADDING).sum() == (row["ids"] == WORDS.pad).sum()


def test_places_inside_an_image_are_counted_from_one():
    row = assemble([Segment.text([20]), Segment.image(np.zeros((3, 2), int))], WORDS)
    assert row["within"].tolist() == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0]
    assert row["modalities"].tolist() == [0, 0, 0, *[1] * 8]


def test_our_text_tokeniser_has_all_marks():
    tokenizer = train_text_tokenizer(["a red cube"], 300)
    vocabulary = Vocabulary.of(tokenizer, (1, 16), (1, 8), (2, 5))
    ids = encode_text(tokenizer, "a red cube <image_start>")
    segments = [Segment.text(ids), Segment.image(np.full((4, 1), 15))]
    assert parse(assemble(segments, vocabulary)["ids"], vocabulary) == segments
    assert vocabulary.size == len(tokenizer) + 16 + 8 + 10


@pytest.mark.parametrize(
    "segment",
    [
        Segment.image(np.full((1, 2), 30)),
        Segment.image(np.zeros((1, 3), int)),
        Segment.audio(np.full((2, 3), -1)),
        Segment.text([2]),
        Segment.text([40]),
        Segment.continuous_actions(np.zeros((1, 3))),
    ],
)
def test_codes_that_do_not_exist_are_refused(segment):
    with pytest.raises(SequenceError):
        assemble([segment], WORDS)


@pytest.mark.parametrize(
    ("ids", "words"),
    [([], "begins with"), ([5], "begins with"), ([1, 20], "not closed"), ([1, 6, 45, 7], "groups"),
     ([1, 6, 45, 45, 7], "in order"), ([1, 6, 20, 20, 7], "in order")],
)  # fmt: skip
def test_broken_ids_are_refused_with_the_reason(ids, words):
    with pytest.raises(SequenceError, match=words):
        parse(np.array(ids, int), WORDS)


@given(
    st.integers(2, 200),
    arrays.arrays(np.float32, (7, 2), elements=st.floats(-1, 1, width=32)),
)
@settings(max_examples=50, deadline=None)
def test_a_binned_action_is_off_by_half_a_bin_at_most(bins, actions):
    binning = ActionBins((-1.0, -1.0), (1.0, 1.0), bins)
    assert np.abs(binning.decode(binning.encode(actions)) - actions).max() <= 1 / bins + 1e-6
    middles = binning.decode(binning.encode(actions))
    assert np.array_equal(binning.encode(middles), binning.encode(actions))


@pytest.mark.parametrize(
    "actions", [[1.0], [[np.nan, 0]], [[2.0, 0]], [[0.0]], "left", [[np.inf, 0]]]
)
def test_actions_that_cannot_be_binned_are_refused(actions):
    with pytest.raises(ActionError):
        ActionBins((-1.0, -1.0), (1.0, 1.0)).encode(actions)


def test_no_action_is_no_segment():
    with pytest.raises(ActionError):
        Segment.continuous_actions(np.zeros((0, 2)))


def test_bounds_that_do_not_bound_are_refused():
    with pytest.raises(ConfigError):
        ActionBins((1.0,), (1.0,))
    with pytest.raises(ActionError):
        ActionBins((0.0,), (1.0,), 4).decode([[4]])
