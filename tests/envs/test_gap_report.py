"""The report: figures first, then a page that needs nothing else, and videos that decode."""

import json
import re

import av
import numpy as np
import pytest

from envs.gap.assemble import assemble
from envs.gap.measure import Plan, measure
from envs.gap.probe import StateProbe
from envs.gap.probe_files import add_probe
from envs.gap.report import telling_episodes, write_report
from envs.gap.schema import EpisodeScore, GapReport, Setup
from envs.gap.truth import open_endless
from envs.gap.video import side_by_side_frames
from multimodal.errors import CheckpointError, ConfigError
from worldmodel.cli import main
from worldmodel.runs import RunDirectory

PLAN = Plan(episodes=3, horizons=(1, 4, 8), baseline_horizon=4)


def _setup(world):
    return Setup(
        checkpoint="tiny <b>",
        world="worldmodel/Push-v0",
        episodes=PLAN.episodes,
        horizon=PLAN.steps,
        baseline_horizon=PLAN.baseline_steps,
        horizons=list(PLAN.horizons),
        context=1,
        twin_perturbation=1e-4,
        control_dt_s=world.control_dt_s,
        seed=0,
        resamples=50,
        command="worldmodel gap",
        created="2026-01-01T00:00:00+00:00",
        versions={},
    )


@pytest.fixture(scope="module")
def measured(tiny_pipeline):
    world = open_endless("worldmodel/Push-v0", 64, {})
    done = {}
    found = measure(
        tiny_pipeline,
        world,
        StateProbe(width=8).eval(),
        PLAN,
        lambda kind, count: done.update({kind: done.get(kind, 0) + count}),
    )
    report = assemble(found, _setup(world))
    world.close()
    return found, report, done


@pytest.fixture(scope="module")
def written(measured, tmp_path_factory):
    found, report, _ = measured
    return write_report(report, found.videos, RunDirectory(tmp_path_factory.mktemp("gap")), 2)


@pytest.fixture
def checkpoint(tmp_path, tiny_pipeline):
    tiny_pipeline.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_every_source_is_measured_at_every_horizon_it_reaches(measured):
    _, report, _ = measured
    assert set(report.scores) == {
        "learned",
        "twins",
        "twins_exact",
        "frozen",
        "shuffled",
        "random",
        "still",
    }
    for h in PLAN.horizons:
        assert f"psnr_{h}" in report.scores["twins"]
        assert f"pusher_error_m_{h}" in report.scores["learned"]
    assert "psnr_4" in report.scores["shuffled"]
    assert "psnr_8" not in report.scores["shuffled"]
    assert "delta_psnr_4" in report.scores["learned"]


def test_the_flat_metrics_are_the_report_s_figures(measured):
    _, report, _ = measured
    flat = report.metrics()
    assert flat["psnr_4"] == report.scores["learned"]["psnr_4"].value
    assert flat["twins_psnr_4"] == report.scores["twins"]["psnr_4"].value
    assert flat["probe_error_m"] == report.probe.object_error_m
    assert all(np.isfinite(value) for value in flat.values())


def test_progress_adds_up_to_the_work_announced(measured):
    from envs.gap.measure import work_of

    assert measured[2] == work_of(PLAN)


def test_the_json_reads_back_as_the_same_report(measured, written):
    assert GapReport.model_validate_json(written.data.read_text()) == measured[1]


def test_the_page_needs_nothing_but_itself(written):
    page = written.page.read_text()
    sources = re.findall(r'(?:src|srcset|href|poster)="([^"]*)"', page)
    assert len(sources) > 8
    assert all(source.startswith("data:") for source in sources)
    assert "http://" not in page
    assert "https://" not in page


def test_names_are_escaped_in_the_page(written):
    page = written.page.read_text()
    assert "tiny &lt;b&gt;" in page
    assert "tiny <b>" not in page


def test_the_videos_hold_every_step(written):
    assert len(written.videos) == 2
    for path in written.videos:
        with av.open(str(path)) as container:
            assert sum(1 for _ in container.decode(video=0)) == PLAN.steps + 1


def test_a_long_video_is_thinned_out_and_says_how_fast_it_runs(measured, tmp_path, monkeypatch):
    monkeypatch.setattr("envs.gap.report._MOST_FRAMES", 4)
    found, report, _ = measured
    written = write_report(report, found.videos, RunDirectory(tmp_path), 1)
    with av.open(str(written.videos[0])) as container:
        assert sum(1 for _ in container.decode(video=0)) == 3
    # 30 frames a second, every third step of 0.1 s.
    assert "9× real time" in written.page.read_text()


def test_the_permanence_of_all_lies_between_those_of_the_episodes(measured):
    _, report, _ = measured
    shares = [row.permanence for row in report.per_episode]
    assert min(shares) <= report.scores["learned"]["permanence_8"].value <= max(shares)
    assert len(set(shares)) > 1


def test_a_learned_rollout_is_shown_from_the_frame_that_was_given(measured):
    videos = measured[0].videos
    shown = videos.learned(1)
    assert shown.shape == videos.truth[1].shape
    np.testing.assert_array_equal(shown[0], videos.truth[1, 0])
    np.testing.assert_array_equal(shown[1:], videos.made[1])


def test_the_difference_panel_is_black_where_nothing_differs():
    frame = np.full((1, 64, 64, 3), 200, np.uint8)
    drawn = next(side_by_side_frames(frame, frame, 0.1, (0,)))
    panel = drawn[34:290, -264:-8]
    assert panel.shape == (256, 256, 3)
    assert (panel == 0).all()


def test_best_and_worst_episodes_are_shown():
    rows = [
        EpisodeScore(
            seed=seed, psnr_db=psnr, position_error_m=None, permanence=None, divergence_step=None
        )
        for seed, psnr in ((1, 23.0), (2, 29.0), (3, 25.0), (4, 20.0))
    ]
    chosen = telling_episodes(rows, 3)
    assert chosen[0] == ("best", rows[1])
    assert chosen[-1] == ("worst", rows[3])
    assert len(chosen) == 3


def test_the_gap_of_an_adapted_world_is_measured_in_pixels(checkpoint, tmp_path):
    command = f"gap checkpoint={checkpoint} world=reacher episodes=2 horizons=[1,3] videos=1"
    assert main([*command.split(), "baseline_horizon=2", f"out={tmp_path / 'run'}"]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert "psnr_3" in metrics
    assert "pusher_error_m_3" not in metrics


def test_a_push_model_without_a_probe_is_refused_unless_pixels_are_enough(
    checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setenv("WORLDMODEL_DEBUG", "1")
    command = f"gap checkpoint={checkpoint} episodes=2 horizons=[1] videos=1".split()
    with pytest.raises(CheckpointError, match="probe=none"):
        main([*command, f"out={tmp_path / 'a'}"])
    assert main([*command, "probe=none", f"out={tmp_path / 'b'}"]) == 0


def test_one_episode_is_too_few():
    with pytest.raises(ConfigError, match="at least two"):
        Plan(episodes=1)


def test_the_gap_verb_writes_figures_page_and_video(checkpoint, tmp_path):
    add_probe(StateProbe(width=8).eval(), checkpoint)
    command = f"gap checkpoint={checkpoint} episodes=2 horizons=[1,2] videos=1"
    assert main([*command.split(), f"out={tmp_path / 'run'}"]) == 0
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"config.yaml", "gap.json", "metrics.json", "report.html", "contact_sheet.png"} <= names
