"""CLIP, SigLIP and vision-language models of the hub, as small ones saved on this machine."""

import numpy as np
import pytest
import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from multimodal.errors import CheckpointError, FrameError, TextError
from multimodal.hub_clip import open_clip
from multimodal.text_tokenizer import train_text_tokenizer
from multimodal.vlm.hub import open_vlm
from multimodal.vlm.language import open_language

NAME = "somebody/a-model-that-is-not-here"
VISION = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}


@pytest.fixture(scope="module")
def tokenizer():
    return train_text_tokenizer(["USER: ASSISTANT: a photo of a red cube yes no"], vocab_size=300)


def images():
    return CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})


@pytest.fixture(scope="module")
def clip_folder(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 32,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=16))
    model.save_pretrained(folder)
    tokenizer.model_max_length = 32
    CLIPProcessor(images(), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def llava_folder(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("llava")
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION), text_config=text, image_token_index=3
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    processor = LlavaProcessor(
        images(),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    tokenizer.split_special_tokens = False
    processor.save_pretrained(folder)
    return folder


def frames(side=48):
    return np.random.default_rng(0).integers(0, 256, (2, side, side, 3), np.uint8)


def test_a_hub_clip_gives_unit_vectors_of_frames_of_any_size(clip_folder):
    clip = open_clip(clip_folder)
    vectors = clip.encode_image(frames(80))
    assert vectors.shape == (2, 16)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(2))
    assert clip.encode_text(["a red cube", "a cube"]).shape == (2, 16)


def test_a_hub_vlm_answers_and_chooses(llava_folder):
    vlm = open_vlm(llava_folder)
    assert isinstance(vlm.answer(frames(), "What moved?"), str)
    assert vlm.answer(frames()[0], "Is there a cube?", ["yes", "no"]) in ("yes", "no")


def test_a_hub_language_model_gets_the_image_token(tokenizer, tmp_path):
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    from transformers import PreTrainedTokenizerFast

    plain = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, eos_token="<eos>", unk_token="<pad>"
    )
    plain.save_pretrained(tmp_path)
    model, loaded = open_language(tmp_path)
    assert loaded.convert_tokens_to_ids("<image>") < model.get_input_embeddings().num_embeddings


@pytest.mark.parametrize("opens", [open_clip, open_vlm, open_language])
def test_a_hub_name_without_network_says_how_to_load_from_a_folder(opens):
    with pytest.raises(CheckpointError, match="--local-dir DIR"):
        opens(NAME)


@pytest.mark.parametrize("opens", [open_clip, open_vlm])
def test_an_empty_folder_is_refused(opens, tmp_path):
    with pytest.raises(CheckpointError, match="holds no"):
        opens(tmp_path)


def test_a_model_without_two_towers_is_refused(tmp_path):
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="no towers"):
        open_clip(tmp_path)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((1, 1, 1, 3), np.uint8),
        np.zeros((1, 9000, 8, 3), np.uint8),
        np.zeros((1, 64, 64, 5), np.uint8),
        np.zeros((1, 64, 64, 3), np.float32),
    ],
)
def test_pictures_that_cannot_be_read_are_refused(clip_folder, llava_folder, picture):
    with pytest.raises(FrameError, match="xpected"):
        open_clip(clip_folder).encode_image(picture)
    with pytest.raises(FrameError, match="xpected"):
        open_vlm(llava_folder).answer(picture, "What?")


def test_texts_that_cannot_be_read_are_refused(clip_folder, llava_folder):
    with pytest.raises(TextError):
        open_clip(clip_folder).encode_text([""])
    with pytest.raises(TextError):
        open_vlm(llava_folder).answer(frames(), "x" * 1_000_000)
