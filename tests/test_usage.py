"""`--help`: the flags and experiments, and every key of a configuration with its reason."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from clusterlm_jax import config, experiments, main, usage
from clusterlm_jax.data.spec import DataSpec

CONFIGS = Path(__file__).parents[1] / "configs"
PAGES = sorted(CONFIGS.glob("*.py"))


@pytest.mark.parametrize("flag", ["--help", "-h", "-help", "--helpfull"])
def test_the_page_names_flags_experiments_and_files(capsys, flag):
    assert main.main(["", flag]) == 0
    told, errors = capsys.readouterr()
    assert not errors
    for word in ("--config=FILE", "--workdir=DIR", "--config.KEY=VALUE", "--config=FILE --help"):
        assert word in told
    for name in (*experiments.names(), *(f"configs/{path.name}" for path in PAGES)):
        assert f"    {name} " in told


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_file_and_help_list_every_key_with_the_files_value(capsys, path):
    assert main.main(["", "--help", f"--config={path}:quick"]) == 0
    given, told = config.from_file(path, "quick"), capsys.readouterr().out
    for key in config.every_key(given.experiment):
        assert f"\n{key} = " in told
    assert f"\nseeds = {given.seeds!r}\n" in told


@pytest.mark.parametrize("experiment", experiments.names())
def test_every_key_has_a_reason_beside_its_declaration(experiment):
    reasons = usage.reasons(experiment)
    assert list(reasons) == config.every_key(experiment)
    assert not [key for key, reason in reasons.items() if not reason]


def test_the_reason_is_the_comment_above_and_beside_a_field():
    found = usage.comments(DataSpec)
    assert found["task_vocabulary_size"] == "symbols for inputs and outputs alike"
    assert found["source_target_pairs"].startswith("Pairs of a source and a target task with the same inputs; ")
    assert found["source_target_pairs"].endswith("targets (F.1; the paper: 3).")


@dataclasses.dataclass
class Above:
    # Of the base.
    first: int = 0
    second: int = 0  # of the base


@dataclasses.dataclass
class Below(Above):
    first: int = 1

    second: int = 1  # of the heir
    third: int = 1


def test_a_class_has_the_reasons_of_those_it_inherits_from_but_for_its_own():
    assert usage.comments(Below) == {"first": "Of the base.", "second": "of the heir"}
