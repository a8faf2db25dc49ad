"""The house keeps its shape: imports only go down, light modules stay light, files stay short, every key is read."""

from __future__ import annotations

import ast
import dataclasses
import graphlib
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterlm_jax import experiments
from tests.attribute_reads import Reads, is_property

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "clusterlm_jax"
FLOORS = [
    {"records", "files", "workdir", "preemption"},
    {"models", "data", "analysis"},
    {"training", "extraction", "report", "device_analysis"},
    {"settings", "progress", "library", "processes"},
    {"experiments"},
    {"config"},
    {"usage"},
    {"main"},
    {"__init__"},  # the public names
]
# Rooms of one floor do not import each other, except these: errors are declared in `records`, files are a run's.
SAME_FLOOR = {("files", "records"), ("workdir", "records"), ("workdir", "files")}
NO_JAX = {*FLOORS[0], "analysis", "report", "data", "settings", "config", "usage"}
LIGHT_PARTS = ("settings", "page")  # of every experiment
MODEL_SIDE = {"models", "training", "extraction", "data"}

MOST_FILES = 12
MOST_LINES = 300
MOST_LINES_OF_A_CONSTANT = 80
MOST_LINES_OF_PAGES = 9900  # of report/ and experiments/, with templates: what there is must not grow unseen

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
SETTINGS = [experiments.part(name, "settings").SETTINGS for name in experiments.names()]


def room(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def level(module: str) -> int:
    return next(index for index, floor in enumerate(FLOORS) if room(module) in floor)


def names_imported(path: Path) -> set[str]:
    """Full names of everything a file imports, at module level or later."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules_imported(path: Path) -> set[str]:
    """The modules of the package that a file imports."""
    names = names_imported(path)
    return {name if name in MODULES else name.rpartition(".")[0] for name in names} & MODULES.keys()


IMPORTS = {module: modules_imported(path) for module, path in MODULES.items()}


def test_imports_only_go_down():
    for module, imported in IMPORTS.items():
        for other in imported - {"clusterlm_jax"}:
            same = room(other) == room(module) or (room(module), room(other)) in SAME_FLOOR
            assert same or level(other) < level(module), f"{module} imports {other}"


def test_no_imports_form_a_circle():
    order = tuple(graphlib.TopologicalSorter(IMPORTS).static_order())  # a CycleError names the circle
    assert set(order) == MODULES.keys()


def test_experiments_import_the_frame_and_never_each_other():
    families = {f"clusterlm_jax.experiments.{name}" for name in experiments.names()}

    def family(module: str) -> str | None:
        return next((name for name in families if module == name or module.startswith(name + ".")), None)

    for module, imported in IMPORTS.items():
        for other in imported:
            assert family(other) in (None, family(module)), f"{module} imports {other}"


def test_each_side_keeps_to_its_libraries():
    for module, path in MODULES.items():
        tops = {name.split(".")[0] for name in names_imported(path)}
        if room(module) in NO_JAX:
            assert not tops & {"jax", "flax", "optax", "orbax"}, module
        if room(module) in MODEL_SIDE:
            assert not tops & {"sklearn", "matplotlib"}, module
        if room(module) not in {"config", "main"}:
            assert "ml_collections" not in tops, module
        if path.name != "checkpoints.py":
            assert "orbax" not in tops, module


def test_what_must_stay_light_loads_no_jax():
    """A worker process and a page drawn again need none."""
    parts = [f"clusterlm_jax.experiments.{name}.{part}" for name in experiments.names() for part in LIGHT_PARTS]
    light = [f"clusterlm_jax.{name}" for name in ("analysis.executors.worker", "main", "usage", "experiments.stages")]
    light += parts
    none_loads(["jax"], [*light, *(module for module in MODULES if room(module) == "report")])


def test_only_what_clusters_loads_scikit_learn():
    """It takes a second to import. The process that trains hands its clustering to workers."""
    none_loads(["sklearn"], [f"clusterlm_jax.experiments.{name}.stages" for name in experiments.names()])


def test_a_wrong_configuration_is_told_before_anything_slow_is_loaded():
    settings = [f"clusterlm_jax.experiments.{name}.settings" for name in experiments.names()]
    slow = ["jax", "sklearn", "scipy", "matplotlib", "pyarrow", "transformers"]
    none_loads(slow, ["clusterlm_jax.main", "clusterlm_jax.usage", "clusterlm_jax.config", *settings])


def none_loads(libraries: list[str], modules: list[str]) -> None:
    """One process imports all; the first that loads one of the libraries is named."""
    code = f"""
import importlib, sys
for name in {modules}:
    importlib.import_module(name)
    if found := sys.modules.keys() & set({libraries}):
        sys.exit(f"{{name}} loads {{found}}")
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from (ROOT / folder).rglob("*.py")


@pytest.mark.parametrize("folder", ["clusterlm_jax", "tests"])
def test_no_folder_is_crowded(folder):
    folders = [path for path in [ROOT / folder, *(ROOT / folder).rglob("*/")] if path.name != "__pycache__"]
    files = {path: sum(file.is_file() for file in path.iterdir()) for path in folders}
    crowded = {str(path.relative_to(ROOT)): count for path, count in files.items() if count > MOST_FILES}
    assert not crowded


def test_no_file_is_long():
    lines = {path: len(path.read_text().splitlines()) for path in sources("clusterlm_jax", "tests", "configs")}
    assert not {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > MOST_LINES}


def test_no_constant_is_long():
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources("clusterlm_jax", "tests", "configs")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.end_lineno - node.lineno >= MOST_LINES_OF_A_CONSTANT
    ]
    assert not long


