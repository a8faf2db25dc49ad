"""A work directory belongs to one configuration, but for what changes none of its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clusterlm_jax.records import UserError
from clusterlm_jax.workdir import WorkDir


def config(keep_hidden: bool, **changes: Any) -> dict[str, Any]:
    analysis = {"keep_hidden": keep_hidden, "jobs": ("raw",), "workers": 1, "neighbours": 10} | changes
    return {"stages": ("train",), "train": {"epochs": 3}, "eval": analysis}


@pytest.fixture
def workdir(tmp_path: Path) -> WorkDir:
    return WorkDir(tmp_path)


def test_a_run_that_keeps_its_states_may_have_more_jobs(workdir: WorkDir) -> None:
    workdir.claim(config(True))
    workdir.claim(config(True, jobs=("raw", "across")))
    assert workdir.read_json("config.json")["eval"]["jobs"] == ["raw", "across"]


def test_a_run_without_its_states_may_not(workdir: WorkDir) -> None:
    """Its other cells could never be scored. Breaks when `eval.jobs` may always differ."""
    workdir.claim(config(False))
    with pytest.raises(UserError, match=r"belongs to another configuration; it differs in eval\.jobs"):
        workdir.claim(config(False, jobs=("raw", "across")))
    assert workdir.read_json("config.json")["eval"]["jobs"] == ["raw"]


@pytest.mark.parametrize("keep_hidden", [True, False])
def test_what_changes_a_number_is_another_configuration(workdir: WorkDir, keep_hidden: bool) -> None:
    workdir.claim(config(keep_hidden))
    workdir.claim(config(keep_hidden, workers=4))
    with pytest.raises(UserError, match=r"eval\.neighbours \(there 10, now 5\)"):
        workdir.claim(config(keep_hidden, neighbours=5))
