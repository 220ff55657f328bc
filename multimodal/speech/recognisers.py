"""A recogniser by name: PocketSphinx, any model of the hub, or a folder with one."""

from __future__ import annotations

from pathlib import Path

from multimodal.speech.transcript import Recogniser

__all__ = ["load_recogniser"]


def load_recogniser(name_or_dir: str | Path) -> Recogniser:
    """Open a recogniser.

    The project's own, shipped one is opened by `worldmodel.ears.load_ears`, which verifies its
    checkpoint.

    Args:
        name_or_dir: `sphinx` for PocketSphinx with the world's grammar (an extra); otherwise the
            name of a Whisper, Moonshine or CTC model on the hub, or a folder with one.

    Returns:
        The recogniser.

    Raises:
        MissingExtraError: PocketSphinx is not installed.
        CheckpointError: the folder holds no recogniser, or the name cannot be fetched.
    """
    if str(name_or_dir) == "sphinx":
        from multimodal.speech.sphinx import SphinxRecogniser

        return SphinxRecogniser()
    from multimodal.speech.hub import HubRecogniser

    return HubRecogniser(name_or_dir)
