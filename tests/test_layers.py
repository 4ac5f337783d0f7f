"""Imports point down the layers, those inside functions too; shown on planted trees, then held for mann_hf itself."""

import ast
import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "mann_hf"
# Lowest first. A part imports parts of lower rows and itself, never its neighbours in the row.
LAYERS = [
    ["errors", "hub_names"],
    ["registry", "wording"],
    ["targets"],
    ["memory"],
    ["controllers"],
    ["hub", "cards"],
    ["persistent"],
    ["models"],
    ["metrics", "episodes"],
    ["training"],
    ["pipelines"],
    ["demo"],
    ["cli"],
    [""],  # mann_hf/__init__.py, the face of all
]
RANKS = {part: rank for rank, row in enumerate(LAYERS) for part in row}
OUTSIDE = {"tasks", "tests", "examples"}
OF_TENSORS = {"targets", "memory"}
ABOVE_TENSORS = {
    *("transformers", "tokenizers", "huggingface_hub", "sentence_transformers"),
    *("datasets", "accelerate", "evaluate", "peft"),
}


class Import(NamedTuple):
    """One module that a file imports."""

    file: Path
    line: int
    part: str  # of mann_hf, that the file belongs to
    target: str  # dotted name of the module
    at_once: bool  # as the file is imported, not when a function is called or for types alone

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.target}"


def imports(root: Path) -> Iterator[Import]:
    """Every import statement, `import_module` and `import_extra` of a literal name in the package under `root`."""

    def is_module(name: str) -> bool:
        path = root.joinpath(*name.split("."))
        return path.is_dir() or path.with_suffix(".py").is_file()

    for file in sorted((root / PACKAGE).rglob("*.py")):
        relative = file.relative_to(root)
        module = relative.with_suffix("").parts
        package = module[:-1]  # what one leading dot stands for
        part = "" if module == (PACKAGE, "__init__") else module[1]
        tree = ast.parse(file.read_text(encoding="utf-8"), str(relative))
        later = {inner for node in ast.walk(tree) if waits(node) for inner in ast.walk(node)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Import | ast.ImportFrom | ast.Call):
                continue
            targets: list[str] = []
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else ()
                stem = ".".join([*base, *filter(None, [node.module])])
                named = [f"{stem}.{alias.name}" for alias in node.names]
                targets = [name if is_module(name) else stem for name in named]
            elif re.search(r"\b(import_module|import_extra|__import__)$", ast.unparse(node.func)):
                match node.args:
                    case [ast.Constant(value=str(name)), *_]:
                        stem = name.lstrip(".")
                        dots = len(name) - len(stem)
                        base = package[: len(package) - dots + 1] if dots else ()
                        targets = [".".join([*base, stem])]
            at_once = node not in later
            yield from (Import(relative, node.lineno, part, target, at_once) for target in dict.fromkeys(targets))


