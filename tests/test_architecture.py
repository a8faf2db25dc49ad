"""The house keeps its shape: imports only go down, workers stay light, every key is read by some code."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from clusterlm_jax import config
from clusterlm_jax.settings import EXPERIMENTS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "clusterlm_jax"
FLOORS = [
    {"records", "workdir"},
    {"models", "data", "analysis"},
    {"training", "extraction", "report"},
    {"settings"},
    {"config"},
    {"experiments"},
    {"main"},
]
# Rooms of one floor do not import each other, but for these: small files go through the work directory's one reader.
SAME_FLOOR = {("workdir", "records")}
NO_JAX = {"records", "workdir", "analysis", "report", "data", "settings", "config"}
MODEL_SIDE = {"models", "training", "extraction", "data"}


def rooms() -> list[tuple[str, Path]]:
    return [(path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path) for path in PACKAGE.rglob("*.py")]


def imports(path: Path) -> set[str]:
    """Full names of everything a file imports, at module level or later."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def level(room: str) -> int:
    return next(index for index, floor in enumerate(FLOORS) if room in floor)


def test_imports_only_go_down():
    for room, path in rooms():
        if room == "__init__":
            continue
        for name in imports(path):
            if name.startswith("clusterlm_jax."):
                other = name.split(".")[1]
                down = level(other) < level(room) or other == room or (room, other) in SAME_FLOOR
                assert down, f"{path.relative_to(ROOT)} imports {name}"


def test_each_side_keeps_to_its_libraries():
    for room, path in rooms():
        tops = {name.split(".")[0] for name in imports(path)}
        where = path.relative_to(ROOT)
        if room in NO_JAX:
            assert not tops & {"jax", "flax", "optax", "orbax"}, where
        if room in MODEL_SIDE:
            assert not tops & {"sklearn", "matplotlib"}, where
        if room not in {"config", "main"}:
            assert "ml_collections" not in tops, where
        if path.name != "checkpoints.py":
            assert "orbax" not in tops, where


@pytest.mark.parametrize(
    "module",
    [
        "clusterlm_jax.config",
        "clusterlm_jax.analysis.worker",
        *(f"clusterlm_jax.report.{page}" for page in ("page", "comparison", "probing", "pretraining", "alignment")),
    ],
)
def test_what_must_stay_light_loads_no_jax(module):
    code = f"import sys, {module}; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_every_key_is_read_by_some_code():
    """An attribute of that name is read somewhere beside the spec that declares it."""
    read: set[str] = set()
    for _, path in rooms():
        if path.name == "spec.py":
            tree = ast.parse(path.read_text())  # a spec's own properties count, its checks do not
            bodies = [
                node
                for node in ast.walk(tree)
                if isinstance(node, ast.FunctionDef) and any(ast.unparse(d) == "property" for d in node.decorator_list)
            ]
        else:
            bodies = [ast.parse(path.read_text())]
        for body in bodies:
            read |= {node.attr for node in ast.walk(body) if isinstance(node, ast.Attribute)}
    keys = {key for experiment in EXPERIMENTS for key in config.every_key(experiment)}
    unread = {key for key in keys if key.split(".")[-1] not in read}
    assert not unread
