"""The text tokeniser: every string comes back, nothing unknown is guessed."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from multimodal.errors import CheckpointError, ConfigError, TextError
from multimodal.language.corpus import sentences
from multimodal.text_tokenizer import (
    SPECIAL_TOKENS,
    decode_ids,
    encode_text,
    load_text_tokenizer,
    train_text_tokenizer,
)


@pytest.fixture(scope="module")
def tokenizer():
    return train_text_tokenizer(sentences(3000), vocab_size=512)


@settings(max_examples=300, deadline=None)
@given(
    text=st.text(max_size=60) | st.lists(st.sampled_from((*SPECIAL_TOKENS, " ", "x"))).map("".join)
)
@example(text="")
@example(text="\0\x01\x1b\r\n\t ")
@example(text="K7X <image> 日本 🎈  é")
@example(text=" leading and trailing ")
def test_every_text_comes_back_exactly(tokenizer, text):
    assert decode_ids(tokenizer, encode_text(tokenizer, text)) == text


def test_what_looks_like_a_special_token_in_a_text_is_text(tokenizer):
    special = set(tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)))
    assert not special & set(encode_text(tokenizer, "".join(SPECIAL_TOKENS)))


def test_special_tokens_have_ids_of_their_own(tokenizer):
    ids = tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS))
    assert sorted(set(ids)) == list(range(len(SPECIAL_TOKENS)))
    assert (tokenizer.pad_token, tokenizer.bos_token, tokenizer.eos_token) == SPECIAL_TOKENS[:3]
    assert decode_ids(tokenizer, ids) == "".join(SPECIAL_TOKENS)


def test_words_of_the_world_are_one_token(tokenizer):
    assert len(encode_text(tokenizer, " red cube")) == 2


def test_each_character_of_a_sign_is_a_token(tokenizer):
    ids = encode_text(tokenizer, "K7XA")
    assert [decode_ids(tokenizer, [each]) for each in ids] == list("K7XA")


def test_a_saved_tokeniser_is_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = load_text_tokenizer(tmp_path)
    assert again.get_vocab() == tokenizer.get_vocab()
    for text in ["Where is the red cube? top left", "<pad> K7", "\0é"]:
        assert encode_text(again, text) == encode_text(tokenizer, text)
        assert decode_ids(again, encode_text(again, text)) == text


def test_the_same_texts_train_the_same_tokeniser(tokenizer):
    again = train_text_tokenizer(sentences(3000), vocab_size=512)
    assert again.get_vocab() == tokenizer.get_vocab()


def test_a_tokeniser_of_another_kind_is_used_the_same_way(tmp_path):
    vocabulary = {"[UNK]": 0, "red": 1}
    other = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    PreTrainedTokenizerFast(tokenizer_object=other, unk_token="[UNK]").save_pretrained(tmp_path)
    loaded = load_text_tokenizer(tmp_path)
    assert encode_text(loaded, "red") == [1]


@pytest.mark.slow
def test_a_million_characters_come_back(tokenizer):
    for text in ("a" * 1_000_000, "a red cube, \0" * 80_000):
        assert decode_ids(tokenizer, encode_text(tokenizer, text)) == text


def test_a_text_too_long_for_its_place_is_refused(tokenizer):
    assert encode_text(tokenizer, "red", max_tokens=2)
    with pytest.raises(TextError, match=r"room for 10; shorten"):
        encode_text(tokenizer, "red cube " * 100, max_tokens=10)


@pytest.mark.parametrize(
    ("text", "says"),
    [(b"red", "got bytes"), (None, "got NoneType"), ("ab\ud800", "character 2.*lone surrogate")],
)
def test_what_is_no_text_is_refused(tokenizer, text, says):
    with pytest.raises(TextError, match=says):
        encode_text(tokenizer, text)


def test_unknown_ids_are_refused(tokenizer):
    for ids in ([1, 99_999], [-1], torch.tensor([700])):
        with pytest.raises(TextError, match="knows ids 0 to 511"):
            decode_ids(tokenizer, ids)


def test_ids_may_be_a_tensor(tokenizer):
    ids = torch.tensor(encode_text(tokenizer, "red cube"))
    assert decode_ids(tokenizer, ids) == "red cube"


def test_a_vocabulary_without_room_for_bytes_is_refused():
    with pytest.raises(ConfigError, match="268 or more"):
        train_text_tokenizer(["red"], vocab_size=100)


def test_a_hub_name_without_network_says_how_to_load_from_a_folder():
    with pytest.raises(CheckpointError, match=r"--local-dir DIR.*pass DIR"):
        load_text_tokenizer("nobody/has-this-tokeniser")


def test_a_folder_without_a_tokeniser_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        load_text_tokenizer(tmp_path)