def test_the_pages_stay_a_small_part():
    pages = [
        *sources("clusterlm_jax/report", "clusterlm_jax/experiments"),
        *PACKAGE.rglob("*.html"),
        *PACKAGE.rglob("*.js"),
    ]
    assert sum(len(path.read_text().splitlines()) for path in pages) < MOST_LINES_OF_PAGES


def declared_keys() -> set[tuple[type, str]]:
    """Every key with the class that declares it: a section's spec, or the settings for keys of no section."""
    keys = set()
    for kind in SETTINGS:
        for name, hint in typing.get_type_hints(kind).items():
            specs = [hint] if dataclasses.is_dataclass(hint) else []
            keys |= {(spec, field.name) for spec in specs for field in dataclasses.fields(spec)} or {(kind, name)}
    return keys


def without_checks(path: Path, specs: set[str]) -> ast.Module:
    """A source without what only checks settings: a key that nothing but its own check reads has no effect."""
    tree = ast.parse(path.read_text())
    if path.name == "settings.py":
        tree.body = [node for node in tree.body if not isinstance(node, ast.FunctionDef)]
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name in specs:
            node.body = [part for part in node.body if not isinstance(part, ast.FunctionDef) or is_property(part)]
    return tree


def test_every_key_is_read_by_some_code():
    keys = declared_keys()
    specs = {base.__name__ for spec, _ in keys for base in spec.__mro__}
    read = Reads([without_checks(path, specs) for path in MODULES.values()]).found
    unread = {
        f"{spec.__name__}.{key}" for spec, key in keys if not any((base.__name__, key) in read for base in spec.__mro__)
    }
    assert not unread


def test_an_attribute_of_that_name_elsewhere_is_no_read():
    """Breaks if a key counts as read when any object has an attribute of its name."""
    source = """
class Spec:
    steps: int
    layer: str
    width: int
    depth: int
    seed: int

class Trainer:
    def __init__(self, spec: Spec | None, other: Other):
        self._spec, self.other = spec, other

    def train(self):
        spec = self._spec
        return spec.steps, self._spec.layer, self.other.width, [other.depth for other in self.others]

def untyped(spec):
    return spec.seed
"""
    assert {key for kind, key in Reads([ast.parse(source)]).found if kind == "Spec"} == {"steps", "layer"}
