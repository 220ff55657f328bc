"""The account of a training run says where the code came from, and where it did not."""

import subprocess

from worldmodel.training.record import _git_commit, environment_record


def test_an_environment_inside_another_checkout_has_no_commit(tmp_path):
    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    tracked, installed = tmp_path / "tracked.py", tmp_path / "site" / "installed.py"
    tracked.write_text("")
    installed.parent.mkdir()
    installed.write_text("")
    git("init")
    git("add", "tracked.py")
    git("commit", "-m", "first")
    assert len(_git_commit(tracked)) >= 12
    assert _git_commit(installed) is None


def test_a_folder_that_is_no_checkout_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "file.py").write_text("")
    assert _git_commit(tmp_path / "file.py") is None


def test_the_account_names_hardware_and_versions():
    account = environment_record()
    assert account["hardware"]["cores"] >= 1
    assert account["hardware"]["memory_gb"] > 0.5
    assert account["versions"]["torch"].startswith("2.")
