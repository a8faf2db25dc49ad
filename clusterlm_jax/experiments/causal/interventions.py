"""The causal tests on one trained model: swap, move, remove, where it comes from, and beside them what is decodable.

A test is several *measurements*, and a measurement has a row for each layer. All its layers are in the same passes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from clusterlm_jax.analysis.clustering import centroids, seed_of
from clusterlm_jax.analysis.instruments import directions as along
from clusterlm_jax.analysis.instruments.probe import fits, predictions, probe_scores
from clusterlm_jax.experiments.causal import effects
from clusterlm_jax.experiments.causal.effects import GIVEN_INPUT, OTHER_INPUTS, RANDOM, RESIDUAL, Measured, parts
from clusterlm_jax.experiments.causal.settings import Causal
from clusterlm_jax.experiments.causal.trained import Trained, pairs_of
from clusterlm_jax.records import layer_names, subset
from clusterlm_jax.training.patching import Trials

# layers and instances -> the states to put in there, [M, D]: computed for a batch at a time
States = Callable[[np.ndarray, np.ndarray], np.ndarray]
Shares = list[dict[str, float]]  # by layer: `own`, the instance's own output; `other`, that of the pair's other task


class Measurement(NamedTuple):
    """What is measured, at which layers, and how."""

    of: Measured
    layers: tuple[str, ...]
    run: Callable[[], Shares]


class Bench:
    """The tests of one model.

    Attributes:
      pairs: the instances that are swapped and moved.
    """

    def __init__(self, config: Causal, trained: Trained) -> None:
        self._config, self._trained = config, trained
        self._layers = layer_names(trained.model.spec.layers)
        self._read_layers = self._layers[:-2]  # after the last block nobody reads an instruction's symbols
        self.pairs = pairs_of(trained, config.donors, config.pairs, self._rng("pairs"))
        self._own, self._other = (subset(trained.validation, index_N) for index_N in self.pairs[:2])
        # Strengths share a direction, ranks a space, and numbers of symbols the states of all symbols.
        self._directions = functools.lru_cache(maxsize=3)(self._new_directions)
        self._symbol_states = functools.lru_cache(maxsize=1)(self._read_symbols)
        self._spaces = functools.lru_cache(maxsize=None)(self._new_spaces)

    def measurements(self) -> Iterator[Measurement]:
        """All of them, where the model has pairs; none is run yet."""
        if not len(self.pairs.own_N):
            return
        yield from self._swaps()
        yield from self._moves()
        yield from self._removals()
        yield from self._symbols()
        for kind in (effects.TASK, effects.CONTROL):
            yield self._measurement(effects.PROBE, kind, self._decoded)

    def _measurement(
        self, test: str, kind: str, run: Callable[[Measured], Shares], amount: float = 1, draw: int = 0
    ) -> Measurement:
        measured = Measured(test, kind, amount, draw)
        layers = self._read_layers if test == effects.COMES_FROM else self._layers
        return Measurement(measured, layers, functools.partial(run, measured))

    def _swaps(self) -> Iterator[Measurement]:
        for kind in effects.DONORS:
            yield self._measurement(effects.SWAP, kind, self._swapped)

    def _swapped(self, of: Measured) -> Shares:
        """With the state of another instance of the same input."""
        donor_N = self._donors(of.kind)
        return self._of_pairs(lambda layer_M, pair_M: self._trained.validation_LND[layer_M, donor_N[pair_M]])

    def _donors(self, kind: str) -> np.ndarray:
        return self.pairs.other_N if kind == effects.OTHER_TASK else self.pairs.alike_N

    def _moves(self) -> Iterator[Measurement]:
        kinds = [base + ending for base in (*along.KINDS, RANDOM) for ending in ("", GIVEN_INPUT)]
        for kind in (*kinds, RESIDUAL, RESIDUAL + OTHER_INPUTS):
            for draw in range(self._config.draws if kind.startswith(RANDOM) else 1):
                for strength in self._config.strengths:
                    yield self._measurement(effects.MOVE, kind, self._moved, strength, draw)

    def _moved(self, of: Measured) -> Shares:
        """With the own state plus a direction from the own task to the other one, so many times."""
        direction_LND, strength = self._directions(of.kind, of.draw), np.float32(of.amount)

        def moved(layer_M: np.ndarray, pair_M: np.ndarray) -> np.ndarray:
            own_MD = self._trained.validation_LND[layer_M, self.pairs.own_N[pair_M]]
            return own_MD + strength * direction_LND[layer_M, pair_M]

        return self._of_pairs(moved)

    def _new_directions(self, kind: str, draw: int) -> np.ndarray:
        """From the own task to the other one, for each layer and pair, [L, N, D].

        A probe's weights and random directions have no length of their own: they get that of the difference of means.
        """
        base, ending = parts(kind)
        states_LND, own, other = self._trained.training_LND, self._own, self._other
        found_LND = np.zeros((len(states_LND), len(own["task"]), states_LND.shape[2]), np.float32)
        if base == RANDOM:
            found_LND[:] = self._rng(f"{kind}/{draw}").normal(size=found_LND.shape)
        else:
            vectors = along.MEANS if base == RESIDUAL else base
            for layer, state_ND in enumerate(states_LND):
                if base == RESIDUAL:
                    state_ND = along.residuals(state_ND, self._trained.training["input"])
                for symbol, there, here in self._groups(ending, own["input"]):
                    seed = seed_of(self._name(f"{kind}/{layer}/{symbol}"))
                    cluster = functools.partial(centroids, seed=seed, spec=self._config.eval)
                    tasks = self._trained.training["task"][there], own["task"][here], other["task"][here]
                    found_LND[layer, here] = along.directions(vectors, state_ND[there], *tasks, cluster)
        if base not in (along.PROBE, RANDOM):
            return found_LND
        return along.rescaled(found_LND, self._directions(along.MEANS + ending, 0))

    def _groups(self, ending: str, input_N: np.ndarray) -> Iterator[tuple[Any, Any, Any]]:
        """Training instances, and those of `input_N`, to look at together: all, or by input symbol, as a kind ends."""
        if not ending:
            yield "", slice(None), slice(None)
            return
        for symbol in np.unique(input_N):
            same_N = self._trained.training["input"] == symbol
            yield symbol, same_N if ending == GIVEN_INPUT else ~same_N, input_N == symbol

    def _removals(self) -> Iterator[Measurement]:
        for kind in (*effects.SPACES, RANDOM):
            for rank in self._config.ranks:
                for draw in range(self._config.draws if kind == RANDOM else 1):
                    yield self._measurement(effects.REMOVE, kind, self._removed, rank, draw)

    def _new_spaces(self, kind: str, layer: int) -> list[tuple[Any, np.ndarray, np.ndarray]]:
        """What spans the means of a label: for which validation instances, its centre, and its basis."""
        label, ending = parts(kind)
        state_ND, label_N = self._trained.training_LND[layer], self._trained.training[label]
        found = []
        for _, there, here in self._groups(ending, self._trained.validation["input"]):
            mean_CD = along.means(state_ND[there], label_N[there])
            found.append((here, mean_CD.mean(axis=0), along.between(mean_CD)))
        return found

    def _removed(self, of: Measured) -> Shares:
        """With the own state, without so many directions; of a space with fewer, without all."""
        left_LND, rank = self._trained.validation_LND.copy(), int(of.amount)
        for layer, state_ND in enumerate(left_LND):
            if of.kind == RANDOM:
                basis_DR = along.random_basis(state_ND.shape[1], rank, self._rng(f"{of}/{layer}"))
                spaces = [(slice(None), self._trained.training_LND[layer].mean(axis=0), basis_DR)]
            else:
                spaces = self._spaces(of.kind, layer)
            for here, centre_D, basis_DR in spaces:
                state_ND[here] = along.without(state_ND[here], centre_D, basis_DR[:, :rank])
        token_LN = self._answers(lambda layer_M, place_M: left_LND[layer_M, place_M], np.arange(left_LND.shape[1]))
        return [{"own": share} for share in (token_LN == self._trained.validation["output"]).mean(axis=1).tolist()]

    def _symbols(self) -> Iterator[Measurement]:
        for kind in effects.DONORS:
            for number in self._config.symbols:
                yield self._measurement(effects.COMES_FROM, kind, self._with_symbols, number)

    def _with_symbols(self, of: Measured) -> Shares:
        """With the states of the last symbols of another instance's instruction; of the shorter, as many as it has."""
        trained, layers, symbols = self._trained, len(self._read_layers), int(of.amount)
        donor_N, pairs = self._donors(of.kind), len(self.pairs.own_N)
        state_LMPD, place_N = self._symbol_states(of.kind)
        both_N = np.minimum(self._own["position"], trained.validation["position"][donor_N])
        trials = Trials(
            np.tile(trained.dataset.splits["validation"][self.pairs.own_N], layers),
            np.repeat(np.arange(layers), pairs),
            lambda trial_M: state_LMPD[trial_M // pairs, place_N[trial_M % pairs], :symbols],
            np.tile(np.minimum(both_N, symbols), layers),
        )
        return self._shares(trained.answers(trials).reshape(layers, pairs))

    def _read_symbols(self, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """States of the last symbols of the donors' instructions, each donor once, and which donor a pair has."""
        trained = self._trained
        donors, place_N = np.unique(self._donors(kind), return_inverse=True)
        index_N, longest = trained.dataset.splits["validation"][donors], int(trained.validation["position"].max())
        most = min(max(self._config.symbols), longest)
        return trained.symbol_states(index_N, most), place_N

    def _decoded(self, of: Measured) -> Shares:
        """Accuracy of the cross-distribution probe, on the very states that are patched."""
        trained, found = self._trained, []
        for layer, name in enumerate(self._layers):
            queries = trained.validation_LND[layer], trained.validation
            references = trained.training_LND[layer], trained.training
            with threadpool_limits(1):  # as in a worker process
                fitted = fits(*queries, *references, self._rng(f"probe/{name}"), of.kind == effects.CONTROL)
                scores = probe_scores(fitted, [predictions(*fit[:3]) for fit in fitted])
            found.append({"own": scores["probe_validation"]})
        return found

    def _of_pairs(self, states: States) -> Shares:
        return self._shares(self._answers(states, self.pairs.own_N))

    def _answers(self, states: States, place_N: np.ndarray) -> np.ndarray:
        """What is answered with these states of the input token, [layer, instance]; instances by place in the split."""
        trained, layers, instances = self._trained, len(self._layers), len(place_N)
        index_M = np.tile(trained.dataset.splits["validation"][place_N], layers)
        layer_M = np.repeat(np.arange(layers), instances)
        trials = Trials(index_M, layer_M, lambda trial_M: states(layer_M[trial_M], trial_M % instances)[:, None])
        return trained.answers(trials).reshape(layers, -1)

    def _shares(self, token_LN: np.ndarray) -> Shares:
        own_L, other_L = ((token_LN == labels["output"]).mean(axis=1).tolist() for labels in (self._own, self._other))
        return [{"own": own, "other": other} for own, other in zip(own_L, other_L, strict=True)]

    def _name(self, name: str) -> str:
        return f"{self._config.seeds[0]}/{self._trained.seed}/{name}"

    def _rng(self, name: str) -> np.random.Generator:
        """A generator that follows from the name alone: a resumed run draws what an undisturbed one does."""
        return np.random.default_rng(seed_of(self._name(name)))
