"""The README of a recorded dataset, from figures the recording measured."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from multimodal.store import EpisodeStore

__all__ = ["dataset_card"]


def dataset_card(store: EpisodeStore, figures: Mapping[str, float], command: str) -> str:
    """Describe a dataset in Markdown with a YAML head, as dataset hubs read it.

    Args:
        store: the recorded dataset.
        figures: what `metrics.json` says.
        command: how to record the same again.
    """
    metadata = store.metadata
    signature = metadata["signature"]
    height, width, _ = signature["frame_shape"]
    splits = Counter(record.split for record in store.records)
    rows = [f"| {name} | {value:.6g} |" for name, value in figures.items()]
    rows += [f"| episodes in {name} | {count} |" for name, count in splits.items()]
    state = [
        f"| `{name}` | {np.dtype(dtype)} | (T+1{''.join(f', {size}' for size in shape)}) |"
        for name, (dtype, shape) in signature["state"].items()
    ]
    return "\n".join(
        [
            "---",
            "license: mit",
            "tags: [minari, world-model, robotics, video]",
            "---",
            f"# {store.name}",
            "",
            metadata["description"],
            "",
            f"Frames are RGB, {height}x{width} px, uncompressed; actions have "
            f"{signature['action_dim']} numbers; the goal vector has {signature['goal_dim']}.",
            "",
            "| figure | value |",
            "|---|---|",
            *rows,
            "",
            "Recorded with",
            "",
            f"    {command}",
            "",
            "Read it with `minari.MinariDataset('data')` from this folder, or with",
            "`multimodal.store.EpisodeStore.open(root, name)`. The split of an episode",
            "follows from its seed (`envs.recording.split_of`).",
            "",
            "| state per frame | dtype | shape |",
            "|---|---|---|",
            *state,
            "",
        ]
    )
