"""The rules of the house: who may import whom, what files are called, how long they get."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Each folder may import those left of it.
ORDER = ["configs", "multimodal", "worldmodel", "envs", "agents"]
SOURCES = sorted(path for folder in ORDER for path in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
LONGEST_FILE = 400
LONGEST_FUNCTION = 60


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _imported(tree: ast.Module) -> set[str]:
    """Full names of all modules and members that are imported, lazily or not."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_there_are_sources_to_check():
    assert len(SOURCES) > 20
    assert len(TESTS) > 3


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_imports_go_downwards_only(path):
    folder = path.relative_to(ROOT).parts[0]
    above = set(ORDER[ORDER.index(folder) + 1 :])
    assert {name for name in _imported(_tree(path)) if name.partition(".")[0] in above} == set()


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_private_names_stay_in_their_folder(path):
    folder = path.relative_to(ROOT).parts[0]
    private = {
        name
        for name in _imported(_tree(path))
        if name.partition(".")[0] in set(ORDER) - {folder}
        and any(part.startswith("_") and not part.startswith("__") for part in name.split("."))
    }
    assert private == set()


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_imports_are_absolute(path):
    relative = [
        node.lineno
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=_name)
def test_a_file_is_named_after_what_it_is_about(path):
    assert path.stem.removeprefix("test_") not in FORBIDDEN_NAMES


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_files_and_functions_stay_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    lengths = {
        node.name: _lines_of_code(node)
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}


def _lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body without its docstring and without the inner lines of longer texts."""
    texts = {
        line
        for node in ast.walk(function)
        if isinstance(node, ast.JoinedStr | ast.Constant)
        for line in range(node.lineno + 1, node.end_lineno + 1)
    }
    return len(set(range(function.body[0].lineno, function.end_lineno + 1)) - texts)


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_a_module_says_what_is_in_it(path):
    if not path.read_text(encoding="utf-8").strip():
        pytest.fail("an empty module: say in a docstring what its folder is for")
    assert ast.get_docstring(_tree(path))


@pytest.mark.parametrize("folder", sorted({path.parent for path in SOURCES}), ids=_name)
def test_every_folder_says_what_is_in_it(folder):
    assert (folder / "__init__.py").exists()


@pytest.mark.parametrize("name", ["worldmodel", "envs", "multimodal", "configs"])
def test_every_public_name_of_a_folder_can_be_imported(name):
    package = importlib.import_module(name)
    assert [each for each in getattr(package, "__all__", []) if not hasattr(package, each)] == []


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_what_is_public_has_a_docstring(path):
    tree = _tree(path)
    public = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    assert [node.name for node in public if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_what_is_listed_as_public_exists(path):
    tree = _tree(path)
    listed, defined = _exports(tree), _defined(tree)
    assert listed - defined == set()


def _exports(tree: ast.Module) -> set[str]:
    for node in tree.body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = {target.id for target in targets if isinstance(target, ast.Name)}
        if "__all__" in names and isinstance(value, ast.List):
            return {str(ast.literal_eval(element)) for element in value.elts}
    return set()


def _defined(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_no_error_is_swallowed(path):
    silent = [
        node.lineno
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") in ("Exception", "BaseException"))
        and all(isinstance(statement, ast.Pass) for statement in node.body)
    ]
    assert silent == []


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_nothing_is_unpickled(path):
    unpickling = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    assert {name.partition(".")[0] for name in _imported(_tree(path))} & unpickling == set()


@pytest.mark.parametrize("path", TESTS, ids=_name)
def test_tests_lie_where_what_they_test_lies(path):
    parts = path.relative_to(ROOT / "tests").parts
    assert len(parts) == 1 or parts[0] in ORDER


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the repository")
def test_git_ignores_no_file_of_the_package():
    files = [path for folder in ORDER for path in (ROOT / folder).rglob("*") if path.is_file()]
    wanted = [str(path) for path in files if path.suffix not in (".pyc", ".pyo")]
    ignored = subprocess.run(
        ["git", "check-ignore", *wanted], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ignored.stdout.split() == []


def test_the_version_is_the_same_everywhere():
    from worldmodel import __version__

    assert f"version: {__version__}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_constraints_pin_every_package_and_name_no_path():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    assert [line for line in lines if line.count("==") != 1 or "/" in line] == []
    pinned = {line.partition("==")[0]: line.partition("==")[2] for line in lines}
    trio = [pinned[name].rpartition(".")[0] for name in ("torch", "torchvision", "torchaudio")]
    assert trio == ["2.11", "0.26", "2.11"]


def test_every_library_that_is_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {
        name
        for extra, lines in project["optional-dependencies"].items()
        if extra != "dev"
        for name in _names(lines)
    }
    modules = {"hydra_core": "hydra", "pillow": "PIL"}
    declared = {modules.get(name, name) for name in _names(project["dependencies"])}
    known = declared | extras | set(ORDER) | sys.stdlib_module_names
    trees = [_tree(path) for path in SOURCES]
    imported = {name.partition(".")[0] for tree in trees for name in _imported(tree)}
    assert imported - known == set()
    at_once = {path: _imported_at_once(tree) for path, tree in zip(SOURCES, trees, strict=True)}
    hasty = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path, names in at_once.items()
        if {name.partition(".")[0] for name in names} & extras
    }
    # A module may be written for an extra as long as others import it only where they use it.
    leaning = {
        str(path)
        for path, names in at_once.items()
        if hasty & {part for name in names for part in (name, name.rpartition(".")[0])}
    }
    assert leaning == set(), "an extra is imported only where it is used"


def _imported_at_once(tree: ast.Module) -> list[str]:
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return list(_imported(ast.Module(list(imports), [])))


def _names(lines: list[str]) -> set[str]:
    return {re.split(r"[=<>\[]", line)[0].replace("-", "_") for line in lines}
