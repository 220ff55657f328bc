"""`worldmodel record`: episodes of a MuJoCo world, recorded by several processes into a dataset.

Every episode follows from its seed. So it does not matter which process records it, how many there
are, or how often the recording was interrupted.
"""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import mujoco
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from envs.dataset_card import dataset_card
from envs.episode_recorder import Recording, record_episode
from envs.workforce import PendingSignal, deferred_signals, work_through
from multimodal.atomic import atomic_write_bytes
from multimodal.errors import ConfigError, DatasetError
from multimodal.splits import seeds_of, split_of
from multimodal.staging import StagedEpisodes
from multimodal.store import EpisodeStore, StoreSettings
from worldmodel.runs import RunDirectory
from worldmodel.typed_command import typed_command

__all__ = ["record_episode", "run", "seeds_of", "split_of"]

_ARGUMENTS_FILE = "recording.json"


def run(cfg: DictConfig) -> int:
    """Record a dataset, or go on with one that was interrupted or shall grow.

    Args:
        cfg: the composed configuration of the verb `record`.

    Returns:
        The exit code 0.

    Raises:
        ConfigError: a value out of range, or `resume=never` on a folder that has episodes.
        DatasetError: the folder holds a recording made with other arguments.
        DiskFullError: the disk is full; finished episodes are kept.
        KeyboardInterrupt: Ctrl-C; the episodes under way were finished and kept.
    """
    for key, least in (("episodes", 1), ("steps", 1), ("workers", 0), ("seed", 0)):
        if cfg[key] < least:
            raise ConfigError(f"{key}={cfg[key]} is out of range; expected {least} or more.")
    path = Path(cfg.out) if cfg.out else Path("data") / cfg.dataset
    recording = Recording.of(cfg)
    with deferred_signals() as pending:
        store = EpisodeStore.open_or_create(path.parent, path.name, _settings(recording))
        with store.lock():
            _refuse_another(cfg, recording, store)
            directory = RunDirectory(path)
            directory.write_config(cfg)
            directory.write_json(_ARGUMENTS_FILE, asdict(recording))
            _record_missing(cfg, recording, store, pending)
            store.commit()
            if len(store):
                _report(store, directory, cfg)
    return 0


def _settings(recording: Recording) -> StoreSettings:
    """What the dataset says about itself; the action space is the world's own."""
    return StoreSettings(
        action_space=recording.make_world().action_space,
        env_spec=recording.env_spec(),
        description=f"Episodes of {recording.world}, seen from a fixed camera, with privileged "
        "state, goals in words and captions. Behaviour mixes goal-directed motion, contact "
        "seeking and smooth random motion where the world has objects, else it is smooth random.",
        metadata={"recording": asdict(recording), "mujoco_version": mujoco.__version__},
    )


def _refuse_another(cfg: DictConfig, recording: Recording, store: EpisodeStore) -> None:
    """A folder holds one recording: episodes of other arguments would spoil it silently."""
    if not len(store) and not store.staging.indices():
        return
    if cfg.resume == "never":
        raise ConfigError(
            f"{store.path} already has episodes and resume=never; use resume=auto to go on with "
            "them, or choose another folder with out=DIR."
        )
    arguments = store.path / _ARGUMENTS_FILE
    known = json.loads(arguments.read_text()) if arguments.exists() else {}
    changed = [
        f"{key} is {value!r}, was {known.get(key)!r}"
        for key, value in asdict(recording).items()
        if known.get(key) != value
    ]
    if changed:
        raise DatasetError(
            f"{store.path} was recorded with other arguments ({'; '.join(changed)}); repeat those "
            "to go on with it, or choose another folder with out=DIR."
        )


@dataclass(frozen=True)
class _Task:
    """Records and stages the episode of an index; sent to every recording process."""

    recording: Recording
    staging: StagedEpisodes

    def __call__(self, index: int) -> int:
        episode = self.recording.record(index)
        self.staging.put(index, episode)
        return len(episode.frames)


def _record_missing(
    cfg: DictConfig, recording: Recording, store: EpisodeStore, pending: PendingSignal
) -> None:
    """Record and stage every episode that is not there yet, and say how it goes."""
    kept = set(range(len(store))) | set(store.staging.indices())
    missing = [index for index in range(cfg.episodes) if index not in kept]
    started, frames = time.perf_counter(), 0
    with _progress() as progress:
        done = cfg.episodes - len(missing)
        bar = progress.add_task(str(store.path), total=cfg.episodes, completed=done, rate="")

        def count(recorded_frames: int) -> None:
            nonlocal frames
            frames += recorded_frames
            rate = frames / (time.perf_counter() - started)
            progress.update(bar, advance=1, rate=f"{rate:,.0f} frames/s")

        try:
            work_through(
                _Task(recording, store.staging),
                missing,
                workers=cfg.workers or len(os.sched_getaffinity(0)),
                pending=pending,
                on_result=count,
            )
        finally:
            if frames:
                seconds = time.perf_counter() - started
                RunDirectory(store.path).log({"frames": frames, "seconds": seconds})


def _report(store: EpisodeStore, directory: RunDirectory, cfg: DictConfig) -> None:
    """Write metrics.json and the dataset card, and print the figures."""
    frames = sum(record.steps + 1 for record in store.records)
    contacts = sum(int(contact.sum()) for contact in store.read_state("contact"))
    figures = {
        "episodes": float(len(store)),
        "frames": float(frames),
        "contact_share": contacts / frames,
    }
    sessions = directory.history()
    if sessions:
        recorded = sum(session["frames"] for session in sessions)
        figures["frames_per_s"] = recorded / sum(session["seconds"] for session in sessions)
    directory.write_metrics(figures)
    card = dataset_card(store, figures, _command(cfg, len(store)))
    atomic_write_bytes(store.path / "README.md", card.encode())
    Console().print(", ".join(f"{name} {value:,.6g}" for name, value in figures.items()))


def _command(cfg: DictConfig, episodes: int) -> str:
    """The command line that records the same again."""
    grown = OmegaConf.merge(cfg, {"episodes": episodes, "resume": "auto", "workers": 0})
    assert isinstance(grown, DictConfig)
    return typed_command("record", grown, always=("episodes", "steps", "seed"))


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("episodes  {task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
