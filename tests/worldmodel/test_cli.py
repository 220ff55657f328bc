import os
import signal
import subprocess
import sys
import time
import types

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from multimodal.errors import ConfigError, DatasetError
from worldmodel import __version__, cli
from worldmodel.cli import VERBS, composed, main
from worldmodel.configuration import documented_keys, group_options, verb_groups

ALL_GROUPS = {"size", "recipe", "world", "wandb", "planner"}


@pytest.fixture
def verb(monkeypatch):
    """Add a verb whose body the test gives, to drive the command line around it."""

    def add(body):
        module = types.ModuleType("verb_of_a_test")
        module.run = body
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(VERBS, "doctor", cli.Verb(module.__name__, "a test", models=False))

    return add


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_composes_with_its_defaults(name):
    cfg = composed(name)
    assert isinstance(cfg, DictConfig)
    assert cfg.compute == "auto"
    assert cfg.out is None


@pytest.mark.parametrize("name", VERBS)
def test_the_help_of_a_verb_lists_each_of_its_keys(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert VERBS[name].summary[1:] in shown, "proper names keep their capitals"
    for key in composed(name):
        assert str(key) in shown


@pytest.mark.parametrize(
    "name",
    [*VERBS, "every_verb", *(f"{g}/{o}" for g in sorted(ALL_GROUPS) for o in group_options(g))],
)
def test_every_key_of_every_configuration_has_a_comment(name):
    assert [key.name for key in documented_keys(name) if not key.comment] == []


def test_the_groups_have_the_promised_options():
    assert group_options("size") == ["base", "small", "tiny"]
    worlds = {"push", "reading", "reacher", "pusher", "half_cheetah", "inverted_double_pendulum"}
    assert worlds <= set(group_options("world"))


@pytest.mark.parametrize("group", sorted(ALL_GROUPS))
def test_every_option_of_a_group_has_the_same_keys(group):
    keys = {
        option: [key.name for key in documented_keys(f"{group}/{option}")]
        for option in group_options(group)
    }
    if group == "world":
        keys = {option: [k for k in names if "options" not in k] for option, names in keys.items()}
    assert len({tuple(names) for names in keys.values()}) == 1


@pytest.mark.parametrize("recipe", group_options("recipe"))
def test_every_recipe_is_one_the_trainer_accepts(recipe):
    from worldmodel.recipe import Recipe

    values = OmegaConf.to_container(composed("train", [f"recipe={recipe}"]).recipe)
    assert Recipe(**values).name == recipe
    assert set(values) == set(Recipe.model_fields)


@pytest.mark.parametrize("size", group_options("size"))
def test_every_size_is_one_the_models_accept(size):
    from multimodal.tokenizer import VideoTokenizer
    from worldmodel.dynamics import Dynamics

    cfg = composed("train", [f"size={size}"]).size
    assert cfg.name == size
    with torch.device("meta"):
        channels = cfg.tokenizer.latent_channels
        assert VideoTokenizer(**cfg.tokenizer).config.latent_channels == channels
        assert Dynamics(2, channels=channels, **cfg.dynamics).config.width == cfg.dynamics.width


def test_the_groups_of_a_verb_are_read_from_its_file():
    assert verb_groups("train") == {"size": "small", "recipe": "mended", "wandb": "offline"}


def test_the_help_names_every_verb(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in VERBS)


def test_no_verb_prints_the_help_and_fails(capsys):
    assert main([]) == 2
    assert "Usage: worldmodel VERB" in capsys.readouterr().out


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"worldmodel {__version__}"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian"], "did you mean 'train'"),
        (["agent", "repaly", "trace=x"], "did you mean 'replay'"),
        (["train", "objektive=world"], "did you mean 'objective'"),
        (["train", "size=tinny"], "did you mean 'tiny'"),
        (["train", "sise=tiny"], "did you mean 'size'"),
        (["train", "size.dynamics.layer=3"], "did you mean 'size.dynamics.layers'"),
        (["record", "world=pushr"], "did you mean 'push"),
        (["gap", "horizon=[1]"], "did you mean 'horizons'"),
        (["record", "episodes=many"], "a whole number was expected"),
        (["record", "episodes=1.5"], "a whole number was expected"),
        (["bench", "batches=4"], "a list was expected"),
        (["bench", "seconds=long"], "a number was expected"),
        (["train", "horizon"], "written key=value"),
        (["train", "--verbose"], "settings are written key=value"),
        (["bench", "compute=abacus"], "expected auto, cpu"),
    ],
)
def test_a_mistake_in_the_command_is_one_clean_message_and_exit_code_2(words, expected, capsys):
    assert main(words) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert expected in shown
    assert "Traceback" not in shown
    assert shown.count("\n") == 1


