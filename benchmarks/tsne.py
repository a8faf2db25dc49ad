"""t-SNE in three components: ours in jax beside scikit-learn's exact method and its Barnes-Hut tree.

    .venv/bin/python -m benchmarks.tsne [POINTS ...] [--width=N] [--run=DIR] [--repeats=N] [--threads=N]

The points are random, around a mean for each of 50 tasks and 25 inputs; every turn has others. With `--run` they are so
many validation states of a run that keeps them (`eval.keep_hidden`), of a random epoch and a random layer above the
embeddings, where instances coincide and scikit-learn's descents fly apart. On a CPU each side has one thread, as in the
workers that score a run. The divergence of all coordinates is found by scikit-learn's own functions in float64: its
mean over the turns, and the mean logarithm of its ratio to ours with the standard error. ARI is that of KMeans on the
coordinates and the tasks, with as many clusters. The exact method is left out above 400 points.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import command_line, measuring
from benchmarks.command_line import whole
from clusterlm_jax.analysis.cells import QUERIES
from clusterlm_jax.analysis.executors.pool import ONE_THREAD
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.scoring.requests import Coordinates
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.records import UserError

TASKS, INPUTS = 50, 25
POINTS = (180, 315, 1000)  # the splits of the quick run and of the paper's size, and more
MOST_FOR_EXACT = 400
OURS, TREE, EXACT = "jax", "barnes_hut", "exact"


class Source(NamedTuple):
    """Where points come from: a run that keeps its hidden states, or chance."""

    width: int
    run: Path | None

    def points(self, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Points, float32 [instance, width], and their tasks."""
        rng = np.random.default_rng(seed)
        if self.run is None:
            task_N, input_N = (rng.integers(0, values, count) for values in (TASKS, INPUTS))
            mean_TD, mean_SD = (rng.normal(size=(values, self.width)) for values in (TASKS, INPUTS))
            hidden_ND = mean_TD[task_N] + mean_SD[input_N] + rng.normal(size=(count, self.width))
            return hidden_ND.astype(np.float32), task_N
        store = HiddenStore(self.run / "hidden")
        kept = sorted(store.directory.glob(f"main/seed=*/epoch=*/{QUERIES}/[!0]*.npy"))
        if not kept:
            raise UserError(f"{self.run} keeps no hidden states; run it with --config.eval.keep_hidden.")
        path = kept[rng.integers(len(kept))]
        seed, epoch = (int(part.name.split("=")[1]) for part in (path.parents[2], path.parents[1]))
        hidden_ND = store.layer("main", seed, epoch, QUERIES, path.stem)
        task_N = store.labels("main", seed, epoch, QUERIES)["task"]
        if count > len(task_N):
            raise UserError(f"{count} points are asked for; {self.run} has {len(task_N)} validation instances.")
        chosen = np.sort(rng.choice(len(task_N), count, replace=False))
        return hidden_ND[chosen], task_N[chosen]


def side(method: str, count: int, source: Source, into: Path) -> Callable[[], None]:
    """Finds coordinates of other points at every call, and leaves them in a file."""
    spec, turns = AnalysisSpec(), iter(range(1000))
    find = _ours(spec) if method == OURS else partial(_theirs, method, spec)

    def turn() -> None:
        seed = next(turns)
        np.save(into / f"{method}-{seed}.npy", find(source.points(count, seed)[0]))

    return turn


def _ours(spec: AnalysisSpec) -> Callable[[np.ndarray], np.ndarray]:
    from clusterlm_jax.device_analysis.engine import JaxEngine

    return lambda point_ND: JaxEngine(spec).answer([Coordinates(point_ND, 0)])[0].array


def _theirs(method: str, spec: AnalysisSpec, point_ND: np.ndarray) -> np.ndarray:
    from sklearn.manifold import TSNE

    settings = {"perplexity": spec.tsne_perplexity, "max_iter": spec.tsne_iterations, "init": "pca"}
    return TSNE(spec.tsne_components, method=method, random_state=0, **settings).fit_transform(point_ND)


