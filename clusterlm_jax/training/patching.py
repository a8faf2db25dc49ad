"""What a model answers when some of its states are replaced by others (activation patching).

The replacing states come from the host: another instance's state (swap), the instance's own plus a direction (move) or
without some directions (remove). Every trial has its own layer, and trials on one instruction share its symbols, so one
compiled program runs all layers and many trials at once. Letters of a shape: the table in `records`; M is a trial.

A model is any module whose `at_inputs` gives next-token logits for a `Batch`: GPT-2, LLaMA or GPT-J with their heads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from clusterlm_jax.data.batching import reading_batches
from clusterlm_jax.models.sites import HIDDEN, Patch, stacked
from clusterlm_jax.records import Batch, Instances, layer_names

ROWS = 64  # of a batch at most, as for reading
TOKENS = 8192  # of a batch at most, padding included


class Trials(NamedTuple):
    """Passes of single instances, each with a patch at one layer: of its input token, or of its last symbols.

    Attributes:
      instance_M: of the dataset.
      layer_M: int, an index into `records.layer_names`; a negative one patches nothing.
      states: trials [n] -> the states to put in, float32 [n, P, width]: the input token's, or the last symbol's and
        those before it. It is asked for a batch at a time, so they need not all be in memory.
      symbols_M: how many of its instruction's last symbols are patched; None patches the input token.
    """

    instance_M: np.ndarray
    layer_M: np.ndarray
    states: Callable[[np.ndarray], np.ndarray]
    symbols_M: np.ndarray | None = None


def patched_step(model: nn.Module, params: Any, batch: Batch, patch: Patch) -> jax.Array:
    """The most likely output of every instance of a batch, with a patch, int [N]."""
    with jax.default_matmul_precision("highest"):  # as states are read
        return model.apply({"params": params}, batch, patch, method="at_inputs").argmax(-1)


def answers(model: nn.Module, params: Any, dataset: Instances, trials: Trials, tokens: int = TOKENS) -> np.ndarray:
    """The token that the model answers in each trial, int [M].

    Args:
      tokens: of a batch at most, padding included.
    """
    program, token_M = _patched_program(model), np.empty(len(trials.instance_M), np.int32)
    of_input = trials.symbols_M is None
    # A patched symbol would be seen by all who share it, so then nobody does.
    for batch, slot_N in _batches(dataset, trials.instance_M, of_input, tokens):
        trial_N = np.maximum(slot_N, 0)  # -1 marks an empty slot
        state_NPD = trials.states(trial_N)
        shape = state_NPD.shape[:2]
        places = np.ones(shape, bool) if of_input else np.arange(shape[1]) < trials.symbols_M[trial_N][:, None]
        layer_NP = np.where(places & (slot_N >= 0)[:, None], trials.layer_M[trial_N][:, None], -1)
        row_NP, column_NP = _places(batch, shape[1], behind=not of_input)
        patch = Patch(*(a.reshape(-1) for a in (layer_NP, row_NP, column_NP)), state_NPD.reshape(layer_NP.size, -1))
        found_N = np.asarray(program(params, batch, patch))
        token_M[slot_N[slot_N >= 0]] = found_N[slot_N >= 0]
    return token_M


def input_states(
    model: nn.Module, params: Any, dataset: Instances, instance_M: np.ndarray, tokens: int = TOKENS
) -> np.ndarray:
    """States of the input tokens, float32 [L, M, D]."""
    layers, width = len(layer_names(model.spec.layers)), model.spec.hidden_dim
    state_LMD = np.empty((layers, len(instance_M), width), np.float32)
    program = _reading_program(model)
    for batch, slot_N in _batches(dataset, instance_M, True, tokens):
        state_LMD[:, slot_N[slot_N >= 0]] = np.asarray(program(params, batch))[:, slot_N >= 0]
    return state_LMD


def symbol_states(
    model: nn.Module,
    params: Any,
    dataset: Instances,
    instance_M: np.ndarray,
    symbols: int,
    tokens: int = TOKENS,
) -> np.ndarray:
    """States of the last symbols of instructions, float32 [L, M, P, D], the last symbol first.

    Where an instruction has fewer symbols, they hold arbitrary values.
    """
    layers, width = len(layer_names(model.spec.layers)), model.spec.hidden_dim
    state_LMPD = np.empty((layers, len(instance_M), symbols, width), np.float32)
    program = _reading_program(model)
    for batch, slot_N in _batches(dataset, instance_M, False, tokens):
        row_NP, column_NP = _places(batch, symbols, behind=True)
        found = np.asarray(program(params, batch._replace(row_N=row_NP.reshape(-1), column_N=column_NP.reshape(-1))))
        state_LMPD[:, slot_N[slot_N >= 0]] = found.reshape(layers, *row_NP.shape, width)[:, slot_N >= 0]
    return state_LMPD


@cache
def _patched_program(model: nn.Module) -> Callable[..., jax.Array]:
    return jax.jit(partial(patched_step, model))


@cache
def _reading_program(model: nn.Module) -> Callable[..., jax.Array]:
    """The states at the places of a batch: the sites sow them wherever `row_N` and `column_N` point."""

    def read(params: Any, batch: Batch) -> jax.Array:
        with jax.default_matmul_precision("highest"):
            _, sown = model.apply({"params": params}, batch, method="at_inputs", mutable=[HIDDEN])
            return stacked(sown[HIDDEN], model.spec.layers)

    return jax.jit(read)


def _batches(
    dataset: Instances, instance_M: np.ndarray, shared: bool, tokens: int
) -> Iterator[tuple[Batch, np.ndarray]]:
    """One batch after the other, and the trial in each of its slots."""
    batches, trial_SN = reading_batches(dataset, instance_M, ROWS, shared, tokens)
    for step, slot_N in enumerate(trial_SN):
        yield Batch(*(array[step] for array in batches)), slot_N


def _places(batch: Batch, places: int, behind: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns [N, P] of the input token and those behind it; with `behind`, of those behind it alone."""
    column_NP = batch.column_N[:, None] - np.arange(places) - behind
    return np.broadcast_to(batch.row_N[:, None], column_NP.shape), np.maximum(column_NP, 0)
