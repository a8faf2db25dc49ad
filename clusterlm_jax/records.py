"""What crosses the stages of an experiment: data in, hidden states across, score rows out.

numpy only: every room imports this file, and the worker processes of the analysis never load jax.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

PADDING = 0
SPLITS = ("training_subset", "validation")
FINAL_NORM = "final_norm"


class UserError(Exception):
    """Something a person can put right; shown as one sentence, without a traceback."""


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Token ids: 0 is padding, then the instruction symbols, then the task symbols, then one spare (SPEC 2).

    Where tasks are to be named (4.1), a trigger, which asks for the name, and the task identities follow.
    """

    instruction_symbols: int
    task_symbols: int
    task_identities: int = 0

    @property
    def size(self) -> int:
        named = 1 + self.task_identities if self.task_identities else 0
        return self.instruction_symbols + self.task_symbols + 2 + named

    @property
    def trigger(self) -> int:
        return self.instruction_symbols + self.task_symbols + 2

    def instruction_token(self, symbol: np.ndarray | int) -> np.ndarray | int:
        return symbol + 1

    def task_token(self, symbol: np.ndarray | int) -> np.ndarray | int:
        return symbol + 1 + self.instruction_symbols

    def identity_token(self, task: np.ndarray | int) -> np.ndarray | int:
        return self.trigger + 1 + task


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Instances `[instruction symbols..., input, output]` in columns, with the identities the model never sees.

    Attributes:
      vocabulary: how token ids are laid out.
      tokens_NT: int32 [instance, longest], right-padded with `PADDING`.
      length_N: int32, symbols of an instance, input and output included.
      labels: int32 columns by name: `task`, `distribution`, `mapping`, `instruction`, `input`, `output`
        (token ids for the last two), and `original`: the task an altered instruction was made from, else -1. With
        source and target tasks (F.1) also `target`: of a source task, its target, else -1.
      splits: instance indices by name: `training`, `training_subset` (part of `training`), `validation`.
      expressions: the regular expression of each distribution.
    """

    vocabulary: Vocabulary
    tokens_NT: np.ndarray
    length_N: np.ndarray
    labels: Mapping[str, np.ndarray]
    splits: Mapping[str, np.ndarray]
    expressions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.length_N)

    def columns(self, index: np.ndarray) -> dict[str, np.ndarray]:
        """Labels of the instances `index`, and `position`: the index of the input token in its sequence."""
        return subset({**self.labels, "position": (self.length_N - 2).astype(np.int32)}, index)


@dataclasses.dataclass(frozen=True)
class Prompts:
    """Instructions in natural language with their inputs, and the identities the model never sees (paper 3.4).

    Attributes:
      texts: one for each instance: a wording of the task, a space, the input.
      labels: int32 [instance] columns by name: `task` (the category), `distribution` (the task of table 10, which its
        wordings come from), `mapping`, `instruction` (the wording), `input`, `output` (words, numbered).
      names: what the numbers of `task`, `distribution`, `mapping`, `input` and `output` stand for.
    """

    texts: tuple[str, ...]
    labels: Mapping[str, np.ndarray]
    names: Mapping[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.texts)


@dataclasses.dataclass(frozen=True)
class Batch:
    """Instances packed into rows of one length; attention stays inside an instance.

    Several instances share a row so that almost no work goes into padding. Instances of one instruction may also share
    its symbols: each input then is a *branch*, which sees the common prefix (branch 0) and itself. Output tokens are
    targets only and stand in no row.

    Attributes:
      tokens_RT: int32 token ids.
      position_RT: int32, 0 at the first symbol of an instance.
      segment_RT: int32, which instance (or shared instruction) a token belongs to; 0 marks padding.
      branch_RT: int32, 0 for a symbol of an instruction, else the number of the input inside its segment.
      weight_RT: int32, for a symbol of an instruction how many instances share it, else 0.
      row_N, column_N: int32, where the *input token* of each instance sits; -1 for an instance that is not there.
      prefix_N: int32, the column of the last symbol of the instruction, which predicts the input.
      output_N: int32, the output token of each instance.
    """

    tokens_RT: np.ndarray
    position_RT: np.ndarray
    segment_RT: np.ndarray
    branch_RT: np.ndarray
    weight_RT: np.ndarray
    row_N: np.ndarray
    column_N: np.ndarray
    prefix_N: np.ndarray
    output_N: np.ndarray


def layer_names(blocks: int) -> tuple[str, ...]:
    """Names of the states of a model: `0` the input word's embedding, `i` after block i, then `final_norm`."""
    return (*(str(index) for index in range(blocks + 1)), FINAL_NORM)


@dataclasses.dataclass(frozen=True)
class HiddenStates:
    """Hidden states of the input token, dropout-free (paper 3.2).

    Attributes:
      hidden_LND: float32 [layer, instance, width]; the layers are named by `layers`.
      labels: int32 [instance] columns by name, as `Dataset.columns` gives them.
      run, seed, epoch, step, split: where the states come from; `split` may also be `training`, the kNN reference.
    """

    hidden_LND: np.ndarray
    layers: tuple[str, ...]
    labels: Mapping[str, np.ndarray]
    run: str
    seed: int
    epoch: int
    step: int
    split: str


INSTRUMENTS = (
    "across",
    "probe",
    "geometry",
    "tree",
    "within_input",
)  # ours; none is told how many tasks there are in all
JOBS = ("raw", "tsne", "knn", "residual", *INSTRUMENTS)


@dataclasses.dataclass(frozen=True, order=True)
class Cell:
    """The unit of analysis: independent, named, idempotent. Its job is one of `JOBS`."""

    run: str
    seed: int
    epoch: int
    step: int
    split: str
    layer: str
    job: str

    @property
    def name(self) -> str:
        return f"{self.run}/seed={self.seed}/epoch={self.epoch}/{self.split}/layer={self.layer}/{self.job}"


@dataclasses.dataclass(frozen=True, slots=True)
class ScoreRow:
    """One number of the analysis, tidy: the columns of `scores.csv`."""

    run: str
    seed: int
    epoch: int
    step: int
    split: str
    layer: str
    label: str
    reducer: str
    score: str
    value: float


class HiddenReader(Protocol):
    """Hidden states at rest, one layer at a time."""

    def layer(self, run: str, seed: int, epoch: int, split: str, layer: str) -> np.ndarray:
        """float32 [instance, width]."""

    def labels(self, run: str, seed: int, epoch: int, split: str) -> Mapping[str, np.ndarray]:
        """int32 [instance] columns by name."""


class AnalysisBackend(Protocol):
    """The one interface of an analysis backend: cells in, the rows of each cell out, in any order."""

    def score(self, cells: Sequence[Cell], states: HiddenReader) -> Iterator[tuple[Cell, tuple[ScoreRow, ...]]]: ...


def write_atomically(path: Path, write) -> None:
    """Calls `write(temporary_path)`, then renames: a reader finds the old file, the new one, or none."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    write(temporary)
    temporary.replace(path)


def subset(columns: Mapping[str, np.ndarray], index: np.ndarray | Iterable[int]) -> dict[str, np.ndarray]:
    """The rows `index` of every column."""
    return {name: column[index] for name, column in columns.items()}
