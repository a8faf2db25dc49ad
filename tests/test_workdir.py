"""A work directory belongs to one process at a time, and to one configuration as far as it changes any number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clusterlm_jax import config as configuration
from clusterlm_jax import experiments
from clusterlm_jax import workdir as module
from clusterlm_jax.records import UserError
from clusterlm_jax.workdir import FORMER, Busy, WorkDir, size


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
    """The new job's cells could never be scored. Breaks if `eval.jobs` may always differ."""
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


def test_a_run_of_an_earlier_version_resumes(workdir: WorkDir) -> None:
    """Its keys that are built in now are no difference, and the file loses them."""
    workdir.write_json("config.json", config(False, retries=2))
    workdir.claim(config(False))
    assert "retries" not in workdir.read_json("config.json")["eval"]


def test_a_former_key_with_another_value_is_a_difference(workdir: WorkDir) -> None:
    workdir.write_json("config.json", config(False, retries=5))
    with pytest.raises(UserError, match=r"differs in eval\.retries \(there 5, now 'unset'\)"):
        workdir.claim(config(False))


def test_former_keys_are_no_keys() -> None:
    assert not set(FORMER) & {key for name in experiments.names() for key in configuration.every_key(name)}


def test_a_second_process_is_told_that_the_directory_is_busy(workdir: WorkDir) -> None:
    """Each opening of the lock counts as a process of its own. Breaks if the lock waits, or is shared."""
    with workdir.locked(), pytest.raises(Busy, match="Another process is working in"), WorkDir(workdir.root).locked():
        pass
    with WorkDir(workdir.root).locked():
        pass


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 MiB"),
        (1, "1 MiB"),
        (2**20, "1 MiB"),
        (13 * 2**20 - 5, "13 MiB"),
        (2**30, "1.0 GiB"),
        (5 * 2**29, "2.5 GiB"),
    ],
)
def test_bytes_are_told_in_a_unit_that_shows_them(count, words):
    assert size(count) == words


def test_a_small_run_on_a_full_disk_is_told_how_much_it_needs(workdir, monkeypatch):
    """Breaks if 13 MiB are "0.0 GiB"."""
    monkeypatch.setattr(module, "free_bytes", lambda path: 4 * 2**20)
    with pytest.raises(UserError, match=r"needs up to 13 MiB in .*, where 4 MiB are free: choose another --workdir\."):
        workdir.check_disk(13 * 2**20, "choose another --workdir")
