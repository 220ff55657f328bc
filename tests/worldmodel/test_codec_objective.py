"""Training the audio codec."""

import shutil

import pytest
import torch
from torch.utils.data import Dataset

from multimodal.audio.codec import HOP
from tests.multimodal.audio.codecs import gliding_tones, small_codec
from worldmodel.objectives.codec import CodecObjective
from worldmodel.objectives.spectral import MelDistance, signal_to_noise_db
from worldmodel.training import TrainSettings, train_objective


def test_a_batch_can_be_learned_by_heart():
    objective = CodecObjective(small_codec(codes=64, decoder_width=48)).train()
    audio = gliding_tones(2, seconds=0.4, seed=5)
    optimizer = torch.optim.Adam(objective.parameters(), 3e-3)
    torch.manual_seed(0)
    before = objective.eval()(audio)
    objective.train()
    for _ in range(80):
        optimizer.zero_grad()
        objective(audio)["loss"].backward()
        optimizer.step()
    after = objective.eval()(audio)
    assert after["snr_db"] > before["snr_db"] + 4
    assert after["mel"] < 0.6 * before["mel"]


def test_every_part_of_the_codec_learns():
    objective = CodecObjective(small_codec()).train()
    books = objective.codec.quantizer.codebooks.clone()
    objective(gliding_tones(4)[:, : 20 * HOP])["loss"].backward()
    still = [name for name, p in objective.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []
    assert not torch.equal(books, objective.codec.quantizer.codebooks)


def test_levels_are_dropped_in_training_only():
    objective = CodecObjective(small_codec(), all_levels=0.5)
    torch.manual_seed(0)
    drawn = objective._levels(1000, torch.device("cpu"))
    assert set(drawn.tolist()) == {1, 2, 3, 4}
    assert float((drawn == 4).float().mean()) == pytest.approx(0.5 + 0.5 / 4, abs=0.05)
    audio = gliding_tones(2)[:, : 20 * HOP]
    assert objective.eval()(audio)["loss"] == objective(audio)["loss"]


def test_the_model_it_exports_is_the_model_it_trained(tmp_path):
    from multimodal.audio.codec import AudioCodec

    objective = CodecObjective(small_codec()).eval()
    objective.export(tmp_path)
    again = AudioCodec.from_pretrained(tmp_path, use_safetensors=True)
    audio = gliding_tones(1)
    with torch.no_grad():
        assert torch.equal(again.encode(audio), objective.codec.encode(audio))


class Tones(Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        return {"audio": gliding_tones(1, seconds=0.2, seed=index)[0]}


def train(run):
    objective = CodecObjective(small_codec())
    settings = TrainSettings(
        steps=12, batch_size=4, learning_rate=3e-3, save_every=5, keep=9, compute="cpu/float32"
    )
    train_objective(objective, Tones(), None, settings, run, wandb_mode="disabled")
    return objective.state_dict()


def test_a_run_that_was_killed_ends_with_the_same_codec_and_codebooks(tmp_path):
    straight = train(tmp_path)
    for late in ("step-00000010", "step-00000012"):
        shutil.rmtree(tmp_path / "checkpoints" / late, ignore_errors=True)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000005"]
    resumed = train(tmp_path)
    assert [name for name in straight if not torch.equal(straight[name], resumed[name])] == []


def test_the_ratio_is_the_one_of_textbooks_where_there_is_sound():
    true = gliding_tones(2)
    noise = true.square().mean(-1, keepdim=True).sqrt() * 0.1 * torch.randn_like(true)
    assert signal_to_noise_db(true + noise, true).tolist() == pytest.approx([20, 20], abs=0.2)


def test_noise_in_silence_costs_a_bounded_amount():
    silence = torch.zeros(1, 4800)
    assert signal_to_noise_db(silence, silence) == pytest.approx(20, abs=1e-3)
    assert signal_to_noise_db(silence + 1e-5, silence) > 19.9


def test_the_mel_distance_is_zero_for_the_same_sound_and_hears_the_level():
    mel, audio = MelDistance(24_000), gliding_tones(2)
    assert mel(audio, audio) == 0
    shift = mel(audio * 1.1, audio)
    assert 0 < shift <= torch.tensor(1.1).log() + 1e-4
    assert mel(audio * 2, audio) > shift
