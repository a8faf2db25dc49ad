"""The tables of states of one's own: the best layer by each label with its nulls, and every score of every layer."""

from __future__ import annotations

from collections.abc import Sequence

from clusterlm_jax.experiments.states.layers import NULLS, States
from clusterlm_jax.report.layers.scores import with_scores
from clusterlm_jax.report.page import table
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.tables import Table, Value, side_by_side
from clusterlm_jax.report.words import REDUCERS, SCORE_WORDS, SPACES


@table(
    "table_best_layers",
    "The best layer by each label",
    "The layer and the reducer with the best F1, which is a maximum over all of them and so optimistic. Each null is "
    "its own maximum over the same clusterings; above is by how much the F1 exceeds them all.",
)
def best(subjects: Sequence[States]) -> Table:
    rows: list[tuple[Value, ...]] = []
    for subject in with_scores(subjects):
        for label in subject.labels:
            try:
                place = subject.best(REDUCERS, label)
            except NotRun:
                continue
            scores = [subject.value(place, label=label, score=score) for score in SCORE_WORDS]
            nulls = [subject.highest(label=f"{null}_{label}", score="f1") for null in NULLS]
            run = [value for value in nulls if value is not None]
            shown = ["" if value is None else value for value in nulls]  # only a task has distributions to shuffle
            above = scores[0] - max(run) if run else None
            rows.append((subject.name, label, place.layer, SPACES[place.reducer], *scores, *shown, above))
    return Table(("file", "label", "layer", "reducer", *SCORE_WORDS.values(), *NULLS.values(), "above"), tuple(rows))


@table(
    "table_layers",
    "Every score of every layer",
    "As in scores.csv. The nulls are labels that begin with shuffled_ and regrouped_. What is undefined is left empty.",
)
def every_layer(subjects: Sequence[States]) -> Table:
    found = with_scores(subjects)
    names = list(dict.fromkeys(layer for subject in found for layer in subject.layers))
    rows = []
    for subject in found:
        for reducer, score, label in subject.scores:
            curve = subject.curve(label=label, reducer=reducer, score=score)
            first = (subject.name, SPACES[reducer], label, score)
            rows.append((first, [curve.get(layer, "") for layer in names]))
    return side_by_side(["file", "reducer", "label", "score"], names, rows)


TABLES = (best, every_layer)
