"""A training in a work directory, without its model: what is checked before it, what a divergence leaves, the bar."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from tqdm import tqdm

from clusterlm_jax import config
from clusterlm_jax.experiments import phases, stages
from clusterlm_jax.experiments.emergence import page
from clusterlm_jax.models import placement
from clusterlm_jax.records import UserError
from clusterlm_jax.training.devices import Devices
from clusterlm_jax.training.loop import EpochEnd, NotANumber, SeedEnd
from clusterlm_jax.training.phase import Phase
from clusterlm_jax.training.state import TrainState
from clusterlm_jax.workdir import WorkDir
from tests.command_line import SMALL

TOO_FAST = 1.0  # the learning rate from which on the second epoch diverges


class Stub:
    """In place of the trainer: a single parameter, which counts the epochs."""

    def __init__(self, phase: Phase) -> None:
        self.phase, self.batches_by_seed = phase, {}
        self.template, self.devices = states(phase), Devices(placement.mesh_over(jax.devices()))

    def epochs(self, state: TrainState | None, done: int) -> Iterator[EpochEnd]:
        for epoch in range(done + 1, self.phase.spec.epochs + 1):
            if epoch == 2 and self.phase.spec.learning_rate >= TOO_FAST:
                raise NotANumber(f"lower {self.phase.spec.section}.learning_rate")
            ends = [SeedEnd(seed, epoch, {"validation_accuracy": epoch / 10}, ()) for seed in self.phase.seeds]
            yield EpochEnd(epoch, states(self.phase, epoch), tuple(ends))


def states(phase: Phase, epoch: int = 0) -> TrainState:
    """Stacked over the seeds, as the trainer's."""
    count_Z = jnp.full(len(phase.seeds), epoch)
    return TrainState(count_Z, {"epochs": count_Z.astype(jnp.float32)}, ())


@pytest.fixture(autouse=True)
def stubs(monkeypatch) -> None:
    monkeypatch.setattr(phases, "Trainer", Stub)
    monkeypatch.setattr(phases, "initial_states", states)
    monkeypatch.setattr(page, "write", lambda workdir, spec: workdir)


@pytest.fixture
def workdir(tmp_path) -> WorkDir:
    return WorkDir(tmp_path / "run")


def train(workdir: WorkDir, experiment: str = "emergence", **keys: Any) -> None:
    raw = config.default(experiment)
    sections = {"data", "model", "report"} | ({"train"} if experiment == "emergence" else set())
    small = {key: value for key, value in SMALL.items() if key.partition(".")[0] in sections}
    changed = {key.replace("__", "."): value for key, value in keys.items()}
    raw.update_from_flattened_dict(small | {"stages": ("data", "train"), "seeds": (0,)} | changed)
    stages.run(config.build(raw), workdir)


def test_a_training_that_diverged_begins_again_with_the_learning_rate_it_asks_for(workdir):
    """The sentence says so. Breaks if the directory is refused, or if epochs of the other learning rate stay."""
    with pytest.raises(NotANumber):
        train(workdir, train__learning_rate=2.0)
    assert [row["epoch"] for row in workdir.metrics_rows()] == [0, 1]
    with pytest.raises(NotANumber):  # with the same keys it goes on where it was
        train(workdir, train__learning_rate=2.0)
    assert [row["epoch"] for row in workdir.metrics_rows()] == [0, 1]
    train(workdir, train__learning_rate=0.1, train__epochs=4)
    assert [row["epoch"] for row in workdir.metrics_rows()] == [0, 1, 2, 3, 4]
    assert workdir.read_json("config.json")["train"]["learning_rate"] == 0.1
    assert workdir.read_json("run.json")["phases"]["main"]["best"]["0"]["epoch"] == 4
    with pytest.raises(UserError, match=r"belongs to another configuration; it differs in train\.learning_rate"):
        train(workdir, train__learning_rate=0.01, train__epochs=4)