def quality(coordinates: np.ndarray, point_ND: np.ndarray, task_N: np.ndarray) -> tuple[float, float]:
    """The Kullback-Leibler divergence of coordinates, and the adjusted Rand index of their clusters and the tasks."""
    from sklearn.cluster import KMeans
    from sklearn.manifold._t_sne import _joint_probabilities, _kl_divergence
    from sklearn.metrics import adjusted_rand_score, pairwise_distances

    spec = AnalysisSpec()
    near = _joint_probabilities(pairwise_distances(point_ND, squared=True), spec.tsne_perplexity, 0)
    count, components = coordinates.shape
    divergence, _ = _kl_divergence(
        coordinates.astype(np.float64).ravel(), near, components - 1, count, components, count
    )
    tasks = len(np.unique(task_N))
    cluster_N = KMeans(tasks, n_init=spec.kmeans_restarts, random_state=0).fit_predict(coordinates)
    return float(divergence), float(adjusted_rand_score(task_N, cluster_N))


def compare(count: int, source: Source, repeats: int) -> dict[str, measuring.Measured]:
    """One row of the table."""
    methods = [OURS, TREE, EXACT] if count <= MOST_FOR_EXACT else [OURS, TREE]
    with tempfile.TemporaryDirectory() as name:
        into = Path(name)
        measured = measuring.in_turns({m: partial(side, m, count, source, into) for m in methods}, repeats)
        found = {
            method: [
                quality(np.load(into / f"{method}-{seed}.npy"), *source.points(count, seed))
                for seed in range(repeats + 1)  # the first, untimed one too
            ]
            for method in methods
        }
    for method, of in measured.items():
        ratio = of.seconds / measured[OURS].seconds
        divergences, agreements = zip(*found[method], strict=True)
        to_ours = np.log([theirs / ours for theirs, (ours, _) in zip(divergences, found[OURS], strict=True)])
        print(
            f"{count:6} {method:11} {of.seconds:9.3f} {ratio:7.1f}x {statistics.mean(divergences):11.4f} "
            f"{to_ours.mean():+7.3f} ± {to_ours.std(ddof=1) / len(to_ours) ** 0.5:5.3f} "
            f"{statistics.mean(agreements):6.3f}   {measuring.mib(of.host_mib)}, {measuring.mib(of.device_mib)}",
            flush=True,
        )
    return {f"{count} points, {method}": of for method, of in measured.items()}


def measure(counts: Sequence[int], width: int, run: Path | None, repeats: int, threads: int) -> None:
    os.environ |= dict.fromkeys(ONE_THREAD, str(threads))  # the sides are processes that begin with it
    source = Source(width, run)
    for count in counts:
        width = source.points(count, 0)[0].shape[1]  # and whether there are so many
    whose = "random points" if run is None else "hidden states"
    print(
        f"t-SNE in 3 components of {whose} of width {width}, {threads} thread(s) on a CPU; medians of {repeats} turns"
    )
    print("points method        seconds  by ours  divergence  log of it by ours  ARI   peak memory: host, device")
    measured = {}
    for count in counts:
        measured |= compare(count, source, repeats)
    ceilings = measuring.in_turns(measuring.ceilings())
    flops, bytes_ = measuring.ceilings_of(ceilings)
    print(f"the machine: {flops:.0f} GFLOP/s of a matrix product, {bytes_:.1f} GB/s of a copy")
    measuring.tell("tsne", measured | ceilings, width=width, run=run is not None, threads=threads)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser("tsne", __doc__)
    parser.add_argument("counts", nargs="*", type=whole, default=POINTS, metavar="POINTS", help="how many")
    parser.add_argument("--width", type=whole, default=768, metavar="N", help="of random points")
    parser.add_argument("--run", type=Path, metavar="DIR", help="whose hidden states are taken instead")
    parser.add_argument(
        "--repeats", type=whole, default=measuring.REPEATS, metavar="N", help="timed turns of each side"
    )
    parser.add_argument("--threads", type=whole, default=1, metavar="N", help="of each side, on a CPU")
    command_line.run(measure, parser, arguments)


if __name__ == "__main__":
    main()
