"""Ears from no data at all to a checkpoint that is measured, packed and described."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from multimodal.audio.engines import Voice
from multimodal.audio.log_mel import RATE_HZ
from multimodal.audio.waveform import write_wav
from multimodal.errors import CheckpointError, ConfigError, DatasetError
from multimodal.speech.activity import CHUNK
from multimodal.speech.batches import SpeechBatches
from multimodal.speech.confirmed import ConfirmedSpotter, asked, confidence
from multimodal.speech.corpus import (
    COMMAND_VOICES,
    HEARD_SPEAKERS,
    Spoken,
    engine_weights,
    record_commands,
)
from multimodal.speech.language import STOP_WORDS
from multimodal.speech.spotter import Spotter
from multimodal.speech.stop_batches import IGNORED, StopStreams
from worldmodel.checkpoint import write_manifest
from worldmodel.cli import composed, main
from worldmodel.ears import ears_networks, load_ears
from worldmodel.ears_card import choose_thresholds
from worldmodel.ears_card import main as card
from worldmodel.evaluation.ears_thresholds import (
    Choice,
    Streams,
    Trace,
    best_choice,
    judged,
    traced,
)
from worldmodel.evaluation.run import run as evaluate
from worldmodel.training.average import averaged_weights
from worldmodel.training.ears_stages import ears_data
from worldmodel.training.run import run as train
from worldmodel.training.stages import STAGES, Source

pytestmark = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="apt-get install espeak-ng"
)
FEW = {
    "train": (Voice("espeak-ng", "en-us+m1"), Voice("espeak-ng", "en-gb+f2")),
    "validation": (Voice("espeak-ng", "en-us-nyc+f4"),),
    "test": (
        Voice("espeak-ng", "en-gb-scotland+m8"),
        *([Voice("flite", "rms")] if shutil.which("flite") else []),
    ),
}
SMALL = [
    "size=tiny",
    "wandb=disabled",
    "compute=cpu/float32",
    "size.recogniser.width=32",
    "size.recogniser.hidden=32",
    "size.budget.recogniser.steps=3",
    "size.budget.recogniser.seconds=8",
    "size.budget.recogniser.sentences=12",
    "size.spotter.width=16",
    "size.budget.spotter.steps=3",
    "size.budget.spotter.batch_size=2",
    "size.budget.spotter.sentences=8",
]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ears")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("multimodal.speech.corpus.COMMAND_VOICES", FEW)
        for stage in ("recogniser", "spotter"):
            words = [f"objective={stage}", *SMALL, f"commands={folder / 'commands'}"]
            assert train(composed("train", [*words, f"out={folder / stage}"])) == 0
        yield folder


@pytest.fixture(scope="module")
def packed(work):
    arguments = [str(work / name) for name in ("recogniser", "spotter", "packed")]
    assert card([*arguments, "--threshold", "0.6", "--suspicion", "0.2"]) == 0
    return work / "packed"


@pytest.fixture(scope="module")
def report(work, packed):
    mine = work / "mine"
    mine.mkdir()
    write_wav(mine / "one.wav", torch.randn(RATE_HZ) * 0.1, RATE_HZ)
    (mine / "transcripts.tsv").write_text("one.wav\tPush the red cube to the left wall.\n")
    words = ["model=ears", f"checkpoint={packed}", "sentences=2", f"recordings={mine}"]
    folders = [f"commands={work / 'test'}", f"out={work / 'report'}"]
    assert evaluate(composed("evaluate", [*words, *folders])) == 0
    return work / "report"


def test_engines_with_few_voices_are_heard_as_often_as_one_with_many():
    spoken = [Spoken("", "train", engine, "", "stop", 0, 1) for engine in
              ["espeak-ng"] * 60 + ["festival"] * 6 + ["pico"] * 3]  # fmt: skip
    weights = engine_weights(spoken)
    assert weights[:60].sum() == pytest.approx(0.5)
    assert weights[60:66].sum() == pytest.approx(weights[66:].sum()) == pytest.approx(0.25)
    foreigners = [Spoken("", "train", "foreign", "", "stop", 0, 1)] * 20
    assert engine_weights([*spoken, *foreigners])[69:].sum() == pytest.approx(1 / 3)


@pytest.mark.parametrize("part", ["recogniser", "spotter"])
def test_ears_are_trained_on_from_earlier_ears(work, packed, part):
    words = [f"objective={part}", *SMALL, f"commands={work / 'commands'}", f"initial={packed}"]
    source = Source(composed("train", words), work / "commands")
    further = STAGES[part].work(source).build().model.state_dict()
    fresh = STAGES[part].work(replace(source, cfg=composed("train", words[:-1]))).build()
    earlier = dict(zip(("spotter", "recogniser"), ears_networks(packed), strict=True))[part]
    assert all(torch.equal(further[name], value) for name, value in earlier.state_dict().items())
    assert any(not torch.equal(further[n], v) for n, v in fresh.model.state_dict().items())
    assert source.inputs(part)["initial"] == sha256(packed, part)
    wider = [*words, f"size.{part}.width=64"]
    with pytest.raises(ConfigError, match="another architecture"):
        STAGES[part].work(replace(source, cfg=composed("train", wider))).build()


def sha256(folder, part):
    files = json.loads((folder / "manifest.json").read_text())["files"]
    return next(
        each["sha256"]
        for name, each in files.items()
        if name.startswith(part) and name.endswith(".safetensors")
    )


def test_what_are_no_ears_is_no_start(work, packed):
    words = ["objective=recogniser", *SMALL, f"commands={work / 'commands'}", "initial=push"]
    with pytest.raises(CheckpointError, match="ears"):
        Source(composed("train", words), work / "commands").initial("recogniser")


def test_batches_are_the_same_for_the_same_number_and_fit_the_model(work):
    corpus = record_commands(work / "commands", {"train": 12, "validation": 3})
    one, again, other = (SpeechBatches(corpus, "train", 0, 9, 8)[n] for n in (4, 4, 5))
    assert torch.equal(one["features"], again["features"])
    assert one["texts"] == again["texts"] != other["texts"]
    assert one["features"].shape[:2] == (len(one["texts"]), 80)
    assert one["features"].shape[2] % 4 == 0


def test_a_corpus_of_another_length_is_refused(work):
    with pytest.raises(ConfigError, match="12 utterances and 5 were asked for"):
        record_commands(work / "commands", {"train": 5})


def test_other_single_words_are_another_corpus_to_train_on(work):
    words = [*SMALL, f"commands={work / 'commands'}", "objective=spotter"]
    cfg = composed("train", words)
    known = ears_data(Source(cfg, work))["fingerprint"]
    path = next((work / "commands-words" / "train").glob("*.json"))
    before = path.read_text()
    account = json.loads(before)
    account["utterances"][0]["text"] = "spot"
    path.write_text(json.dumps(account))
    try:
        assert ears_data(Source(cfg, work))["fingerprint"] != known
    finally:
        path.write_text(before)


def test_a_stream_is_labelled_after_the_stop_words_and_only_there(work):
    words = record_commands(work / "commands-words", {"train": 8}, kind="words")
    commands = record_commands(work / "commands", {"train": 12})
    assert {each.text for each in words.of("train")} >= set(STOP_WORDS)
    streams = StopStreams(words, commands, "train", 0, 20)
    labels = torch.stack([streams[number]["labels"] for number in range(20)])
    assert 0.005 < (labels == 1).float().mean() < 0.2
    assert (labels == 0).float().mean() > 0.5
    assert torch.equal(streams[3]["features"], streams[3]["features"])


def test_words_like_stop_are_neither_that_nor_anything_else(work, monkeypatch):
    words = record_commands(work / "commands-words", {"train": 8}, kind="words")
    commands = record_commands(work / "commands", {"train": 12})
    streams = StopStreams(words, commands, "train", 0, 8)
    for name, value in (("_NOBODY", 0.0), ("_STOPS", 0.0), ("_LIKE", 1.0)):
        monkeypatch.setattr(f"multimodal.speech.stop_batches.{name}", value)
    like = torch.stack([streams[number]["labels"] for number in range(8)])
    assert set(like.unique().tolist()) == {IGNORED, 0.0}
    monkeypatch.setattr("multimodal.speech.stop_batches._LIKE", 0.0)
    sentences = torch.stack([streams[number]["labels"] for number in range(8)])
    assert not sentences.any()


def test_packed_ears_open_and_keep_their_threshold(packed):
    ears = load_ears(packed)
    assert ears.spotter.threshold == 0.6
    transcript = ears.recogniser.transcribe(torch.randn(RATE_HZ) * 0.1, RATE_HZ)
    assert 0 <= transcript.confidence <= 1


def test_thresholds_are_chosen_on_voices_of_no_test_and_said_in_the_card(work, report, tmp_path):
    copy = tmp_path / "packed"
    arguments = [str(work / "recogniser"), str(work / "spotter"), str(copy)]
    assert card([*arguments, "--choose", str(work / "commands"), "--minutes", "1"]) == 0
    account = json.loads((copy / "scores" / "thresholds.json").read_text())
    chosen = account["chosen"]
    assert load_ears(copy).spotter.threshold == chosen["threshold"]
    assert chosen in account["tried"]
    assert card([*arguments, "--evaluation", str(report)]) == 0
    assert f"confidence of {chosen['threshold']:g} on" in (copy / "README.md").read_text()


def choice(recall, false_per_10min, false_share=0.0, threshold=0.5, suspicion=0.1):
    return Choice(suspicion, threshold, recall, false_per_10min, false_share, 0.0, 1.0)


def test_the_thresholds_chosen_miss_no_target_by_far():
    # Ten missed words are as bad as ten times the false stops, or the sentences, that may be.
    strict, right, loose = choice(0.9, 0), choice(0.97, 3), choice(1.0, 4)
    assert best_choice([strict, right, loose]) == right
    assert best_choice([right, choice(1.0, 0, false_share=0.02)]) == right
    # As bad at worst, but better in the rest.
    better = choice(0.99, 3)
    assert best_choice([right, better]) == better
    # Of equals the middle; of those the one that asks least.
    quiet, low = choice(0.99, 3, threshold=0.6), choice(0.99, 3, threshold=0.4)
    assert best_choice([better, quiet, low]) == better
    assert best_choice([low, choice(0.99, 3, threshold=0.6, suspicion=0.2)]).suspicion == 0.2


def test_a_pair_of_thresholds_is_judged_by_words_caught_and_stops_nobody_said():
    def stream(start_s, end_s, *seen):
        suspicion, agreement = np.zeros(100, np.float32), np.zeros(100)
        for piece, suspected, agreed in seen:
            suspicion[piece], agreement[piece : piece + 5] = suspected, agreed
        return Trace(suspicion, agreement, start_s, end_s)

    # Pieces last 32 ms: two after number 47 ends 0.1 s after the word, 10 before it began, 80 is
    # too late.
    said = [
        stream(1.0, 1.5, (47, 0.3, 0.8)),
        stream(1.0, 1.5, (47, 0.05, 0.9)),
        stream(1.0, 1.5, (47, 0.3, 0.4)),
        stream(1.0, 1.5, (10, 0.3, 0.8)),
        stream(1.0, 1.5, (80, 0.3, 0.8)),
    ]
    # Two within half a second are one.
    noise = [stream(0, 0, (5, 0.3, 0.9), (9, 0.3, 0.9), (60, 0.3, 0.7), (90, 0.02, 0.9))]
    ordinary = [stream(0, 0), stream(0, 0, (9, 0.3, 0.9)), stream(0, 0, (9, 0.3, 0.2))]
    alike = [stream(0, 0, (40, 0.9, 0.1)), stream(0, 0, (40, 0.9, 0.9))]
    streams = Streams(said, noise, ordinary, alike, minutes=5)
    found = judged(streams, 0.1, 0.21)
    assert (found.recall, found.false_per_10min) == (0.2, 4)
    assert found.false_share == pytest.approx(1 / 3)
    assert found.alike_share == 0.5
    # A suspicion is followed up for six pieces.
    assert found.asked_per_s == pytest.approx(16 / 3.2)
    assert judged(streams, 0.01, 0.12).recall == 0.6


def test_thresholds_are_either_given_or_chosen_and_need_babble(work, tmp_path):
    commands = str(work / "commands")
    arguments = [str(work / "recogniser"), str(work / "spotter"), str(tmp_path / "packed")]
    with pytest.raises(ConfigError, match="leave --threshold"):
        card([*arguments, "--choose", commands, "--threshold", "0.5"])
    with pytest.raises(ConfigError, match="the threshold is of spotter and recogniser"):
        card([*arguments, "--suspicion", "0.2"])
    with pytest.raises(ConfigError, match="0 minutes"):
        card([*arguments, "--choose", commands, "--minutes", "0"])


def test_what_thresholds_are_chosen_on_is_what_the_spotter_sees(packed):
    spotter, model = ears_networks(packed)
    sound = np.random.default_rng(0).standard_normal(20 * CHUNK).astype(np.float32) * 0.1
    suspicion, agreed = traced(spotter, model, sound, least=0.0)
    stream, confirmed = Spotter(spotter), ConfirmedSpotter(Spotter(spotter), model, 0.0, 0.5)
    sure = confidence(suspicion, agreed)
    assert sure.max() > 0
    for number, piece in enumerate(torch.from_numpy(sound).split(CHUNK)):
        assert stream.push(piece) == pytest.approx(suspicion[number], abs=1e-4)
        assert confirmed.push(piece) == pytest.approx(sure[number], rel=1e-3)


def test_a_stream_is_stopped_where_the_thresholds_chosen_would_have_it(packed):
    spotter, model = ears_networks(packed)
    sound = np.random.default_rng(1).standard_normal(60 * CHUNK).astype(np.float32) * 0.1
    suspicion, agreed = traced(spotter, model, sound, least=0.0)
    # Between what is seen, so that the recogniser is asked now and then.
    gate = float(np.quantile(suspicion, 0.9)) + 1e-4
    sure = Trace(suspicion, agreed)
    gated = np.where(asked(suspicion, gate), agreed, 0.0)
    threshold = 0.5 * float(confidence(suspicion, gated).max())
    stream = ConfirmedSpotter(Spotter(spotter), model, gate, threshold)
    pushed = [stream.push(each) >= threshold for each in torch.from_numpy(sound).split(CHUNK)]
    assert pushed == sure.reported(gate, threshold).tolist()
    assert 0 < asked(suspicion, gate).sum() < 60
    assert 0 < sum(pushed) < 60


def test_thresholds_need_stop_words_and_sentences_of_validation(work, packed, tmp_path):
    for kind in ("commands", "commands-words"):
        shutil.copytree(work / kind, tmp_path / kind)
    shutil.rmtree(tmp_path / "commands-words" / "validation")
    with pytest.raises(DatasetError, match="validation"):
        choose_thresholds(packed, tmp_path / "commands", minutes=1)


def test_the_mean_of_checkpoints_is_packed_and_said_in_the_card(work, report, tmp_path):
    last = work / "recogniser" / "recogniser" / "checkpoints" / "step-00000003"
    other = tmp_path / "step-00000007"
    shutil.copytree(last, other)
    tensors = load_file(last / "model.safetensors")
    save_file({name: 3 * each for name, each in tensors.items()}, other / "model.safetensors")
    write_manifest(other, "training")
    copy = tmp_path / "packed"
    arguments = [str(work / "recogniser"), str(work / "spotter"), str(copy)]
    assert card([*arguments, "--average", str(last), str(other)]) == 0
    made = load_ears(copy).recogniser.model.ctc_head.weight
    assert torch.allclose(made, 2 * tensors["model.ctc_head.weight"], rtol=1e-2, atol=1e-4)
    assert card([*arguments, "--evaluation", str(report)]) == 0
    assert "the mean of those at steps 3, 7." in (copy / "README.md").read_text()
    (other / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError):
        averaged_weights([last, other])


def test_altered_ears_are_refused(packed, tmp_path):
    copy = tmp_path / "ears"
    shutil.copytree(packed, copy)
    (copy / "spotter" / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_ears(copy)


def test_the_report_has_the_figures_of_the_issue(report):
    figures = json.loads((report / "metrics.json").read_text())
    for name in ("command_match_20db_espeak", "command_match_5db_espeak", "wer_clean_espeak",
                 "stop_recall", "stop_false_per_10min", "endpoint_ms_p95", "real_time_factor",
                 "noise_understood", "command_match_clean_recordings"):  # fmt: skip
        assert name in figures
    assert 0 <= figures["command_match_20db_espeak"] <= 1
    assert "Misunderstood" in (report / "index.html").read_text()


def test_the_card_is_written_from_the_files(work, packed, report, tmp_path):
    arguments = [str(work / name) for name in ("recogniser", "spotter", "packed")]
    rival = tmp_path / "rival"
    rival.mkdir()
    (rival / "metrics.json").write_text('{"command_match_20db": 0.125}')
    assert card([*arguments, "--evaluation", str(report), "--rival", str(rival)]) == 0
    text = (packed / "README.md").read_text()
    assert "stop_false_per_10min" in text
    assert "| PocketSphinx with the same grammar | – | 0.125 | – | – |" in text
    assert json.loads((work / "spotter" / "training.json").read_text())["command"] in text
    load_ears(packed)


def test_recordings_without_transcripts_are_refused_with_the_format(packed, tmp_path, work, capsys):
    words = ["evaluate", "model=ears", f"checkpoint={packed}", "sentences=2"]
    folders = [f"commands={work / 'test'}", f"out={tmp_path / 'run'}", f"recordings={tmp_path}"]
    assert main([*words, *folders]) == 1
    assert "transcripts.tsv" in capsys.readouterr().err


def test_no_voice_of_the_test_is_heard_in_training():
    heard = {(voice.engine, voice.name) for voice in COMMAND_VOICES["train"]}
    for split in ("validation", "test"):
        for voice in COMMAND_VOICES[split]:
            assert (voice.engine, voice.name) not in heard
            if voice.engine == "espeak-ng":
                accent, timbre = voice.name.split("+")
                assert not any(accent in name.split("+") for engine, name in heard)
                assert not any(timbre in name.split("+") for engine, name in heard)
    # Whose recordings voices of several engines were made of.
    people = {"kal16": "kal", "kal_diphone": "kal", "cmu_us_slt_arctic_hts": "slt", "alan": "awb"}
    trained = {people.get(name, name) for engine, name in heard if engine != "espeak-ng"}
    tested = {v.name for v in COMMAND_VOICES["test"] if people.get(v.name, v.name) in trained}
    assert tested == HEARD_SPEAKERS
    engines = {voice.engine for voice in COMMAND_VOICES["test"]} - {e for e, _ in heard}
    assert engines == {"flite", "piper"}
