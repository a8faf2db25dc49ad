"""How hidden states are analysed (paper tables 5, 6, 7)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from clusterlm_jax.records import JOBS, UserError, check_bounds

LABELS = ("task", "distribution", "distribution_mapping", "mapping", "input", "output")
VALIDATION_ONLY = ("knn", "probe")  # jobs that compare the validation instances with the whole training set
# What a job asks about, beside the labels to score. `task` is what states should cluster by, `distribution` a finer
# group (how a task was worded), `input` what the read-out token itself says.
NEEDS = {
    "knn": ("task",),
    "residual": ("input",),
    "across": ("task", "distribution"),
    "probe": ("task", "distribution"),
    "within_input": ("task", "input"),
}
# `eval.backend` -> its engine (`analysis.scoring.requests.Engine`). It is imported where cells are scored; a name is
# enough here, so that a configuration is checked without loading scikit-learn or jax.
BACKENDS = {
    "sklearn": "clusterlm_jax.analysis.scoring.scikit.SklearnEngine",
    "jax": "clusterlm_jax.device_analysis.engine.JaxEngine",
    "auto": "clusterlm_jax.device_analysis.auto.AutoEngine",
}


@dataclasses.dataclass(frozen=True)
class AnalysisSpec:
    """The settings of tables 5 to 7, what these leave open, and where the work is done."""

    every: int = 1  # epochs between two analyses; epoch 0 and the last one are always analysed
    labels: tuple[str, ...] = LABELS  # what clusters are compared with; the first three are the paper's
    jobs: tuple[str, ...] = JOBS  # KMeans on states and on their t-SNE, neighbours, and measures of ours
    tsne_components: int = 3  # dimensions that t-SNE projects to (table 5)
    tsne_perplexity: float = 10.0  # about how many neighbours of a state t-SNE keeps near it (table 5)
    tsne_iterations: int = 2000  # of the optimisation (table 5)
    kmeans_restarts: int = 10  # starts of KMeans, of which the best counts; not in the paper
    kmeans_iterations: int = 300  # of one start of KMeans, at most (table 6)
    neighbours: int = 10  # of the k-nearest-neighbours classifier (table 7)
    null_draws: int = 10  # draws of a null label; its score is their mean. 0: no null labels
    keep_hidden: bool = False  # whether hidden states stay on disk after they are scored
    backend: str = "auto"  # what clusters; auto takes the faster one: jax on an accelerator, on a CPU by measurement
    workers: int = 0  # processes, each on one thread and of lower priority than the training; 0: one for each core
    scheduler: str = ""  # of a Dask cluster that scores, such as tcp://HOST:8786; without one this machine does
    cell_minutes: float = 60.0  # a worker that takes longer for a cell hangs: it is ended, and the cell begun again
    queue: int = 256  # waiting cells above which the training waits; their hidden states take disk space

    def __post_init__(self) -> None:
        check_bounds("eval", self, every=(1, 100_000), workers=(0, 10_000), queue=(1, 10_000_000))
        check_bounds("eval", self, tsne_components=(2, 1000), tsne_iterations=(250, 1_000_000))
        check_bounds("eval", self, kmeans_restarts=(1, 10_000), kmeans_iterations=(1, 1_000_000))
        check_bounds("eval", self, neighbours=(1, 10_000_000), null_draws=(0, 10_000))
        check_bounds("eval", self, cell_minutes=(0.01, 100_000))
        if not self.tsne_perplexity > 0:
            raise UserError(f"eval.tsne_perplexity is {self.tsne_perplexity}; it must be above 0.")
        for name, given, allowed in (
            ("labels", self.labels, self._allowed_labels()),
            ("jobs", self.jobs, JOBS),
            ("backend", (self.backend,), BACKENDS),
        ):
            if (allowed and not given) or not set(given) <= set(allowed) or len(given) > len(set(given)):
                raise UserError(f"eval.{name} is {getattr(self, name)!r}; allowed: {', '.join(allowed)}, each once.")

    def _allowed_labels(self) -> tuple[str, ...]:
        return LABELS

    @property
    def columns(self) -> tuple[str, ...]:
        """The label columns that the states come with. Those of `labels` are scored."""
        return (*LABELS, "position")

    @property
    def shuffled(self) -> tuple[str, ...]:
        """The scored labels that are also scored shuffled, as a null."""
        return tuple(label for label in ("task", "distribution", "distribution_mapping") if label in self.labels)


@dataclasses.dataclass(frozen=True)
class OwnLabelsSpec(AnalysisSpec):
    """The analysis of states whose labels have any names. Some names have a meaning: `NEEDS` says for which jobs."""

    labels: tuple[str, ...] = ()  # empty: every label that the states come with

    def _allowed_labels(self) -> tuple[str, ...]:
        return self.labels

    @property
    def columns(self) -> tuple[str, ...]:
        return self.labels

    @property
    def shuffled(self) -> tuple[str, ...]:
        return self.labels

    def settled(self, labels: Sequence[str], held_out: bool, unseen_inputs: bool) -> OwnLabelsSpec:
        """These settings for states that come with `labels`, without the jobs that lack something.

        Args:
          held_out: whether some states are held out of the training set.
          unseen_inputs: whether some of these have an `input` that no state of the training set has.

        Raises:
          UserError: there is no such label, or a job that was asked for by its name lacks something.
        """
        if not set(self.labels) <= set(labels):
            raise UserError(f"eval.labels is {self.labels!r}; the states come with: {', '.join(labels)}.")
        scored = self.labels or tuple(labels)
        possible = []
        for job in self.jobs:
            lacking = [f"the label {label!r}" for label in NEEDS.get(job, ()) if label not in scored]
            lacking += ["states that are held out of the training set"] * (job in VALIDATION_ONLY and not held_out)
            lacking += ["every input in the training set"] * (job == "residual" and unseen_inputs)
            if not lacking:
                possible.append(job)
            elif self.jobs != JOBS:  # all of them, the default, means all that are possible
                raise UserError(f"eval.jobs has {job!r}, which needs {' and '.join(lacking)}.")
        return dataclasses.replace(self, labels=scored, jobs=tuple(possible))
