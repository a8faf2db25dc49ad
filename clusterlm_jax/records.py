"""The records that pass between the stages of an experiment: data, hidden states, score rows.

This file imports numpy and nothing heavier. Every package imports it, also the worker processes of the analysis, which
must not load jax.

Letters of a shape stand at the end of an array's name: `hidden_LND` is [layer, instance, width]. A letter has one
meaning in the whole package; a digit is an axis of that many entries.

  A  query head, among those of one key-value head   N  instance
  B  prompt of a batch, one in each row              P  place among the nearest neighbours
  C  class: a value of a label                       Q  query instance, whose neighbours are searched
  D  number of a hidden state: its width             R  row of a batch, shared by several instances
  E  epoch                                           S  step of an epoch, or of a pass
  F  output feature: the feed-forward width          T  position of a token
  G  group of instances with one label               U  unit drawn into a batch (`train.batch_unit`)
  H  attention head                                  V  entry of a vocabulary
  I  key-value head, shared by query heads           W  number of an attention head: its width
  J  pair of numbers that rotate together            X  hard example
  K  cluster, or its centroid                        Z  seed
  L  layer                                           Y  run of a grid
  M  instance of a second set (a reference, or derived) O  factor of a grid
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

PADDING = 0
SPLITS = ("training_subset", "validation")
FINAL_NORM = "final_norm"


class UserError(Exception):
    """A problem that the user can fix. It is shown as one sentence, without a traceback."""


def check_local(name: str, value: object) -> None:
    """Refuses the URL of something remote (`gs://`, `s3://`...) where a path is asked for.

    A run locks its directory, appends to its files and renames them; no bucket does all three.

    Raises:
      UserError: naming what was given, and what to do.
    """
    if isinstance(value, str) and re.match(r"[A-Za-z][\w+.-]*://", value):
        raise UserError(
            f"{name} is {value!r}; it must be on a disk of this machine: copy what is remote there, and results back "
            "(gcloud storage rsync, aws s3 sync)."
        )


def check_bounds(section: str, spec: object, **bounds: tuple[float, float]) -> None:
    """Refuses numbers of a spec outside their bounds, which are themselves allowed.

    The upper bounds are far above any use: a slip of the keyboard is told at once, and not by a full memory later.
    """
    for name, (least, most) in bounds.items():
        value = getattr(spec, name)
        if not least <= value <= most:
            allowed = f"at least {least:,}" if value < least else f"at most {most:,}"
            raise UserError(f"{section}.{name} is {value}; it must be {allowed}.")


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The layout of token ids: 0 is padding, then come the instruction symbols, the task symbols, and one spare.

    With the paper's 35 and 25 symbols these are 62 tokens.

    For pre-training on task identities (4.1), a trigger follows, which asks for the identity, and then the identities.
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
class Instances:
    """Sequences `[instruction symbols..., input, output]` in columns, with identities that the model never sees.

    Attributes:
      tokens_NT: int32 [instance, longest], right-padded with `PADDING`.
      length_N: int32, number of symbols of an instance, including input and output.
      labels: int32 columns by name: `task`, `distribution`, `mapping`, `instruction`, `input`, and `output` (the
        token). Instances of one `instruction` have the same symbols before the input.
      splits: instance indices by name: at least `training` and `validation`.
    """

    tokens_NT: np.ndarray
    length_N: np.ndarray
    labels: Mapping[str, np.ndarray]
    splits: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.length_N)

    def columns(self, index: np.ndarray) -> dict[str, np.ndarray]:
        """Labels of the instances `index`, and `position`: the place of the input token in its sequence."""
        return subset({**self.labels, "position": (self.length_N - 2).astype(np.int32)}, index)


@dataclasses.dataclass(frozen=True)
class Dataset(Instances):
    """Synthetic instances.

    Attributes:
      labels: those of `Instances`, where `input` is a token too, and `original`: of a hard example, the task its
        instruction was made from; else -1. With source and target tasks (F.1) also `target`: of a source task, its
        target task; else -1.
      splits: also `training_subset`, which is part of `training`.
      vocabulary: the layout of the token ids.
      expressions: the regular expression of each distribution.
    """

    vocabulary: Vocabulary
    expressions: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Prompts:
    """Instructions in natural language with their inputs, and identities that the model never sees (paper 3.4).

    Attributes:
      texts: one for each instance: a wording of the task, a space, the input.
      labels: int32 [instance] columns by name: `task` (the category of table 10), `distribution` (the task of table
        10), `mapping`, `instruction` (the wording), `input` and `output` (numbered words).
      names: what the numbers of each column stand for.
    """

    texts: tuple[str, ...]
    labels: Mapping[str, np.ndarray]
    names: Mapping[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.texts)


class Batch(NamedTuple):
    """Instances packed into rows of one length. Attention stays inside an instance.

    Several instances share a row, so that little work is spent on padding. Instances of one instruction may also share
    its symbols: each input is then a *branch*, which sees the common prefix (branch 0) and itself. Output tokens are
    targets only and take no place in a row.

    Why a named tuple: jax treats it as a pytree without being told, so this file needs no jax.

    Attributes:
      tokens_RT: int32 token ids.
      position_RT: int32, 0 at the first symbol of an instance.
      segment_RT: int32, the instance (or shared instruction) a token belongs to; 0 marks padding.
      branch_RT: int32, 0 for symbols of an instruction, else the number of the input inside its segment.
      weight_RT: int32, for symbols of an instruction the number of instances that share them, else 0.
      row_N, column_N: int32, the place of the *input token* of each instance; -1 in an empty slot.
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
    """Names of a model's hidden states: `0` is the embedding, `i` the state after block i, then `final_norm`."""
    return (*(str(index) for index in range(blocks + 1)), FINAL_NORM)


