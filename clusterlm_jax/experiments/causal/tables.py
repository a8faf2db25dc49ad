"""The tables of the causal tests: every share by layer."""

from __future__ import annotations

from collections.abc import Sequence

from clusterlm_jax.experiments.causal import effects as of
from clusterlm_jax.experiments.causal.effects import OUTCOMES, Effects, kind_words
from clusterlm_jax.report.page import table
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.tables import Table, over_seeds, side_by_side
from clusterlm_jax.report.words import layer_words

SPREAD = "Of several seeds the mean ± the sample standard deviation; of a null's draws the mean."


@table("table_accuracy", "What the model can do", "Accuracy on validation: whether the answer's first token is right.")
def table_accuracy(effects: Effects) -> Table:
    (seed,) = effects.seeds
    shares = effects.of_seed(seed).get("accuracies")
    if not shares:
        raise NotRun("the model has not answered yet")
    return Table(("task", "accuracy"), tuple(shares.items()))


@table("table_swap", "Swap", f"Share of the pairs by what is answered. {SPREAD}")
def table_swap(effects: Effects) -> Table:
    return _table(effects, of.SWAP, "", tuple(OUTCOMES))


@table("table_move", "Move", f"Share of the pairs by what is answered. {SPREAD}")
def table_move(effects: Effects) -> Table:
    return _table(effects, of.MOVE, "strength", ("other", "own"))


@table("table_remove", "Remove", f"Accuracy on validation without so many directions. {SPREAD}")
def table_remove(effects: Effects) -> Table:
    return _table(effects, of.REMOVE, "directions", ("own",))


@table("table_comes_from", "Where it comes from", f"Share of the pairs by what is answered. {SPREAD}")
def table_comes_from(effects: Effects) -> Table:
    return _table(effects, of.COMES_FROM, "symbols", ("other", "own"), effects.layers[:-2])


@table("table_probe", "What is decodable", f"Accuracy of the probe, validation, distributions it never saw. {SPREAD}")
def table_probe(effects: Effects) -> Table:
    return _table(effects, of.PROBE, "", ("own",))


TABLES = (table_swap, table_move, table_remove, table_comes_from, table_probe)


def _table(
    effects: Effects, test: str, amount: str, outcomes: Sequence[str], layers: Sequence[str] | None = None
) -> Table:
    """A row for each kind, amount and outcome of a test, a column for each layer.

    Args:
      amount: the name of the column of amounts; empty for none.
      outcomes: what is shown; a single one needs no column.
    """
    layers, kinds = layers or effects.layers, effects.kinds(test)
    if not kinds:
        raise NotRun("it has not been measured")
    head = ["what", *filter(None, [amount]), *(["answer"] if len(outcomes) > 1 else [])]
    rows = []
    for kind in kinds:
        for number in effects.amounts(test, kind):
            for outcome in outcomes:
                first = [kind_words(test, kind), *([f"{number:g}"] if amount else [])]
                first += [OUTCOMES[outcome]] if len(outcomes) > 1 else []
                values = [over_seeds(effects.values(test, kind, layer, number, outcome)) for layer in layers]
                rows.append((first, values))
    return side_by_side(head, map(layer_words, layers), rows)