def test_overrides_reach_the_configuration():
    cfg = composed("train", ["size=tiny", "size.dynamics.layers=2", "resume=never", "seed=7"])
    assert (cfg.size.name, cfg.size.dynamics.layers, cfg.resume, cfg.seed) == (
        "tiny",
        2,
        "never",
        7,
    )


def test_a_whole_number_does_where_any_number_does():
    assert composed("bench", ["seconds=2"]).seconds == 2


def test_a_path_with_equal_sign_spaces_and_digits_is_taken_as_it_is():
    assert composed("gap", ['out="runs/a b=1"']).out == "runs/a b=1"
    assert composed("gap", ["checkpoint=2024"]).checkpoint == 2024


def test_a_key_can_be_added_with_a_plus_as_in_hydra():
    assert composed("record", ["+world.options.max_steps=50"]).world.options.max_steps == 50


def test_composing_twice_in_one_process_gives_the_same():
    assert composed("train", ["size=tiny"]) == composed("train", ["size=tiny"])


def test_an_error_the_project_explains_is_a_message_and_exit_code_1(verb, capsys, monkeypatch):
    def body(cfg):
        raise DatasetError("data/push has no episodes: run `worldmodel record`")

    monkeypatch.delenv("WORLDMODEL_DEBUG", raising=False)
    verb(body)
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().err
    assert shown == "error: data/push has no episodes: run `worldmodel record`\n"


def test_debugging_shows_the_traceback_of_an_explained_error(verb, monkeypatch):
    def body(cfg):
        raise ConfigError("wrong")

    monkeypatch.setenv("WORLDMODEL_DEBUG", "1")
    verb(body)
    with pytest.raises(ConfigError):
        main(["doctor"])


def test_an_error_nobody_expected_keeps_its_traceback(verb):
    def body(cfg):
        raise ZeroDivisionError

    verb(body)
    with pytest.raises(ZeroDivisionError):
        main(["doctor"])


def test_a_verb_s_own_exit_code_is_passed_on(verb):
    verb(lambda cfg: 3)
    assert main(["doctor"]) == 3


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_verb_cleans_up_when_it_is_interrupted(verb, number, code):
    # A shell starts what it puts into the background with SIGINT ignored, these tests too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    cleaned = []

    def body(cfg):
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        except KeyboardInterrupt:
            cleaned.append(number)
            raise
        return 0

    verb(body)
    try:
        assert main(["doctor"]) == code
    finally:
        signal.signal(signal.SIGINT, before)
    assert cleaned == [number]


def test_the_handler_of_sigterm_is_put_back(verb):
    before = signal.getsignal(signal.SIGTERM)
    verb(lambda cfg: 0)
    main(["doctor"])
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_forked_child_dies_of_sigterm_without_running_the_verb_s_clean_up(verb):
    codes = []

    def body(cfg):
        ready, tell = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(tell, b"!")
                time.sleep(5)
            finally:
                os._exit(9)
        os.read(ready, 1)
        os.kill(child, signal.SIGTERM)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        return 0

    verb(body)
    assert main(["doctor"]) == 0
    assert codes == [-signal.SIGTERM]


def test_the_choice_of_compute_holds_for_the_verb_and_its_workers_and_no_longer(
    monkeypatch, capsys
):
    from worldmodel.device import choose_compute

    seen = []

    def body(cfg):
        ask = "from worldmodel.device import choose_compute; print(choose_compute().dtype)"
        worker = subprocess.run(
            [sys.executable, "-c", ask], capture_output=True, text=True, check=True
        )
        seen.extend([str(choose_compute().dtype), worker.stdout.strip()])
        return 0

    monkeypatch.delenv("WORLDMODEL_COMPUTE", raising=False)
    module = types.ModuleType("verb_of_a_test")
    module.run = body
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(VERBS, "bench", cli.Verb(module.__name__, "a test"))
    assert main(["bench", "compute=cpu/bfloat16"]) == 0
    assert seen == ["torch.bfloat16", "torch.bfloat16"]
    assert "cpu in bfloat16" in capsys.readouterr().out
    assert main(["bench", "compute=abacus"]) == 2
    assert "WORLDMODEL_COMPUTE" not in os.environ


def test_help_answers_without_importing_torch_or_mujoco():
    program = (
        "import sys; from worldmodel.cli import main; main(['train', '--help']);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'mujoco', 'gymnasium')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_python_dash_m_is_the_same_command():
    done = subprocess.run(
        [sys.executable, "-m", "worldmodel", "--version"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, f"worldmodel {__version__}")
