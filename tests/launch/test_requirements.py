"""The lists of requirements agree: the tested versions, the lock, and the ranges of pyproject.toml."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
# Where the name of a module is not that of its package.
PACKAGE_OF = {
    "absl": "absl-py",
    "orbax": "orbax-checkpoint",
    "sklearn": "scikit-learn",
    "mpl_toolkits": "matplotlib",
    "PIL": "pillow",
}


def pins(name: str) -> dict[str, str]:
    """{package: version} of a file of lines `package==version  # comment`."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    return {canonicalize_name(package): version for package, _, version in (x.partition("==") for x in lines if x)}


def ranges(requirements: list[str]) -> dict[str, Requirement]:
    return {canonicalize_name(requirement.name): requirement for requirement in map(Requirement, requirements)}


def imported() -> set[str]:
    """The packages that the modules of clusterlm_jax import, but torch and Dask, which are optional."""
    modules = set()
    for path in (ROOT / "clusterlm_jax").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules.add(node.module.partition(".")[0])
    modules -= {*sys.stdlib_module_names, "clusterlm_jax", "torch", "distributed"}
    return {canonicalize_name(PACKAGE_OF.get(module, module)) for module in modules}


@pytest.mark.parametrize(
    ("pinned", "ranged"),
    [
        ("requirements.txt", PROJECT["dependencies"]),
        ("requirements-test.txt", PROJECT["optional-dependencies"]["test"]),
    ],
)
def test_the_tested_versions_are_locked_and_in_the_ranges(pinned, ranged):
    tested, allowed, locked = pins(pinned), ranges(ranged), pins("requirements.lock")
    assert tested.keys() == allowed.keys()
    for package, version in tested.items():
        assert locked[package] == version
        assert version in allowed[package].specifier, package


def test_the_dependencies_are_what_the_package_imports():
    assert pins("requirements.txt").keys() == imported()


def test_pip_installs_the_package_and_no_other_folder():
    """The checkout has several folders side by side; a build that guesses among them refuses."""
    assert PYPROJECT["build-system"]["build-backend"] == "hatchling.build"
    assert PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["clusterlm_jax"]
