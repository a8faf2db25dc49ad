"""Answers with replaced states: whatever shares a batch or an instruction, each trial gets its own patch."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pytest

from clusterlm_jax.models.gpt2 import GPT2, initial_params
from clusterlm_jax.training import patching
from clusterlm_jax.training.patching import Trials, answers, symbol_states
from clusterlm_jax.training.reading import Reader
from tests.training.trainers import SPEC, VOCABULARY

MODEL = GPT2(SPEC, VOCABULARY)
LAYERS = SPEC.layers + 2


@pytest.fixture(scope="module", autouse=True)
def small_batches():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patching, "ROWS", 5)
        yield


@pytest.fixture(scope="module")
def params():
    """Large enough that instances get different answers."""
    return jax.tree.map(lambda leaf: 5 * leaf, jax.jit(partial(initial_params, MODEL))(jax.random.key(1)))


@pytest.fixture(scope="module")
def hidden_LND(params, dataset) -> np.ndarray:
    stacked = jax.tree.map(lambda leaf: leaf[None], params)
    return Reader(MODEL, [dataset], "map")(stacked, "validation")[0].hidden_LND


def run(params, dataset, place_M, layer_M, states, symbols_M=None) -> np.ndarray:
    index_M = dataset.splits["validation"][place_M]
    return answers(MODEL, params, dataset, Trials(index_M, layer_M, states, symbols_M))


@pytest.fixture(scope="module")
def clean_N(params, dataset, hidden_LND) -> np.ndarray:
    every = np.arange(hidden_LND.shape[1])
    found = run(params, dataset, every, np.full(len(every), -1), lambda n: hidden_LND[0, n][:, None])
    assert len(np.unique(found)) > 3
    # A negative layer is no patch: the answers are those of the states that an unpatched pass reads.
    np.testing.assert_array_equal(found, (hidden_LND[-1] @ params["word_embedding"]["embedding"].T).argmax(axis=1))
    return found


def test_own_states_change_no_answer(params, dataset, hidden_LND, clean_N):
    """All layers in one call, in shared rows."""
    instances = len(clean_N)
    place_M, layer_M = np.tile(np.arange(instances), LAYERS), np.repeat(np.arange(LAYERS), instances)
    found = run(params, dataset, place_M, layer_M, lambda m: hidden_LND[layer_M[m], place_M[m]][:, None])
    np.testing.assert_array_equal(found.reshape(LAYERS, -1), np.tile(clean_N, (LAYERS, 1)))


def test_a_swap_at_the_last_read_out_gives_exactly_the_other_answer(params, dataset, hidden_LND, clean_N, rng):
    """Breaks if a state goes to another trial's place."""
    every, other_N = np.arange(len(clean_N)), rng.permutation(len(clean_N))
    found = run(params, dataset, every, np.full(len(every), LAYERS - 1), lambda n: hidden_LND[-1, other_N[n]][:, None])
    np.testing.assert_array_equal(found, clean_N[other_N])


@pytest.fixture(scope="module")
def state_LNPD(params, dataset) -> np.ndarray:
    """Of all symbols."""
    index_N = dataset.splits["validation"]
    return symbol_states(MODEL, params, dataset, index_N, int(dataset.length_N[index_N].max()) - 2)


def test_symbols_are_read_from_the_last_one_back(params, dataset, state_LNPD):
    """At layer 0 they are the embeddings of the instruction's symbols."""
    embedding_VD = params["word_embedding"]["embedding"]
    for instance, state_PD in zip(dataset.splits["validation"], state_LNPD[0], strict=True):
        symbols_T = dataset.tokens_NT[instance, : dataset.length_N[instance] - 2]
        np.testing.assert_array_equal(state_PD[: len(symbols_T)], embedding_VD[symbols_T[::-1]])


def test_own_symbols_change_no_answer_and_all_of_an_equally_long_instruction_change_it(
    params, dataset, clean_N, state_LNPD
):
    columns = dataset.columns(dataset.splits["validation"])
    length_N, every = columns["position"], np.arange(len(clean_N))
    for layer in range(LAYERS - 2):
        at_N = np.full(len(every), layer)
        own = run(params, dataset, every, at_N, lambda n, layer=layer: state_LNPD[layer, n], length_N)
        np.testing.assert_array_equal(own, clean_N)
    same = [columns[name][:, None] == columns[name] for name in ("position", "input", "instruction")]
    own_M, other_M = np.nonzero(same[0] & same[1] & ~same[2])
    assert (clean_N[own_M] != clean_N[other_M]).any()
    at_M = np.zeros(len(own_M), int)
    found = run(params, dataset, own_M, at_M, lambda m: state_LNPD[0, other_M[m]], length_N[own_M])
    np.testing.assert_array_equal(found, clean_N[other_M])
