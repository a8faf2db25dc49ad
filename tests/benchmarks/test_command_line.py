"""The command lines of the benchmarks: each says what it takes, and refuses the rest before it writes anything."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("command_line", "measuring", "plain"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ended(name: str, *arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        importlib.import_module(f"benchmarks.{name}").main(arguments)
    return end.value.code


@pytest.mark.parametrize("name", NAMES)
def test_help_says_what_is_measured_and_with_what(name: str, here: Path, capsys: pytest.CaptureFixture) -> None:
    assert ended(name, "--help") == 0
    printed, what = capsys.readouterr().out, importlib.import_module(f"benchmarks.{name}").__doc__
    assert printed.startswith(f"usage: .venv/bin/python -m benchmarks.{name} [-h]") and what.strip() in printed
    assert "(default: " in printed
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("evaluator", ["wide"], "argument WIDTH: 'wide' must be a whole number of at least 1"),
        ("loading", ["nan"], "argument GB: 'nan' must be a number above 0"),
        ("step_shares", ["256", "task"], "choose from"),
        ("training", ["0"], "argument WIDTH: '0' must be a whole number of at least 1"),
        ("training", ["256", "float16"], "choose from"),
        ("training", ["33"], "does not divide model.hidden_dim = 33"),
        ("main_run", ["nowhere.py"], "There is no configuration file 'nowhere.py'"),
        (
            "main_run",
            [str(FOLDER.parent / "configs" / "synthetic.py"), "train.epoch=2"],
            "There is no --config.train.epoch",
        ),
        ("random_llama", [], "the following arguments are required: DIRECTORY"),
        ("random_llama", ["."], "DIRECTORY is .; it must be a new directory (File exists)"),
        ("random_llama", ["new", "100"], "WIDTH is 100; it must be a multiple of 64"),
        ("random_llama", ["--new"], "required: DIRECTORY"),
        ("tsne", ["many"], "argument POINTS: 'many' must be a whole number of at least 1"),
        ("executors", ["few"], "argument CALLS: 'few' must be a whole number of at least 1"),
        ("seeds", ["32", "2", "float32", "4", "5"], "unrecognized arguments: 5"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    name: str, arguments: list[str], sentence: str, here: Path, capsys: pytest.CaptureFixture
) -> None:
    assert ended(name, *arguments) == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]
    assert not list(here.iterdir())
