"""Natural prompts with their answers as instances: what is patched, and by which token an answer is known."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np

from clusterlm_jax.data.natural.shared import SharedSpec
from clusterlm_jax.records import PADDING, Instances, Prompts, UserError

GROUPS = 4  # of a task's wordings: a probe that learned from some is tested on others

Encode = Callable[[Sequence[str]], list[np.ndarray]]  # texts -> token ids of each


def instances_of(prompts: Prompts, encode: Encode, spec: SharedSpec, seed: int) -> Instances:
    """The tokens of each prompt, and behind them the first token of its answer, by which an answer is judged.

    Labels: `task` is which of the 16 tasks, `input` the word, `instruction` all tokens but the prompt's last. Some
    wordings of each task are held out, as `validation`. A natural task has no distributions; groups of its wordings
    stand for them.

    Raises:
      UserError: the tokens of a prompt change when its answer follows, so it is not known where the answer begins.
    """
    asked = [text + spec.ending for text in prompts.texts]
    outputs = (prompts.names["output"][number] for number in prompts.labels["output"])
    between = "" if spec.ending[-1:].isspace() else " "
    answered = [f"{text}{between}{output}" for text, output in zip(asked, outputs, strict=True)]
    sequences = []
    for text, ids, longer in zip(asked, encode(asked), encode(answered), strict=True):
        if len(longer) <= len(ids) or (longer[: len(ids)] != ids).any():
            raise UserError(
                f"The tokens of {text!r} change when an answer follows; data.ending must be a text that keeps them."
            )
        sequences.append(longer[: len(ids) + 1])
    length_N = np.array([len(ids) for ids in sequences], np.int32)
    tokens_NT = np.full((len(sequences), length_N.max()), PADDING, np.int32)
    for row_T, ids in zip(tokens_NT, sequences, strict=True):
        row_T[: len(ids)] = ids
    task_N, wording_N = prompts.labels["distribution"], prompts.labels["instruction"]
    held_out_N, group_N = _divided(task_N, wording_N, spec.held_out, seed)
    labels = {
        "task": task_N,
        "distribution": GROUPS * task_N + group_N,
        "mapping": prompts.labels["mapping"],
        "instruction": _numbers(tuple(ids[:-2].tolist()) for ids in sequences),
        "input": prompts.labels["input"],
        "output": np.array([ids[-1] for ids in sequences], np.int32),
    }
    splits = {"training": np.flatnonzero(~held_out_N), "validation": np.flatnonzero(held_out_N)}
    return Instances(tokens_NT, length_N, labels, splits)


def _divided(task_N: np.ndarray, wording_N: np.ndarray, held_out: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which prompts have a wording that is held out, bool, and the group of each prompt's wording."""
    held_out_N, group_N = np.zeros(len(task_N), bool), np.zeros(len(task_N), np.int32)
    for task in np.unique(task_N):
        wordings = np.random.default_rng([seed, int(task)]).permutation(np.unique(wording_N[task_N == task]))
        for place, wording in enumerate(wordings):
            held_out_N[wording_N == wording] = place < held_out
            group_N[wording_N == wording] = (place - held_out * (place >= held_out)) % GROUPS
    return held_out_N, group_N


def _numbers(keys: Iterable[Hashable]) -> np.ndarray:
    """A number for each key, int32; equal keys have the same."""
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(key, len(number)) for key in keys], np.int32)
