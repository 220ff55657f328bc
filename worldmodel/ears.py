"""The trained ears, by their shipped name or from a folder: recogniser and stop-word spotter.

Ears may be packed without a recogniser of their own; PocketSphinx with the world's grammar then
understands for them, and the spotter stays ours.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from multimodal.errors import CheckpointError, ConfigError
from multimodal.speech.confirmed import ConfirmedSpotter
from multimodal.speech.listener import StopSpotter
from multimodal.speech.model import SpeechModel
from multimodal.speech.own import OwnRecogniser
from multimodal.speech.recognisers import load_recogniser
from multimodal.speech.spotter import Spotter, SpotterModel
from multimodal.speech.transcript import Recogniser
from worldmodel.checkpoint import atomic_directory, resolve, verify, write_manifest

__all__ = ["Ears", "ears_networks", "load_ears", "pack_ears"]

_KIND = "ears"


@dataclass(frozen=True)
class Ears:
    """What hears.

    Attributes:
        recogniser: understands utterances.
        spotter: watches for the stop words; it asks the recogniser where it suspects one.
    """

    recogniser: Recogniser
    spotter: StopSpotter


def load_ears(name_or_dir: str | os.PathLike[str] = "ears") -> Ears:
    """Open ears in evaluation mode, in float32 whatever they are stored in.

    Args:
        name_or_dir: a shipped name, or a folder that `pack_ears` wrote.

    Returns:
        Recogniser and spotter on the CPU. One spotter is one stream.

    Raises:
        CheckpointError: missing, torn, altered, or not ears.
        MissingExtraError: the ears have no recogniser of their own and PocketSphinx is missing.
    """
    folder = resolve(name_or_dir)
    verify(folder, _KIND)
    network = _spotter_of(folder)
    spotter = Spotter(network)
    if not (folder / "recogniser").is_dir():
        return Ears(load_recogniser("sphinx"), spotter)
    model = _recogniser_of(folder)
    suspicion = network.config.suspicion
    if suspicion is None:
        return Ears(OwnRecogniser(model), spotter)
    confirmed = ConfirmedSpotter(spotter, model, suspicion, spotter.threshold)
    return Ears(OwnRecogniser(model), confirmed)


def ears_networks(folder: Path) -> tuple[SpotterModel, SpeechModel]:
    """The networks of packed ears, in evaluation mode and in float32.

    Args:
        folder: that `pack_ears` wrote, with a recogniser.

    Raises:
        CheckpointError: missing, torn, altered, not ears, or ears without a recogniser.
    """
    verify(folder, _KIND)
    if not (folder / "recogniser").is_dir():
        raise CheckpointError(f"{folder} has no recogniser of its own: pack it with one.")
    return _spotter_of(folder).eval(), _recogniser_of(folder).eval()


def _spotter_of(folder: Path) -> SpotterModel:
    network = SpotterModel.from_pretrained(
        folder / "spotter", torch_dtype=torch.float32, use_safetensors=True
    )
    assert isinstance(network, SpotterModel)
    return network


def _recogniser_of(folder: Path) -> SpeechModel:
    model: SpeechModel = SpeechModel.from_pretrained(
        folder / "recogniser",
        dtype=torch.float32,
        use_safetensors=True,
        attn_implementation="eager",
    )
    return model


def pack_ears(
    recogniser: Path | str | None,
    spotter: Path | str,
    folder: Path | str,
    threshold: float | None = None,
    suspicion: float | None = None,
    average: Sequence[Path] = (),
) -> Path:
    """Put trained models together as ears that `load_ears` opens, in half precision.

    Args:
        recogniser: the folder of the run of `worldmodel train objective=recogniser`; None leaves
            understanding to PocketSphinx.
        spotter: the folder of the run of `worldmodel train objective=spotter`.
        folder: where to write; replaced as a whole.
        threshold: of the spotter; None keeps the one it was trained with.
        suspicion: of the spotter, from which on the recogniser confirms; None for never.
        average: checkpoints whose mean is the recogniser, in place of its last weights.

    Returns:
        `folder`.

    Raises:
        CheckpointError: a stage is not done, or its model is torn or altered.
        ConfigError: a suspicion without a threshold, which then judges another thing.
        DiskFullError: the disk is full; what was in `folder` is intact.
    """
    if suspicion is not None and threshold is None:
        raise ConfigError(
            "With a suspicion the threshold is of spotter and recogniser together: name one, or "
            "let `python -m worldmodel.ears_card ... --choose COMMANDS` find both."
        )
    runs = {"spotter": Path(spotter)}
    if recogniser is not None:
        runs = {"recogniser": Path(recogniser), **runs}
    account: dict[str, Any] = {}
    for part, run in runs.items():
        verify(run / part / "model", part)
        if not (run / "training.json").is_file():
            raise CheckpointError(f"{run} lacks training.json: its training is not done.")
        account[part] = json.loads((run / "training.json").read_text(encoding="utf-8"))
    stop = SpotterModel.from_pretrained(runs["spotter"] / "spotter" / "model")
    assert isinstance(stop, SpotterModel)
    if threshold is not None:
        stop.register_to_config(threshold=threshold)
    stop.register_to_config(suspicion=suspicion)
    with atomic_directory(Path(folder)) as temporary:
        if recogniser is not None:
            speech = SpeechModel.from_pretrained(Path(recogniser) / "recogniser" / "model")
            if average:
                _become_mean(speech, average)
                account["recogniser"]["averaged"] = [str(each) for each in average]
            speech.half().save_pretrained(temporary / "recogniser")
        stop.half().save_pretrained(temporary / "spotter")
        (temporary / "training.json").write_text(json.dumps(account, indent=2) + "\n")
        write_manifest(temporary, _KIND)
    return Path(folder)


def _become_mean(model: SpeechModel, checkpoints: Sequence[Path]) -> None:
    # Who only listens needs nothing of the training.
    from worldmodel.objectives.recogniser import RecogniserObjective
    from worldmodel.training.average import averaged_weights
    from worldmodel.training.state import load_model

    load_model(RecogniserObjective(model), averaged_weights(checkpoints), checkpoints[0])
