"""The reader's speed is that of serving batches, and is held against the fastest training."""

import time

import pytest
import torch
from torch.utils.data import Dataset

from tests.worldmodel import toy_training as toy
from worldmodel.runs import RunDirectory
from worldmodel.training.reading import reading_figures


class Slow(Dataset):
    """Serves a sample every two milliseconds."""

    def __len__(self):
        return 1000

    def __getitem__(self, index):
        time.sleep(0.002)
        return {"x": torch.zeros(2)}


def test_a_reader_serves_as_many_samples_a_second_as_it_can(tmp_path):
    settings = toy.settings(steps=10, batch_size=8)
    figures = reading_figures(Slow(), settings, RunDirectory(tmp_path))
    assert 20 < figures["clips_per_s"] < 500
    assert "clips_over_training" not in figures


def test_the_fastest_stretch_of_the_training_counts_and_every_process_reads(tmp_path):
    run = RunDirectory(tmp_path)
    for step, speed in ((1, 10.0), (2, 50.0), (3, 20.0)):
        run.log({"step": step, "samples_per_s": speed})
    run.log({"step": 4, "validation_loss": 1.0})
    figures = reading_figures(Slow(), toy.settings(steps=10), run, processes=2)
    assert figures["clips_over_training"] == pytest.approx(figures["clips_per_s"] * 2 / 50)
