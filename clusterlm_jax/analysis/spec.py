"""How hidden states are analysed (paper tables 5, 6, 7)."""

from __future__ import annotations

import dataclasses

from clusterlm_jax.records import JOBS, UserError, check_bounds

LABELS = ("task", "distribution", "distribution_mapping", "mapping", "input", "output")
# What scores the cells: `eval.backend` -> a class (`records.AnalysisBackend`). The worker imports the class; a name
# is enough here, so that a configuration is checked without loading scikit-learn.
BACKENDS = {"sklearn": "clusterlm_jax.analysis.cells.SklearnBackend"}


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
    backend: str = "sklearn"  # the class that scores cells, by its name in BACKENDS
    workers: int = 0  # processes, each on one thread and of lower priority than the training; 0: one for each core
    queue: int = 256  # waiting cells above which the training waits; their hidden states take disk space

    def __post_init__(self) -> None:
        check_bounds("eval", self, every=(1, 100_000), workers=(0, 10_000), queue=(1, 10_000_000))
        check_bounds("eval", self, tsne_components=(2, 1000), tsne_iterations=(250, 1_000_000))
        check_bounds("eval", self, kmeans_restarts=(1, 10_000), kmeans_iterations=(1, 1_000_000))
        check_bounds("eval", self, neighbours=(1, 10_000_000), null_draws=(0, 10_000))
        if not self.tsne_perplexity > 0:
            raise UserError(f"eval.tsne_perplexity is {self.tsne_perplexity}; it must be above 0.")
        for name, given, allowed in (
            ("labels", self.labels, LABELS),
            ("jobs", self.jobs, JOBS),
            ("backend", (self.backend,), BACKENDS),
        ):
            if not given or not set(given) <= set(allowed) or len(given) > len(set(given)):
                raise UserError(f"eval.{name} is {getattr(self, name)!r}; allowed: {', '.join(allowed)}, each once.")
