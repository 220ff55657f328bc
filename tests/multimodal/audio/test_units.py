"""Speech as units: how many, what they mean, what they learn from."""

import numpy as np
import pytest
import torch

from multimodal.audio.speech import SpeechCorpus, Utterance
from multimodal.audio.unit_rows import UnitRows, pad_rows
from multimodal.audio.units import FRAMES, SpeechUnits, unit_features
from multimodal.audio.waveform import write_wav
from multimodal.errors import AudioError, ConfigError
from multimodal.speech.model import SpeechModel, speech_config
from worldmodel.checkpoint import resolve
from worldmodel.cli import composed
from worldmodel.objectives.speech_units import SpeechUnitsObjective


@pytest.fixture(scope="module")
def units():
    torch.manual_seed(0)
    return SpeechUnits(width=16, near=1, levels=4, digits=3).eval()


@pytest.fixture(scope="module")
def speech():
    rng = np.random.default_rng(0)
    loud = np.repeat(rng.uniform(0, 0.5, 20), 800)
    return torch.from_numpy(loud * rng.normal(0, 0.3, 16_000)).float().clamp(-1, 1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, speech):
    folder = tmp_path_factory.mktemp("speech")
    spoken = []
    for number, (split, text) in enumerate((("train", "A red cube"), ("train", "Two"))):
        write_wav(folder / f"{number}.wav", speech[: 16_000 - 4_000 * number], 16_000)
        spoken.append(Utterance(f"{number}.wav", split, "espeak-ng", "m1", text, 24_000))
    return SpeechCorpus(folder, tuple(spoken), 0)


def test_a_second_is_twelve_units_and_a_half(units, speech):
    codes = units.encode(speech)
    assert codes.shape == (12, 1)
    assert codes.dtype == np.int64
    assert 0 <= codes.min() <= codes.max() < units.units == 64


def test_how_loud_it_is_changes_no_unit(units, speech):
    assert np.array_equal(units.encode(speech), units.encode(speech / 4))


def test_a_unit_means_letters_in_either_half(units):
    meanings = units.meanings()
    assert meanings.shape == (64, 54)
    assert torch.allclose(meanings.unflatten(1, (2, 27)).sum(-1), torch.ones(64, 2), atol=1e-5)


def test_it_begins_as_the_recogniser_hears(speech):
    torch.manual_seed(0)
    recogniser = SpeechModel(speech_config(16, 1, 1, 2, 16)).eval()
    units = SpeechUnits(width=16, near=1).eval()
    features = unit_features(speech)[None]
    heard = []
    hook = recogniser.near[-1].register_forward_hook(lambda *given: heard.append(given[2]))
    with torch.no_grad():
        recogniser.encode(features)
        hook.remove()
        assert not torch.allclose(units.states(features), heard[0])
        units.start_from(recogniser)
        assert torch.allclose(units.states(features), heard[0], atol=1e-5)
    for width, near in ((8, 1), (16, 2)):
        with pytest.raises(ConfigError, match="width 16 with 1 blocks"):
            SpeechUnits(width=width, near=near).start_from(recogniser)


@pytest.mark.parametrize("size", ["small", "base"])
def test_units_of_a_size_are_as_wide_as_the_ears_that_they_start_from(size):
    cfg = composed("train", [f"size={size}"]).size.speech_units
    ears = SpeechModel.from_pretrained(resolve(cfg.start) / "recogniser")
    assert (cfg.width, cfg.near) == (ears.config.d_model, len(ears.near))


def test_too_short_or_malformed_sound_is_refused(units):
    for sound in (torch.zeros(600), torch.full((16_000,), torch.nan)):
        with pytest.raises(AudioError):
            units.encode(sound)


def test_rows_are_of_their_number_alone_and_change_as_voices_do(corpus):
    rows = UnitRows(corpus, "train", 3, 8)
    again = UnitRows(corpus, "train", 3, 8)
    assert torch.equal(rows[5]["features"], again[5]["features"])
    lengths = {rows[k]["features"].shape[1] for k in range(8)}
    assert len(lengths) > 2
    assert all(length % FRAMES == 0 for length in lengths)
    plain = UnitRows(corpus, "train", 3, 8, changed=False)
    assert {plain[k]["features"].shape[1] for k in range(8)} == {72, 96}
    batch = pad_rows([plain[k] for k in range(8)])
    assert batch["features"].shape == (8, 80, 96)
    assert set(batch["frames"].tolist()) == {72, 96}


def test_letters_are_learned_through_the_rounding(corpus, tmp_path, speech):
    torch.manual_seed(0)
    objective = SpeechUnitsObjective(SpeechUnits(width=16, near=1, levels=4, digits=3))
    batch = pad_rows([UnitRows(corpus, "train", 0, 4, changed=False)[k] for k in range(4)])
    optimiser = torch.optim.AdamW(objective.parameters(), 5e-3)
    losses = []
    for _ in range(60):
        figures = objective(**batch)
        optimiser.zero_grad()
        figures["loss"].backward()
        optimiser.step()
        losses.append((float(figures["ctc"].detach()), float(figures["told"])))
    assert losses[-1][0] < 0.5 * losses[0][0]
    assert losses[-1][1] < 0.8 * losses[0][1]
    objective.export(tmp_path)
    shipped = SpeechUnits.from_pretrained(tmp_path, torch_dtype=torch.float32).eval()
    assert torch.equal(shipped.conv1.weight, objective.units.conv1.weight.half().float()), (
        "what ships is what is learned from"
    )
    assert shipped.encode(speech).shape == (12, 1)
