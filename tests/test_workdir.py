"""A work directory belongs to one process at a time, and to one configuration as far as it changes any number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clusterlm_jax import config as configuration
from clusterlm_jax import experiments
from clusterlm_jax import workdir as module
from clusterlm_jax.files import append_jsonl
from clusterlm_jax.records import UserError, write_atomically
from clusterlm_jax.workdir import FORMER, LATER, Busy, WorkDir, size


def config(keep_hidden: bool, **changes: Any) -> dict[str, Any]:
    analysis = {"keep_hidden": keep_hidden, "jobs": ("raw",), "workers": 1, "neighbours": 10} | changes
    return {"stages": ("train",), "train": {"epochs": 3}, "eval": analysis}


@pytest.fixture
def workdir(tmp_path: Path) -> WorkDir:
    return WorkDir(tmp_path)


def has_results(workdir: WorkDir) -> None:
    """A row of metrics, which is worth keeping."""
    append_jsonl(workdir.metrics, {"run": "main", "seed": 0, "epoch": 0, "step": 0})


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*") if path.name != ".lock"}


def test_a_run_that_keeps_its_states_may_have_more_jobs(workdir: WorkDir) -> None:
    workdir.claim(config(True))
    workdir.claim(config(True, jobs=("raw", "across")))
    assert workdir.read_json("config.json")["eval"]["jobs"] == ["raw", "across"]


def test_a_run_without_its_states_may_not(workdir: WorkDir) -> None:
    """The new job's cells could never be scored. Breaks if `eval.jobs` may always differ."""
    workdir.claim(config(False))
    has_results(workdir)
    with pytest.raises(UserError, match=r"belongs to another configuration; it differs in eval\.jobs"):
        workdir.claim(config(False, jobs=("raw", "across")))
    assert workdir.read_json("config.json")["eval"]["jobs"] == ["raw"]


@pytest.mark.parametrize("there", ["sklearn", "jax", "auto"])
def test_a_run_goes_on_with_its_backend(workdir: WorkDir, there: str) -> None:
    """Unless another is asked for, which is refused. Breaks when an older run is resumed with rows of another kind."""
    workdir.claim(config(False, backend=there))
    has_results(workdir)
    workdir.claim(config(False, backend="auto", workers=7))
    assert workdir.read_json("config.json")["eval"] == config(False, backend=there, workers=7)["eval"] | {
        "jobs": ["raw"]
    }
    for other in {"sklearn", "jax"} - {there}:
        with pytest.raises(UserError, match=rf"eval\.backend \(there '{there}', now '{other}'\)"):
            workdir.claim(config(False, backend=other))


def test_without_rows_a_directory_takes_any_backend(workdir: WorkDir) -> None:
    workdir.claim(config(False, backend="sklearn"))
    workdir.claim(config(False, backend="auto"))
    assert workdir.read_json("config.json")["eval"]["backend"] == "auto"


@pytest.mark.parametrize("keep_hidden", [True, False])
def test_what_changes_a_number_is_another_configuration(workdir: WorkDir, keep_hidden: bool) -> None:
    workdir.claim(config(keep_hidden))
    has_results(workdir)
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
    has_results(workdir)
    with pytest.raises(UserError, match=r"differs in eval\.retries \(there 5, now 'unset'\)"):
        workdir.claim(config(False))


def test_a_key_that_an_earlier_version_lacked_counts_as_what_it_did(workdir: WorkDir) -> None:
    workdir.write_json("config.json", config(False))
    has_results(workdir)
    workdir.claim(config(False) | {"data": {"hard_must_leave_expression": False}})
    with pytest.raises(UserError, match=r"hard_must_leave_expression \(there False, now True\)"):
        workdir.claim(config(False) | {"data": {"hard_must_leave_expression": True}})


def test_former_keys_are_no_keys_and_later_ones_are() -> None:
    keys = {key for name in experiments.names() for key in configuration.every_key(name)}
    assert not set(FORMER) & keys
    assert set(LATER) <= keys


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


def half_a_run(workdir: WorkDir, *, results: bool = False) -> None:
    """What a run leaves before its first epoch ends; refused then."""
    with workdir.locked():
        workdir.claim(config(False))
        workdir.update_run(dataset={"0": {"tasks": 3}})
        workdir.dataset(0).mkdir(parents=True, exist_ok=True)
        (workdir.dataset(0) / "tasks.json").write_text("{}")
        (workdir.checkpoints / "main" / "last").mkdir(parents=True)
        if results:
            has_results(workdir)
        raise UserError("refused")


def test_a_refusal_leaves_no_directory_behind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="refused"):
        half_a_run(WorkDir(tmp_path / "runs" / "one"))
    assert not list(tmp_path.iterdir())


def test_a_refusal_leaves_other_files_alone(workdir: WorkDir) -> None:
    """Also a folder that is named as one of ours: without a `config.json` it is the user's."""
    (workdir.root / "dataset").mkdir()
    (workdir.root / "dataset" / "words.txt").write_text("of the user")
    with pytest.raises(UserError, match="refused"):
        half_a_run(workdir)
    assert {path.name for path in workdir.root.iterdir()} == {".lock", "dataset"}
    with workdir.locked():
        workdir.claim(config(False))
    with pytest.raises(UserError, match="belongs to another configuration"):
        workdir.claim(config(False, neighbours=3))
    assert (workdir.root / "dataset" / "words.txt").exists()


