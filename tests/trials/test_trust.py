"""Nothing that a user may get from somebody else is run: no pickle, no code of a checkpoint."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax.experiments.states import file
from clusterlm_jax.files import read_arrays
from clusterlm_jax.records import UserError

ROOT = Path(__file__).parents[2]
SOURCES = [
    path for folder in ("clusterlm_jax", "benchmarks", "trials", "examples") for path in (ROOT / folder).rglob("*.py")
]
# What would run code from a file, and the value of its argument that does not.
ARGUMENTS = {"allow_pickle": False, "trust_remote_code": False, "weights_only": True}
OURS = {"pool.py", "worker.py"}  # a process and its worker talk in pickles, which nobody else writes


def calls() -> Iterator[tuple[Path, ast.Call]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield path, node


def test_no_call_trusts_a_file():
    for path, call in calls():
        for argument in call.keywords:
            if argument.arg in ARGUMENTS:
                assert ast.literal_eval(argument.value) is ARGUMENTS[argument.arg], f"{path}:{call.lineno}"


def test_what_could_run_code_says_that_it_does_not():
    """torch.load and transformers decide by themselves where they are not told."""
    needed = {"torch.load": "weights_only"}
    needed |= {f"{name}.from_pretrained": "trust_remote_code" for name in ("AutoConfig", "AutoTokenizer")}
    found = set()
    for path, call in calls():
        if "examples" not in path.parts and (name := ast.unparse(call.func)) in needed:
            assert needed[name] in {argument.arg for argument in call.keywords}, f"{path}:{call.lineno}"
            found.add(name)
        assert ast.unparse(call.func) not in {"eval", "exec", "yaml.load"}, f"{path}:{call.lineno}"
    assert found == needed.keys()


def test_only_a_process_and_its_worker_pickle():
    for path in SOURCES:
        imported = {
            name.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
            for name in node.names
        }
        assert path.name in OURS or not imported & {"pickle", "cloudpickle", "dill", "shelve", "marshal"}, path


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.fixture
def trapped(tmp_path) -> Path:
    path = tmp_path / "states.npz"
    np.savez(path, hidden=np.zeros((1, 3, 2)), task=np.array([Trap(tmp_path / "sprung")] * 3))
    return path


def test_an_array_of_objects_is_refused_unread(trapped):
    """The trap would work. Breaks if arrays are read with `allow_pickle`."""
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_arrays(trapped)
    with pytest.raises(UserError, match=r"states\.npz cannot be read"):
        file.read(trapped)
    assert not (trapped.parent / "sprung").exists()
    np.load(trapped, allow_pickle=True)["task"]
    assert (trapped.parent / "sprung").exists()


@pytest.mark.parametrize("kind", ["one array", "nothing", "text"])
def test_a_file_that_is_named_as_an_archive_and_is_none(tmp_path, kind):
    path = tmp_path / "states.npz"
    with path.open("wb") as written:
        if kind == "one array":
            np.save(written, np.zeros(3))
        elif kind == "text":
            written.write(b"a,b\n1,2\n")
    with pytest.raises(UserError, match=r"states\.npz cannot be read as \.npz"):
        file.read(path)


@pytest.mark.parametrize("layers", [np.array("a"), np.array([["a", "b"]]), np.array(3.5)])
def test_names_of_layers_that_are_no_list(tmp_path, layers):
    np.savez(tmp_path / "states.npz", hidden=np.zeros((3, 4, 2)), task=np.arange(4), layers=layers)
    with pytest.raises(UserError, match=r"names \d layers, but has the states of 3"):
        file.read(tmp_path / "states.npz")
