"""A checkpoint is whole and unchanged, or it is refused with the name of the file that is wrong."""

import errno
import json
import resource
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from multimodal.errors import CheckpointError, DiskFullError
from worldmodel import checkpoint
from worldmodel.checkpoint import (
    atomic_directory,
    newest_complete,
    resolve,
    shipped,
    verify,
    write_manifest,
)
from worldmodel.durable import remove_leftovers


def make(folder: Path, kind: str = "toy") -> Path:
    (folder / "part").mkdir(parents=True)
    save_file({"weight": torch.arange(64.0)}, folder / "part" / "model.safetensors")
    (folder / "config.json").write_text("{}")
    write_manifest(folder, kind, {"step": 3})
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make(tmp_path / "whole")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_what_was_written_is_accepted_with_its_extra_values(folder: Path) -> None:
    manifest = verify(folder, "toy")
    assert manifest["step"] == 3
    assert set(manifest["files"]) == {"config.json", "part/model.safetensors"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f.joinpath("part/model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda f: flip(f / "part/model.safetensors"), "model.safetensors was altered"),
        (lambda f: f.joinpath("config.json").write_text("{"), "config.json is truncated"),
        (lambda f: f.joinpath("config.json").write_text("{ }"), "config.json is too long"),
        (lambda f: f.joinpath("more.json").write_text("{}"), "more.json is not named"),
        (lambda f: f.joinpath("optimizer.pt").touch(), "can run code when it is loaded"),
        (lambda f: f.joinpath("part/x.PKL").touch(), "can run code when it is loaded"),
        (lambda f: f.joinpath("manifest.json").unlink(), "manifest.json is missing"),
        (lambda f: f.joinpath("manifest.json").write_text("{"), "manifest.json is not JSON"),
        (lambda f: f.joinpath("manifest.json").write_text("[]"), "manifest of format 1"),
        (lambda f: f.joinpath("manifest.json").write_bytes(b"\xff"), "manifest.json is not JSON"),
    ],
)
def test_damage_is_refused_with_the_name_of_the_file(folder: Path, damage, message: str) -> None:
    damage(folder)
    with pytest.raises(CheckpointError, match=message):
        verify(folder)


@pytest.mark.parametrize("name", ["../outside.json", "/etc/hostname"])
def test_a_manifest_that_points_outside_its_folder_is_refused(folder: Path, name: str) -> None:
    (folder.parent / "outside.json").write_text("{}")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": "0" * 64, "bytes": 2}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="list of files"):
        verify(folder)


def test_another_kind_is_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="kind 'toy', 'training' was expected"):
        verify(folder, "training")


def test_no_manifest_is_written_over_a_pickle(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").touch()
    with pytest.raises(CheckpointError, match=r"weights\.bin"):
        write_manifest(tmp_path, "toy")


def test_the_newest_whole_checkpoint_is_found_by_its_number(tmp_path: Path, caplog) -> None:
    for step in (9, 10, 11, 12):
        make(tmp_path / f"step-{step}")
    flip(tmp_path / "step-12" / "part" / "model.safetensors")
    (tmp_path / "step-11" / "manifest.json").unlink()
    assert newest_complete(tmp_path) == tmp_path / "step-10"
    assert "step-12" in caplog.text
    assert "step-11" in caplog.text


def test_there_is_no_newest_checkpoint_where_there_is_none(tmp_path: Path) -> None:
    assert newest_complete(tmp_path / "missing") is None
    assert newest_complete(tmp_path) is None


def test_an_atomic_directory_replaces_the_old_one_as_a_whole(folder: Path) -> None:
    with atomic_directory(folder) as temporary:
        (temporary / "new.json").write_text("{}")
        assert (folder / "config.json").exists()
    assert [path.name for path in folder.iterdir()] == ["new.json"]
    assert [path.name for path in folder.parent.iterdir()] == ["whole"]


def test_an_error_while_writing_leaves_the_old_directory(folder: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_directory(folder) as temporary:
        (temporary / "new.json").write_bytes((folder / "missing.json").read_bytes())
    verify(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["whole"]


def test_no_space_left_is_a_disk_full_error_and_leaves_the_old_directory(folder: Path) -> None:
    with pytest.raises(DiskFullError, match="whole"), atomic_directory(folder):
        raise OSError(errno.ENOSPC, "No space left on device")
    verify(folder)


def _write_past_the_limit(target: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, resource.RLIM_INFINITY))
    try:
        with atomic_directory(target) as temporary:
            save_file({"weight": torch.zeros(4_000)}, temporary / "model.safetensors")
    except DiskFullError:
        raise SystemExit(28) from None


def test_safetensors_that_do_not_fit_are_a_disk_full_error(folder: Path) -> None:
    process = get_context("fork").Process(target=_write_past_the_limit, args=(folder,))
    process.start()
    process.join()
    assert process.exitcode == 28
    verify(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["whole"]


def test_what_killed_processes_left_is_removed_and_what_runs_is_not(tmp_path: Path) -> None:
    process = get_context("fork").Process(target=lambda: None)
    process.start()
    process.join()
    dead, alive = tmp_path / f".a.{process.pid}.partial", tmp_path / ".a.1.doomed"
    dead.mkdir()
    alive.mkdir()
    remove_leftovers(tmp_path)
    assert not dead.exists()
    assert alive.exists()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package folder with two shipped checkpoints."""
    monkeypatch.setattr(checkpoint, "_SHIPPED", tmp_path / "shelf")
    make(tmp_path / "shelf" / "push")
    make(tmp_path / "shelf" / "reach")
    return tmp_path / "shelf"


def test_a_shipped_checkpoint_is_found_by_name_before_a_folder_of_that_name(
    shelf: Path, tmp_path: Path
) -> None:
    (tmp_path / "push").mkdir()
    assert resolve("push") == shipped("push") == shelf / "push"
    assert resolve("./push") == Path("push")


def test_an_unknown_name_lists_the_shipped_ones_and_the_nearest(shelf: Path) -> None:
    with pytest.raises(CheckpointError, match=r"push, reach.*Did you mean 'push'"):
        resolve("psuh")


def test_a_missing_folder_is_named(shelf: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint folder runs/nothing"):
        resolve("runs/nothing")


def test_a_config_forgets_where_it_was_loaded_from(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    config = tmp_path / "part" / "config.json"
    config.write_text('{"width": 3, "_name_or_path": "/somebody/home"}', encoding="utf-8")
    write_manifest(tmp_path, "pipeline")
    assert json.loads(config.read_text(encoding="utf-8")) == {"width": 3}
    assert verify(tmp_path)["kind"] == "pipeline"
