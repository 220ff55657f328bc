"""CLIP on the shared trunk: unit vectors, the round trip, and what it refuses."""

import numpy as np
import pytest
import torch

from multimodal.clip import ClipModel, SharedClip
from multimodal.errors import CheckpointError, FrameError, TextError
from multimodal.eyes import Eyes
from multimodal.layers import LayerReader
from multimodal.text_tokenizer import train_text_tokenizer
from multimodal.tokenizer import VideoTokenizer


@pytest.fixture(scope="module")
def clip():
    torch.manual_seed(0)
    trunk = VideoTokenizer(latent_channels=8, width=16).eval()
    eyes = Eyes(trunk, LayerReader(slots=3, width=8, dilations=(1,)).eval())
    tokenizer = train_text_tokenizer(["a photo of a red cube"], vocab_size=300)
    model = ClipModel(
        **eyes.names,
        slots=eyes.slots,
        fine_px=64,
        channels=8,
        width=16,
        hidden=32,
        layers=1,
        heads=2,
        vocabulary=len(tokenizer),
        text_width=16,
        text_layers=1,
        text_heads=2,
        embedding=8,
    )
    return SharedClip(model.eval(), eyes, tokenizer)


def frames(count=2):
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), np.uint8)


def test_pictures_and_texts_are_unit_vectors_of_one_space(clip):
    images, texts = clip.encode_image(frames(3)), clip.encode_text(["a red cube", "a ball"])
    assert images.shape == (3, 8)
    assert texts.shape == (2, 8)
    for vectors in (images, texts):
        torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(len(vectors)))


def test_a_batch_gives_what_single_ones_give(clip):
    texts = ["a red cube", "a photo of a red cube and a blue ball", "x"]
    together = clip.encode_text(texts)
    alone = torch.cat([clip.encode_text([text]) for text in texts])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    images = torch.cat([clip.encode_image(frames()[k : k + 1]) for k in range(2)])
    torch.testing.assert_close(clip.encode_image(frames()), images, atol=1e-5, rtol=1e-4)


def test_words_matter(clip):
    red, blue = clip.encode_text(["a red cube", "a blue cube"])
    assert not torch.allclose(red, blue, atol=1e-4)


def test_the_temperature_is_learned_and_bounded(clip):
    assert clip.model.log_scale.requires_grad
    model = ClipModel(layers=1, text_layers=1)
    model.log_scale.data.fill_(50.0)
    assert float(model.scale) == 100.0


def test_saved_and_loaded_it_is_the_same_to_the_last_bit(clip, tmp_path):
    clip.save_pretrained(tmp_path)
    again = SharedClip.from_pretrained(tmp_path, clip.eyes)
    before, after = clip.model.state_dict(), again.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(again.encode_image(frames()), clip.encode_image(frames()))
    torch.testing.assert_close(again.encode_text(["a cube"]), clip.encode_text(["a cube"]))


def test_another_trunk_is_refused(clip):
    torch.manual_seed(1)
    with pytest.raises(CheckpointError, match="Use the tokeniser it was trained on"):
        SharedClip(clip.model, Eyes(VideoTokenizer(latent_channels=8, width=16)), clip.tokenizer)


def test_another_reader_of_layers_or_none_is_refused(clip):
    other = LayerReader(slots=3, width=8, dilations=(1,))
    for reader, said in ((None, "none here"), (other, "this one is")):
        with pytest.raises(CheckpointError, match=said):
            SharedClip(clip.model, Eyes(clip.eyes.trunk, reader), clip.tokenizer)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((1, 1, 1, 3), np.uint8),
        np.zeros((1, 64, 64, 0), np.uint8),
        np.zeros((1, 64, 64, 5), np.uint8),
        np.zeros((1, 2048, 2048, 3), np.uint8),
        np.zeros((0, 64, 64, 3), np.uint8),
        np.zeros((64, 64, 3), np.uint8),
    ],
)
def test_pictures_that_cannot_be_read_are_refused(clip, picture):
    with pytest.raises(FrameError, match=r"\d|none"):
        clip.encode_image(picture)


@pytest.mark.parametrize("texts", [[], "a red cube", [""], ["a " * 500_000]])
def test_texts_that_cannot_be_read_are_refused(clip, texts):
    with pytest.raises(TextError, match="text"):
        clip.encode_text(texts)
