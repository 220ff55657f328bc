"""The command line: `worldmodel VERB [key=value ...]`."""

import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import NamedTuple, cast

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table
from rich.text import Text

from multimodal.errors import ConfigError, WorldModelError
from worldmodel import __version__
from worldmodel.configuration import (
    composed,
    documented_keys,
    group_options,
    nearest,
    verb_groups,
)

__all__ = ["VERBS", "Terminated", "Verb", "composed", "main"]

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_TERMINATED = 128 + signal.SIGTERM


class Verb(NamedTuple):
    """A command: the module whose `run(cfg) -> int` does it, and one line for the help.

    `models` says whether it runs a network, and therefore needs a device and dtype chosen. `modes`
    are words that may follow it: `worldmodel agent evaluate` is `agent mode=evaluate`. Modules
    are named by path and imported when asked for, so that `--help` answers at once and this file
    depends on none of them.
    """

    module: str
    summary: str
    models: bool = True
    modes: tuple[str, ...] = ()


VERBS: dict[str, Verb] = {
    "demo": Verb("envs.demo", "roll the shipped model out against MuJoCo and write a report"),
    "record": Verb("envs.recording", "record episodes of a MuJoCo world", models=False),
    "train": Verb("worldmodel.training.run", "train tokeniser, dynamics and probe"),
    "evaluate": Verb("worldmodel.evaluation.run", "measure a model on what it never saw"),
    "gap": Verb("envs.gap.run", "measure a model against MuJoCo, from the same states"),
    "agent": Verb(
        "agents.run",
        "say it, see it done: carry out an instruction, or measure how often that succeeds",
        modes=("act", "evaluate", "browse", "replay"),
    ),
    "policy": Verb(
        "agents.policy.run",
        "train a policy inside the world model, or measure it against MuJoCo",
        modes=("train", "evaluate"),
    ),
    "play": Verb("agents.play.run", "drive the learned world by hand, in the browser"),
    "bench": Verb("envs.bench", "measure speed and memory against MuJoCo rendering"),
    "doctor": Verb(
        "envs.doctor", "check this machine: versions, device, OpenGL, extras", models=False
    ),
}


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: verbs clean up as they do for Ctrl-C, the exit code tells the two apart."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after `worldmodel`; None for those of this process.

    Returns:
        The exit code: 0 done, 1 an error the project explains, 2 a mistake in the command,
        130 after Ctrl-C, 143 after SIGTERM. With WORLDMODEL_DEBUG=1 explained errors are raised
        instead, with their traceback.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _terminating_like_ctrl_c():
            return _dispatch(words)
    except WorldModelError as error:
        if os.environ.get("WORLDMODEL_DEBUG") == "1":
            raise
        _complain(error)
        return EXIT_USAGE if isinstance(error, ConfigError) else EXIT_ERROR
    except Terminated:
        return EXIT_TERMINATED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _dispatch(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        _print_help()
        return 0 if words else EXIT_USAGE
    if words[0] in ("-V", "--version"):
        Console().print(f"worldmodel {__version__}", highlight=False)
        return 0
    name, overrides = words[0], words[1:]
    if name not in VERBS:
        raise ConfigError(f"{name!r} is not a verb: {nearest(name, VERBS)}")
    if overrides and overrides[0] in VERBS[name].modes:
        overrides = [f"mode={overrides[0]}", *overrides[1:]]
    if any(word in ("-h", "--help") for word in overrides):
        _print_verb_help(name)
        return 0
    for word in overrides:
        if word.startswith("-"):
            raise ConfigError(f"{word!r} is not an option; settings are written key=value")
    if overrides and VERBS[name].modes and overrides[0].isalpha():
        raise ConfigError(
            f"{name} cannot {overrides[0]!r}: {nearest(overrides[0], VERBS[name].modes)}"
        )
    return _run(name, composed(name, overrides))


def _run(name: str, cfg: DictConfig) -> int:
    """Import the verb's module and call it, on the device and dtype that was chosen."""
    verb = VERBS[name]
    with _compute_chosen(cfg) if verb.models else nullcontext():
        module = importlib.import_module(verb.module)
        run = cast(Callable[[DictConfig], int], module.run)
        return run(cfg)


@contextmanager
def _compute_chosen(cfg: DictConfig) -> Iterator[None]:
    """Choose device and dtype, say why, and let the choice hold until the verb ends."""
    from worldmodel.device import ENVIRONMENT_VARIABLE, choose_compute

    asked = str(OmegaConf.select(cfg, "compute") or "auto")
    preferred = os.environ.get(ENVIRONMENT_VARIABLE, "auto") if asked == "auto" else asked
    reason = choose_compute(preferred or "auto").reason
    Console().print(Text(reason, style="dim"))
    before = os.environ.get(ENVIRONMENT_VARIABLE)
    # Through the environment the choice reaches every later call and every worker process.
    os.environ[ENVIRONMENT_VARIABLE] = preferred
    try:
        yield
    finally:
        if before is None:
            del os.environ[ENVIRONMENT_VARIABLE]
        else:
            os.environ[ENVIRONMENT_VARIABLE] = before


@contextmanager
def _terminating_like_ctrl_c() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM in this process; forked children die of it as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process = os.getpid()

    def terminate(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _complain(error: WorldModelError) -> None:
    message = Text.assemble(("error: ", "bold red"), str(error))
    Console(stderr=True, soft_wrap=True).print(message)


def _print_help() -> None:
    table = Table(box=None, show_header=False, padding=(0, 2))
    for name, verb in VERBS.items():
        table.add_row(Text(name, style="bold"), verb.summary)
    console = Console()
    console.print("Usage: worldmodel VERB [key=value ...]\n", highlight=False, markup=False)
    console.print(table)
    console.print(
        "\n`worldmodel VERB --help` lists the keys of a verb. Each run writes to runs/VERB/TIME or "
        "to out=DIR.\nWORLDMODEL_DEBUG=1 shows tracebacks, WORLDMODEL_COMPUTE=cpu/float32 fixes "
        "device and dtype.",
        highlight=False,
        markup=False,
    )


def _print_verb_help(name: str) -> None:
    console = Console()
    console.print(f"Usage: worldmodel {name} [key=value ...]\n", highlight=False, markup=False)
    summary = VERBS[name].summary
    console.print(f"{summary[0].upper()}{summary[1:]}.\n", highlight=False, markup=False)
    groups = verb_groups(name)
    console.print(_key_table(name, groups))
    for group, option in groups.items():
        options = " | ".join(group_options(group))
        heading = f"\n{group}={options}   (default: {option}; {group}.KEY=VALUE changes one key)"
        console.print(Text(heading, style="bold"))
        console.print(_key_table(f"{group}/{option}", {}, f"{group}."))


def _key_table(name: str, groups: dict[str, str], prefix: str = "") -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2))
    rows = documented_keys(name)
    if not prefix:
        rows += documented_keys("every_verb")
    for key, default, comment in rows:
        shown = "(required)" if default == "???" else default
        table.add_row(Text(prefix + key, style="bold"), Text(shown, style="cyan"), Text(comment))
    return table