@dataclasses.dataclass(frozen=True)
class HiddenStates:
    """Hidden states of the input token, without dropout (paper 3.2).

    Attributes:
      hidden_LND: float32 [layer, instance, width]; the layers are named by `layers`.
      labels: int32 [instance] columns by name, as from `Dataset.columns`; of a trained model also `right`: 1 where it
        answers the instance right, else 0.
      run, seed, epoch, step, split: where the states come from. `split` may also be `training`, the reference of kNN.
    """

    hidden_LND: np.ndarray
    layers: tuple[str, ...]
    labels: Mapping[str, np.ndarray]
    run: str
    seed: int
    epoch: int
    step: int
    split: str


# Measures that are not in the paper. None of them is told the total number of tasks, as KMeans is.
INSTRUMENTS = ("across", "probe", "geometry", "tree", "within_input")
# KMeans on the states, KMeans on their t-SNE, nearest neighbours, and KMeans on the states without their input's mean.
JOBS = ("raw", "tsne", "knn", "residual", *INSTRUMENTS)


@dataclasses.dataclass(frozen=True, order=True)
class Cell:
    """The unit of analysis: one job (of `JOBS`) on one layer of one split at one epoch.

    Cells are independent, and scoring one again gives the same rows. So they can run in parallel and be resumed.
    """

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
    """One number of the analysis: a row of `scores.csv`, whose columns are these fields."""

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
    backend: str = "sklearn"  # what it was found with; "jax+sklearn" where each found a part


class HiddenReader(Protocol):
    """Reads stored hidden states, one layer at a time."""

    def layer(self, run: str, seed: int, epoch: int, split: str, layer: str) -> np.ndarray:
        """float32 [instance, width]."""

    def labels(self, run: str, seed: int, epoch: int, split: str) -> Mapping[str, np.ndarray]:
        """int32 [instance] columns by name."""


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Calls `write(temporary_path)`, then renames the file.

    Renaming is atomic, so a reader finds the old file, the new file or none, but never half a file. What fails, as on a
    full disk, leaves nothing behind.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    try:
        write(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def subset(columns: Mapping[str, np.ndarray], index: np.ndarray | Iterable[int]) -> dict[str, np.ndarray]:
    """The rows `index` of every column."""
    return {name: column[index] for name, column in columns.items()}