def test_data_alone_are_no_claim(workdir: WorkDir) -> None:
    """They are remade in seconds. A refusal of another configuration brings them back; its success replaces them."""
    with workdir.locked():
        workdir.claim(config(False, neighbours=3))
        workdir.dataset(0).mkdir(parents=True)
        (workdir.dataset(0) / "dataset.npz").write_text("three")
    before = contents(workdir.root)
    with pytest.raises(UserError, match="refused"):
        half_a_run(workdir)
    assert contents(workdir.root) == before
    with workdir.locked():
        workdir.claim(config(False))
    assert {path.name for path in contents(workdir.root)} == {"config.json"}


def test_what_is_worth_keeping_is_kept(workdir: WorkDir) -> None:
    with pytest.raises(UserError, match="refused"):
        half_a_run(workdir, results=True)
    with pytest.raises(UserError, match="belongs to another configuration"):
        workdir.claim(config(False, neighbours=3))
    assert workdir.metrics.exists()
    assert workdir.dataset(0).is_dir()


def test_results_without_a_configuration_are_no_runs(workdir: WorkDir) -> None:
    has_results(workdir)
    with pytest.raises(UserError, match=r"holds results, but no config\.json"):
        workdir.claim(config(False))


def test_many_differences_are_not_all_listed(workdir: WorkDir) -> None:
    workdir.claim(config(False) | {f"key_{number}": 0 for number in range(9)})
    has_results(workdir)
    with pytest.raises(UserError, match=r"key_4 \(there 0, now 'unset'\) and 4 more keys: choose"):
        workdir.claim(config(False))


def diverged(workdir: WorkDir) -> None:
    """Two trainings, of which the second diverged after its first epoch."""
    workdir.claim(config(False) | {"finetune": {"rate": 1e9}})
    phases = {"base": {"trained": 0}, "tuned": {"trained": 1, "diverged": "finetune"}, "later": {"trained": 0}}
    workdir.update_run(phases=phases)
    for run, facts in phases.items():
        for epoch in range(facts["trained"] + 1):
            append_jsonl(workdir.metrics, {"run": run, "seed": 0, "epoch": epoch, "step": epoch})
        (workdir.checkpoints / run / "last").mkdir(parents=True)


def test_a_training_that_diverged_begins_again_with_other_keys(workdir: WorkDir) -> None:
    """It and what came after it; what came before it stays. Breaks if any key of any section may then differ."""
    diverged(workdir)
    mended = config(False) | {"finetune": {"rate": 1e-4}}
    with pytest.raises(UserError, match=r"differs in finetune\.rate .*, train\.epochs"):
        workdir.claim(mended | {"train": {"epochs": 9}})
    workdir.claim(mended)
    workdir.begin_again("base", "train", mended)
    assert workdir.read_json("config.json")["finetune"] == {"rate": 1e9}, "it has not begun again yet"
    workdir.begin_again("tuned", "finetune", mended)
    assert workdir.read_json("config.json")["finetune"] == {"rate": 1e-4}
    assert [row["run"] for row in workdir.metrics_rows()] == ["base"]
    assert [path.name for path in workdir.checkpoints.iterdir()] == ["base"]


def test_with_the_same_keys_it_does_not(workdir: WorkDir) -> None:
    diverged(workdir)
    before = contents(workdir.root)
    workdir.begin_again("tuned", "finetune", config(False) | {"finetune": {"rate": 1e9}})
    assert contents(workdir.root) == before


@pytest.mark.parametrize("lost", [0, 1, 2, 3, None])
def test_metrics_that_lack_an_epoch_are_damaged(workdir: WorkDir, lost: int | None) -> None:
    """Two seeds, two epochs, a row for each; or no file. Breaks if the rows alone are asked what should be there."""
    rows = [{"run": "main", "seed": seed, "epoch": epoch, "step": epoch} for epoch in (0, 1) for seed in (0, 1)]
    workdir.update_run(phases={"main": {"best": {"0": {"epoch": 0}, "1": {"epoch": 1}}, "trained": 1}})
    for number, row in enumerate(rows):
        if lost is not None and number != lost:
            append_jsonl(workdir.metrics, row)
    epoch, seed = (0, 0) if lost is None else (rows[lost]["epoch"], rows[lost]["seed"])
    with pytest.raises(UserError, match=rf"metrics\.jsonl is damaged \(it lacks epoch {epoch} of main, seed {seed}\)"):
        workdir.metrics_rows()


def test_rows_beyond_the_last_epoch_written_down_are_fine(workdir: WorkDir) -> None:
    """So a kill leaves it: the rows of an epoch come before what `run.json` says of it, and the last may be cut."""
    workdir.update_run(phases={"main": {"best": {"0": {"epoch": 0}}, "trained": 0}})
    for epoch in (0, 1):
        append_jsonl(workdir.metrics, {"run": "main", "seed": 0, "epoch": epoch, "step": epoch})
    workdir.metrics.write_bytes(workdir.metrics.read_bytes()[:-9])
    assert [row["epoch"] for row in workdir.metrics_rows()] == [0]


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(workdir: WorkDir) -> None:
    """As on a full disk, in the middle of it."""

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    workdir.write_json("run.json", {})
    before = contents(workdir.root)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(workdir.root / "run.json", fail)
    assert contents(workdir.root) == before
