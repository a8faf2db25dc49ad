"""Clusters in hidden states of one's own: arrays in, score rows out. The experiment `states` does it for a file."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from clusterlm_jax.analysis.cells import QUERIES, REFERENCE, cells_of, job_of, label_columns
from clusterlm_jax.analysis.evaluator import Evaluator
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.scoring.scorer import Scorer
from clusterlm_jax.analysis.spec import OwnLabelsSpec
from clusterlm_jax.analysis.table import ScoreTable, read_rows
from clusterlm_jax.records import JOBS, Cell, HiddenStates, ScoreRow, UserError, subset

RUN = "main"  # the name of the run in the rows
# Names of labels and layers become names of files, and of arrays in files.
NAME = re.compile(r"\w[\w .-]*")
RESERVED = ("file", "allow_pickle", "coordinates_N3")  # arguments of `numpy.savez`, and an array beside the labels
Hidden = np.ndarray | Mapping[str, ArrayLike]


def cluster_layers(
    hidden_LND: Hidden,
    labels: Mapping[str, ArrayLike],
    *,
    train: ArrayLike | None = None,
    jobs: Sequence[str] = JOBS,
    random_state: int = 0,
    n_jobs: int = 1,
    progress: bool = True,
    embeddings: str | Path | None = None,
    **settings: Any,
) -> list[ScoreRow]:
    """Clusters every layer and scores the clusters by every label, with null baselines and the other instruments.

    A label may have any name. It is compared with KMeans clusters of the states (job `raw`) and of their t-SNE
    (`tsne`), with the groups of a Ward tree (`tree`) and with distances (`geometry`); shuffled, it is a null baseline.
    Five names have a meaning, and switch on what needs them:

    - `task`: what the states should cluster by. The nearest training instances should share it (`knn`, with `train`).
    - `distribution`: a finer group, such as the template that worded an instruction. Neighbours from other groups
      (`across`), a linear probe on groups it has not seen (`probe`, with `train`), and a null: whole groups shuffled.
    - `input`: what the token itself says. Clusters inside each input (`within_input`), clusters of the states without
      their input's mean (`residual`), and neighbours with the same and with another input (`across`).
    - `output`: the answer. The nearest training instances predict it too (`knn`).
    - `mapping`: an input and its output. With `distribution` it gives the label `distribution_mapping`.

    Args:
      hidden_LND: the states, [layer, instance, width]; or, as from `capture`, [instance, width] by the layer's name.
      labels: [instance] by the name of the label: integers, strings or booleans.
      train: bool [instance], the training set. The others are then scored, beside it. None scores all instances.
      jobs: what to do, of `records.JOBS`. All of them, the default, means all that the labels allow.
      random_state: the seed of KMeans, t-SNE and the nulls. The same seed gives the same rows, whatever `n_jobs` is.
      n_jobs: the number of processes; 1 is this one, -1 one for each core.
      progress: whether to show a progress bar.
      embeddings: a directory for the t-SNE coordinates, a file each; None keeps none.
      **settings: of `analysis.spec.AnalysisSpec`, such as `tsne_perplexity` or `null_draws`. Here `backend` is
        "sklearn" unless told otherwise; "auto" finds t-SNE faster, in another process or on an accelerator.

    Returns:
      A row for each number: its layer, label, reducer, score and value, and the other columns of `scores.csv`.
      `pandas.DataFrame(rows)` makes a table of them.

    Raises:
      UserError: the arrays do not fit together, or a setting is not allowed.

    Example:
      >>> import numpy as np
      >>> from clusterlm_jax import cluster_layers
      >>> language = np.repeat(["French", "English", "Spanish"], 40)
      >>> hidden_LND = np.random.default_rng(0).normal(size=(2, 120, 8))
      >>> hidden_LND[1, :, 0] += 20 * (language == "English") - 20 * (language == "French")
      >>> rows = cluster_layers(hidden_LND, {"language": language}, jobs=("raw", "geometry"), progress=False)
      >>> {row.layer: round(row.value, 2) for row in rows if (row.label, row.score) == ("language", "f1")}
      {'0': 0.35, '1': 1.0}
    """
    if n_jobs < 1 and n_jobs != -1:
        raise UserError(f"n_jobs is {n_jobs}; allowed is a number of processes, or -1 for one on each core.")
    try:
        settings = {"backend": "sklearn"} | settings
        spec = OwnLabelsSpec(jobs=tuple(jobs), workers=max(n_jobs, 0), keep_hidden=True, **settings)
    except TypeError as error:  # a setting that there is not, or that is an argument of its own
        raise UserError(f"cluster_layers does not take such settings: {error}.") from error
    own = arrange(hidden_LND, labels, train, spec, random_state)
    coordinates = None if embeddings is None else Path(embeddings)
    if n_jobs == 1 and spec.backend == "sklearn":  # jax needs a process of its own: this one may give it more threads
        return _in_this_process(own, coordinates, progress)
    with tempfile.TemporaryDirectory(prefix="clusterlm_jax-") as directory:
        return _in_workers(own, Path(directory), coordinates, progress)


class OwnStates(NamedTuple):
    """States of one's own, ready to be scored.

    Attributes:
      spec: the settings, with the labels and the jobs that there are.
      splits: the training set, and what is held out of it if something is. The last one is scored.
      names: the names behind the numbers of each label.
    """

    spec: OwnLabelsSpec
    splits: tuple[HiddenStates, ...]
    names: Mapping[str, tuple[str, ...]]

    @property
    def cells(self) -> list[Cell]:
        scored = self.splits[-1]
        return cells_of_own(self.spec, scored.seed, scored.split, scored.layers)


def cells_of_own(spec: OwnLabelsSpec, seed: int, split: str, layers: Sequence[str]) -> list[Cell]:
    """What there is to score."""
    return cells_of(RUN, seed, 0, 0, (split,), layers, spec)


def arrange(
    hidden: Hidden, labels: Mapping[str, ArrayLike], train: ArrayLike | None, spec: OwnLabelsSpec, seed: int
) -> OwnStates:
    """Checks states and labels, numbers the values of the labels, and divides the instances by `train`.

    Raises:
      UserError: naming what does not fit.
    """
    hidden_LND, layers = _stacked(hidden)
    instances = hidden_LND.shape[1]
    columns, names = _numbered(labels, instances)
    held_out = None if train is None else _held_out(train, instances)
    known = columns.get("input")
    unseen = held_out is not None and known is not None and not np.isin(known[held_out], known[~held_out]).all()
    settled = spec.settled(tuple(label_columns(columns)), held_out is not None, unseen)
    if held_out is None:
        return OwnStates(settled, (HiddenStates(hidden_LND, layers, columns, RUN, seed, 0, 0, REFERENCE),), names)
    splits = tuple(
        HiddenStates(hidden_LND[:, chosen], layers, subset(columns, chosen), RUN, seed, 0, 0, split)
        for split, chosen in ((REFERENCE, ~held_out), (QUERIES, held_out))
    )
    return OwnStates(settled, splits, names)


def _stacked(hidden: Hidden) -> tuple[np.ndarray, tuple[str, ...]]:
    """The states, float32 [layer, instance, width], and the names of the layers: their numbers, unless given."""
    by_name = hidden if isinstance(hidden, Mapping) else {str(layer): state for layer, state in enumerate(hidden)}
    _check_names("layer", by_name)
    states = {}
    for name, given in by_name.items():
        try:
            states[name] = np.asarray(given).astype(np.float32, copy=False)
            unfit = np.iscomplexobj(given) or not np.isfinite(states[name]).all()
        except (TypeError, ValueError):
            unfit = True
        if unfit:
            raise UserError(f"The states of layer {name!r} are not all finite numbers (as float32).")
    shapes = sorted({state.shape for state in states.values()})
    if len(shapes) != 1 or len(shapes[0]) != 2 or 0 in shapes[0]:
        raise UserError(f"The layers have the shapes {shapes}; it must be one [instance, width] for all of them.")
    return np.stack([*states.values()]), tuple(states)


def _numbered(
    labels: Mapping[str, ArrayLike], instances: int
) -> tuple[dict[str, np.ndarray], dict[str, tuple[str, ...]]]:
    """The values of each label as numbers from 0, int32 [instance], and their names."""
    _check_names("label", labels)
    columns, names = {}, {}
    for label, given in labels.items():
        value_N = np.asarray(given)
        if value_N.shape != (instances,) or value_N.dtype.kind not in "iubUSO":
            raise UserError(
                f"The label {label!r} has the shape {value_N.shape} and the type {value_N.dtype}; it must have an "
                f"integer, a string or a boolean for each of the {instances} instances."
            )
        if value_N.dtype.kind in "SO":
            value_N = np.array([value.decode() if isinstance(value, bytes) else str(value) for value in value_N])
        known, code_N = np.unique(value_N, return_inverse=True)
        columns[label], names[label] = code_N.astype(np.int32), tuple(map(str, known.tolist()))
    return columns, names


def _check_names(kind: str, names: Iterable[str]) -> None:
    names = list(names)
    if not names:
        raise UserError(f"There is no {kind}; at least one is needed.")
    for name in names:
        if not NAME.fullmatch(name) or name in RESERVED or name.startswith(("shuffled_", "regrouped_")):
            raise UserError(
                f"A {kind} has the name {name!r}; a name is of letters, digits, spaces and any of _.- but none of "
                f"{', '.join(RESERVED)}, and does not begin as those of the nulls do, with shuffled_ or regrouped_."
            )


def _held_out(train: ArrayLike, instances: int) -> np.ndarray:
    train_N = np.asarray(train)
    if train_N.shape != (instances,) or train_N.dtype != bool or train_N.all() or not train_N.any():
        raise UserError(f"train must be {instances} booleans, some of them true and some false.")
    return ~train_N


class _Reader:
    """The hidden states of this process. Implements `records.HiddenReader`."""

    def __init__(self, splits: Sequence[HiddenStates]) -> None:
        self._splits = {states.split: states for states in splits}

    def layer(self, run: str, seed: int, epoch: int, split: str, layer: str) -> np.ndarray:
        states = self._splits[split]
        return states.hidden_LND[states.layers.index(layer)]

    def labels(self, run: str, seed: int, epoch: int, split: str) -> Mapping[str, np.ndarray]:
        return self._splits[split].labels


def _in_this_process(own: OwnStates, embeddings: Path | None, progress: bool) -> list[ScoreRow]:
    scorer = Scorer(own.spec, embeddings)
    # On one thread, as in the workers: KMeans and t-SNE are reproducible only there.
    with threadpool_limits(1), tqdm(own.cells, unit="cell", desc="analyse", disable=not progress) as cells:
        return [row for _, rows in scorer.score(cells, _Reader(own.splits)) for row in rows]


def _in_workers(own: OwnStates, directory: Path, embeddings: Path | None, progress: bool) -> list[ScoreRow]:
    """As in this process, also in the order of the rows; workers read the states from files."""
    store, scores = HiddenStore(directory / "hidden", owner=True), directory / "scores.csv"
    for states in own.splits:
        store.save(states)
    table = ScoreTable(scores, own.spec)
    with Evaluator(own.spec, table, store, embeddings) as evaluator:
        evaluator.submit(own.cells)
        with tqdm(total=len(own.cells), unit="cell", desc="analyse", disable=not progress) as bar:
            evaluator.drain(lambda finished: bar.update(finished - bar.n))
    order = {(cell.layer, cell.job): place for place, cell in enumerate(own.cells)}
    return sorted(read_rows(scores), key=lambda row: order[row.layer, job_of(row.reducer, row.score)])
