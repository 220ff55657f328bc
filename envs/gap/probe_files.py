"""Where a state probe lies on disk: in the folder `probe` of a checkpoint, under its manifest."""

from __future__ import annotations

from pathlib import Path

from envs.gap.probe import StateProbe
from multimodal.errors import CheckpointError
from worldmodel.checkpoint import MANIFEST, resolve, verify, write_manifest

__all__ = ["PROBE_FOLDER", "add_probe", "load_probe"]

PROBE_FOLDER = "probe"
_OWN_KEYS = frozenset({"format", "kind", "files"})


def add_probe(probe: StateProbe, checkpoint: Path | str) -> None:
    """Write a probe into a pipeline's folder and renew the manifest.

    Args:
        probe: config and safetensors go to `checkpoint/probe`.
        checkpoint: folder written by `WorldModelPipeline.save_pretrained`.

    Raises:
        CheckpointError: the folder is not a whole checkpoint.
        DiskFullError: the disk is full.
    """
    folder = Path(checkpoint)
    manifest = verify(folder)
    probe.save_pretrained(folder / PROBE_FOLDER)
    extra = {key: value for key, value in manifest.items() if key not in _OWN_KEYS}
    write_manifest(folder, str(manifest["kind"]), extra)


def load_probe(checkpoint: Path | str, probe: str = "checkpoint") -> StateProbe:
    """Load the probe that reads positions off frames.

    Args:
        checkpoint: name or folder of the model; a probe beside it lies in its folder `probe`.
        probe: "checkpoint" for that one, or a folder with another.

    Raises:
        CheckpointError: there is none, or it is altered or cannot be loaded.
    """
    folder = resolve(checkpoint) / PROBE_FOLDER if probe == "checkpoint" else Path(probe)
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"There is no state probe in {folder}. Train one with `worldmodel train "
            "objective=probe` and name its folder with probe=DIR, or measure pixels only with "
            "probe=none."
        )
    if (folder / MANIFEST).is_file():
        # One beside a model has none of its own: the model's names its files.
        verify(folder)
    try:
        loaded = StateProbe.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"The state probe in {folder} could not be loaded: {error}. Train it again with "
            "`worldmodel train objective=probe`."
        ) from error
    assert isinstance(loaded, StateProbe)
    return loaded.eval()