def test_other_keys_may_not_change_with_it(workdir):
    with pytest.raises(NotANumber):
        train(workdir, train__learning_rate=2.0)
    with pytest.raises(UserError, match=r"differs in model\.layers"):
        train(workdir, train__learning_rate=0.1, model__layers=1)


@pytest.mark.parametrize("share", [None, 0, 0.5, 0.99])
def test_a_finished_run_without_its_metrics_is_refused(workdir, share):
    """Missing, empty or cut. Breaks if it ends as if nothing was trained; the file stays as it is."""
    train(workdir)
    whole = workdir.metrics.read_bytes()
    workdir.metrics.unlink()
    if share is not None:
        workdir.metrics.write_bytes(whole[: int(share * len(whole))])
    left = workdir.metrics.read_bytes() if share is not None else None
    with pytest.raises(UserError, match=r"metrics\.jsonl is damaged \(it lacks epoch"):
        train(workdir)
    assert (workdir.metrics.read_bytes() if workdir.metrics.exists() else None) == left


def test_a_finished_run_without_its_facts_writes_them_down_again(workdir):
    train(workdir)
    before = workdir.read_json("run.json")
    (workdir.root / "run.json").unlink()
    train(workdir)
    assert workdir.read_json("run.json") == before


@pytest.mark.parametrize(
    ("experiment", "keys", "sentence"),
    [
        ("emergence", {"train.batch_size": 200}, "train.batch_size is 200, but there are at most 192 instances"),
        ("emergence", {"eval.neighbours": 193}, "eval.neighbours is 193; there are too few training instances"),
        ("emergence", {"eval.tsne_perplexity": 30.0}, "eval.tsne_perplexity is 30.0; there are too few instances"),
        ("pretraining", {"pretrain.batch_size": 70}, "pretrain.batch_size is 70, but there are at most 64 instances"),
        ("pretraining", {"train.batch_size": 200}, "train.batch_size is 200, but there are at most 192 instances"),
        ("alignment", {"finetune.batch_size": 33}, "finetune.batch_size is 33, but there are at most"),
    ],
)
def test_what_the_data_are_too_few_for_is_refused_before_any_training(workdir, experiment, keys, sentence, monkeypatch):
    """The numbers are below what data of these settings can have, so only the data themselves tell."""
    monkeypatch.setattr(phases, "Trainer", None)
    if experiment == "alignment":
        keys |= {"data.hard_tasks": 0, "data.source_target_pairs": 1, "data.task_vocabulary_size": 20}
    with pytest.raises(UserError, match=sentence):
        train(workdir, experiment, **keys)
    assert not workdir.root.exists()


METRICS = {"training_loss": 1.25, "training_subset_accuracy": 0.5, "validation_accuracy": 0.375}


def shown(monkeypatch: pytest.MonkeyPatch, *metrics: dict[str, float], evaluator: Any = None) -> str:
    """The words on the bar at the end of an epoch, with these metrics of each seed."""
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    with tqdm(total=3) as bar:
        seeds = tuple(SimpleNamespace(metrics=each) for each in metrics)
        phases._show(bar, SimpleNamespace(epoch=2, seeds=seeds), evaluator)
        assert bar.n == 2
        return bar.postfix


def test_accuracies_are_named_as_accuracies(monkeypatch):
    assert shown(monkeypatch, METRICS) == (
        "training loss=1.250, training subset accuracy=0.500, validation accuracy=0.375"
    )


def test_seeds_stand_side_by_side_and_cells_at_the_end(monkeypatch):
    other = METRICS | {"validation_accuracy": 0.25}
    words = shown(monkeypatch, METRICS, other, evaluator=SimpleNamespace(finished=3, queued=9))
    assert words.endswith("validation accuracy=0.375 0.250, cells=3/9")


def test_without_hard_examples_there_is_no_subset(monkeypatch):
    metrics = {key: value for key, value in METRICS.items() if "subset" not in key}
    assert shown(monkeypatch, metrics) == "training loss=1.250, validation accuracy=0.375"