def waits(node: ast.AST) -> bool:
    """Whether what is in this part of a file does not run as it is imported."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test).endswith("TYPE_CHECKING")
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def imported_with(root: Path, *modules: str, leaving: str = "") -> set[str]:
    """The modules that come in as these of the package under `root` do, by statements of the package's own.

    `leaving` is not looked into.
    """
    of_file: dict[Path, set[str]] = {}
    for found in imports(root):
        if found.at_once:
            of_file.setdefault(found.file, set()).add(found.target)
    there, left = {leaving}, list(modules)
    while left:
        module = left.pop()
        if module not in there:
            there.add(module)
            path = Path(*module.split("."))
            left += [*of_file.get(path.with_suffix(".py"), ()), *of_file.get(path / "__init__.py", ())]
            left += [module.rpartition(".")[0]] if "." in module else []
    return there - {leaving}


def part_of(target: str) -> str | None:
    """The part of mann_hf that a module belongs to; None for a module of another package."""
    top, _, rest = target.partition(".")
    return rest.partition(".")[0] if top == PACKAGE else None


def is_against_the_layers(found: Import) -> bool:
    """Whether an import points up, sideways, out of the package, or from what is pure torch to what is built on it."""
    top = found.target.partition(".")[0]
    target = part_of(found.target)
    if target is None:
        return top in OUTSIDE or (found.part in OF_TENSORS and top in ABOVE_TENSORS)
    return target != found.part and RANKS.get(target, len(LAYERS)) >= RANKS[found.part]


def unplaced(root: Path) -> set[str]:
    """Parts of the package that LAYERS does not name."""
    children = (root / PACKAGE).iterdir()
    return {path.stem for path in children if path.suffix == ".py" or any(path.rglob("*.py"))} - {*RANKS, "__init__"}


def plant(root: Path, files: dict[str, str]) -> Path:
    """Writes a package of the given files, with one empty file in every part."""
    skeleton = {f"{PACKAGE}/{part}/__init__.py" if part else f"{PACKAGE}/__init__.py": "" for part in RANKS}
    for name, text in {**skeleton, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("file", "source", "target"),
    [
        ("memory/state.py", "import mann_hf.models", "mann_hf.models"),
        ("memory/state.py", "from mann_hf import models", "mann_hf.models"),
        ("memory/state.py", "from mann_hf import MANNConfig", "mann_hf"),
        ("memory/state.py", "import mann_hf", "mann_hf"),
        ("memory/state.py", "def f():\n    from mann_hf.models import X", "mann_hf.models"),
        (
            "memory/state.py",
            "class A:\n    def f(self):\n        import mann_hf.training.run as c",
            "mann_hf.training.run",
        ),
        ("memory/state.py", "from .. import controllers", "mann_hf.controllers"),
        ("memory/state.py", "from ..controllers.pooling import mean", "mann_hf.controllers.pooling"),
        ("memory/stores/exact.py", "from ...models import X", "mann_hf.models"),
        ("memory/__init__.py", "from ..training import X", "mann_hf.training"),
        ("memory/state.py", "if TYPE_CHECKING:\n    from mann_hf.episodes import E", "mann_hf.episodes"),
        ("memory/state.py", "import importlib\nimportlib.import_module('mann_hf.cli')", "mann_hf.cli"),
        ("memory/state.py", "from importlib import import_module\nimport_module('..cli', __package__)", "mann_hf.cli"),
        ("memory/state.py", "from ..errors import import_extra\nimport_extra('peft', 'it', 'peft')", "peft"),
        ("memory/state.py", "import transformers", "transformers"),
        ("memory/state.py", "def f():\n    from huggingface_hub.utils import x", "huggingface_hub.utils"),
        ("targets/base.py", "from transformers.utils import logging", "transformers.utils"),
        ("targets/base.py", "from ..memory.reading import Reading", "mann_hf.memory.reading"),
        ("models/__init__.py", "from tasks.scan import data", "tasks.scan"),
        ("training/loop.py", "import tests.conftest", "tests.conftest"),
        ("errors.py", "from mann_hf.registry import Registry", "mann_hf.registry"),
        ("metrics/ece.py", "from mann_hf.episodes import E", "mann_hf.episodes"),
        ("pipelines.py", "from .cli import main", "mann_hf.cli"),
    ],
)
def test_a_planted_import_is_caught(tmp_path: Path, file: str, source: str, target: str) -> None:
    wrong = [found for found in imports(plant(tmp_path, {f"{PACKAGE}/{file}": source})) if is_against_the_layers(found)]
    assert [(str(found.file), found.target) for found in wrong] == [(f"{PACKAGE}/{file}", target)]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("memory/key_value.py", "import torch\nfrom .state import S\nfrom mann_hf.memory import state"),
        ("memory/key_value.py", "from mann_hf import errors\nfrom ..registry import Registry"),
        ("memory/stores/faiss.py", "def f():\n    import faiss\n    from ..state import S\n    from . import exact"),
        ("controllers/pooling.py", "import transformers\nfrom mann_hf.memory import addressing"),
        ("models/__init__.py", "from mann_hf import controllers, memory"),
        ("cli/predict.py", "from mann_hf.pipelines import P\nfrom .. import training, registry"),
        ("__init__.py", "import importlib\nfrom .pipelines import P\nimportlib.import_module('mann_hf.cli')"),
        ("training/loop.py", "import tasksmith, transformers.training"),
    ],
)
def test_an_import_that_points_down_passes(tmp_path: Path, file: str, source: str) -> None:
    found = list(imports(plant(tmp_path, {f"{PACKAGE}/{file}": source})))
    assert found
    assert not [str(one) for one in found if is_against_the_layers(one)]


def test_a_part_without_a_place_is_caught(tmp_path: Path) -> None:
    plant(tmp_path, {f"{PACKAGE}/utils.py": "", f"{PACKAGE}/odds/ends.py": ""})
    assert unplaced(tmp_path) == {"utils", "odds"}


def test_every_part_has_a_place() -> None:
    assert not unplaced(ROOT), "Name the new part's row in LAYERS above and in CONTRIBUTING.md."


def test_imports_point_down() -> None:
    wrong = [str(found) for found in imports(ROOT) if is_against_the_layers(found)]
    assert not wrong, "Move what is shared to the lower layer, or pass it in:\n" + "\n".join(wrong)


FETCHES = re.compile(r"\b(cached_files?|has_file|hf_hub_download|snapshot_download|try_to_load_from_cache)\b")
MAY_FETCH = {"hub/source.py", "hub/uploading.py"}


def fetching(package: Path) -> set[str]:
    """The files of a package that fetch files of the Hub by themselves."""
    return {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if FETCHES.fullmatch(getattr(node, "id", None) or getattr(node, "attr", None) or "")
    }


def test_a_planted_download_is_caught(tmp_path: Path) -> None:
    body = "def f():\n    return utils.cached_file(1)\n"
    plant(tmp_path, {f"{PACKAGE}/hub/tokenizers.py": body, f"{PACKAGE}/models/a.py": "'hf_hub_download'"})
    assert fetching(tmp_path / PACKAGE) == {"hub/tokenizers.py"}


def test_files_of_the_hub_come_by_source_alone() -> None:
    found = fetching(ROOT / PACKAGE)
    assert found == MAY_FETCH, "Read files by mann_hf.hub.source.Source."


def test_the_order_is_the_one_that_contributors_read() -> None:
    section = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("\n## Layers\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\d+\. (.+?): ", section, flags=re.MULTILINE)
    assert [[part.removesuffix(".py") for part in re.findall(r"`mann_hf/([\w.]+)/?`", row)] for row in rows] == [
        [part or "__init__" for part in row] for row in LAYERS
    ]


def test_what_is_imported_is_declared() -> None:
    requirements = [text for text in importlib.metadata.requires(PACKAGE) or [] if 'extra == "dev"' not in text]
    declared = {re.split(r"[^\w.-]", requirement)[0].lower().replace("-", "_") for requirement in requirements}
    of_module = importlib.metadata.packages_distributions()
    missing = set()
    for found in imports(ROOT):
        top = found.target.partition(".")[0]
        names = {name.lower().replace("-", "_") for name in of_module.get(top, [top])}
        if top not in {PACKAGE, *sys.stdlib_module_names} and not names & declared:
            missing.add(str(found))
    assert not missing, "Name these in pyproject.toml:\n" + "\n".join(sorted(missing))


@pytest.mark.parametrize(
    ("file", "source", "comes_in"),
    [
        ("__init__.py", "import peft", True),
        ("__init__.py", "def f():\n    import peft", False),
        ("__init__.py", "if TYPE_CHECKING:\n    import peft", False),
        ("__init__.py", "try:\n    from peft.utils import x\nexcept ImportError:\n    pass", True),
        ("__init__.py", "class A:\n    import peft", True),
        ("demo/page.py", "import peft", False),  # which nothing imports here
        ("demo/__init__.py", "from ..cards.data import x", False),
        ("demo/__init__.py", "from ..training.run import x", True),  # and with it what stands above it
    ],
)
def test_what_comes_in_with_the_package(tmp_path: Path, file: str, source: str, comes_in: bool) -> None:
    plant(tmp_path, {f"{PACKAGE}/training/__init__.py": "import peft", f"{PACKAGE}/{file}": source})
    found = imported_with(tmp_path, PACKAGE, f"{PACKAGE}.demo")
    assert ("peft" in {name.partition(".")[0] for name in found}) == comes_in


TAKE_LONG = {"datasets", "evaluate", "gradio", "peft", "plotly"}


def test_what_takes_long_to_import_is_imported_where_it_is_used() -> None:
    found = imported_with(ROOT, PACKAGE, f"{PACKAGE}.demo")
    assert "mann_hf.models.modeling_mann" in found
    assert not TAKE_LONG & {name.partition(".")[0] for name in found}


def test_the_shell_waits_for_nothing_heavy_before_its_commands_run() -> None:
    found = imported_with(ROOT, f"{PACKAGE}.cli", leaving=PACKAGE)  # which the shell's process imports without
    assert f"{PACKAGE}.cli.train" in found
    others = {name.partition(".")[0] for name in found} - sys.stdlib_module_names
    assert others == {PACKAGE, "rich", "typer"} or others == {PACKAGE, "typer"}


@pytest.mark.slow
def test_nothing_else_brings_in_what_takes_long() -> None:
    code = f"import sys, mann_hf, mann_hf.demo; print(sorted({TAKE_LONG} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr
