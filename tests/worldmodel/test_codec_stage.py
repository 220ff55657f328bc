"""`worldmodel train objective=codec`: from no data at all to a codec that opens."""

import json
import shutil

import pytest
import torch

from multimodal.audio.codec import AudioCodec
from multimodal.audio.speech import VOICES
from worldmodel.checkpoint import verify
from worldmodel.cli import composed
from worldmodel.training.run import run

pytestmark = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="apt-get install espeak-ng"
)
SMALL = [
    "objective=codec",
    "size=tiny",
    "wandb=disabled",
    "compute=cpu/float32",
    "size.codec.encoder_width=16",
    "size.codec.decoder_width=16",
    "size.budget.codec.batch_size=2",
    "size.budget.codec.steps=3",
    "size.budget.codec.hops=10",
    "size.budget.codec.sentences=2",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    few = {split: voices[:1] for split, voices in VOICES.items()}
    folder = tmp_path_factory.mktemp("codec")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("multimodal.audio.speech.VOICES", few)
        words = [*SMALL, f"out={folder / 'run'}", f"speech={folder / 'speech'}"]
        assert run(composed("train", words)) == 0
        first = (folder / "run" / "codec" / "training.json").stat().st_mtime_ns
        assert run(composed("train", words)) == 0
        again = (folder / "run" / "codec" / "training.json").stat().st_mtime_ns
    assert first == again, "a codec that is done is not trained again"
    return folder / "run"


def test_the_codec_opens_and_has_learned_codebooks(trained):
    verify(trained / "codec" / "model", "codec")
    codec = AudioCodec.from_pretrained(trained / "codec" / "model", use_safetensors=True)
    with torch.no_grad():
        ids = codec.quantize(codec.encode(torch.randn(1, 3200) * 0.1))
    assert ids.shape == (1, 10, 8)
    assert codec.quantizer.codebooks.abs().sum((1, 2)).gt(0).all()


def test_the_account_says_what_speech_it_learned_from(trained):
    data = json.loads((trained / "training.json").read_text())["dataset"]
    assert data["sentences"] == 2
    assert data["voices"] == {"espeak-ng": 1}
    assert data["minutes"] > 0
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["codec_steps"] == 3
    assert "codec_validation_snr_db" in metrics
