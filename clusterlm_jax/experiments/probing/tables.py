"""The tables of probed models: ours and the paper's (tables 1, 2 and 9), and what is behind them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from clusterlm_jax.experiments.probing.nulls import NULLS, highest_nulls, null_values
from clusterlm_jax.experiments.probing.probe import Probe
from clusterlm_jax.report.layers.scores import with_scores
from clusterlm_jax.report.page import table
from clusterlm_jax.report.paper import MODELS, NINE, PROMPTS, PaperModel
from clusterlm_jax.report.tables import Table, Value, side_by_side
from clusterlm_jax.report.words import (
    F1_DEFINITIONS,
    LABEL_WORDS,
    LABELS,
    REDUCERS,
    SCORE_WORDS,
    SHORT_REDUCERS,
    counted,
    layer_words,
)

NINE_WORDS = tuple(f"{LABEL_WORDS[label]} {SCORE_WORDS[score]}" for label, score in NINE)
SIZES = (  # the words, where run.json has the number, and what the paper says
    ("prompts", ("dataset", "test"), PROMPTS),
    ("categories (the paper's task identities)", ("dataset", "categories"), 3),
    ("tasks (its distributions)", ("dataset", "tasks"), 16),
    ("wordings", ("dataset", "wordings"), "50 a task asked for; 8,800 prompts need 55"),
    ("mappings, those of several tasks counted once", ("dataset", "mappings"), "10 a task"),
    ("tokens", ("extraction", "tokens"), "not given"),
    ("tokens of a prompt, most", ("extraction", "longest"), "not given"),
)


@table(
    "table_1",
    "Clusters in open language models (table 1)",
    "Of each model the layer and the reducer (t-SNE has 3 components) with the best task F1. This is a maximum over "
    "the clusterings of every layer, the embedding and the final norm included, with both reducers, so it is "
    "optimistic; a table below has the nulls' own maxima. The paper names neither its layers nor where it used t-SNE.",
)
def table_1(probes: Sequence[Probe]) -> Table:
    """Our rows, each with the paper's beneath where there is one; then the paper's models that are not here."""
    rows: list[tuple[Value, ...]] = []
    for probe in with_scores(probes):
        ours, (layer, reducer) = probe.nine(probe.chosen), probe.chosen
        rows.append((probe.name, _source(probe), layer_words(layer), SHORT_REDUCERS[reducer], *ours))
        if probe.paper:
            pairs = zip(ours, probe.paper.scores, strict=True)
            differences = (None if mine is None else mine - paper for mine, paper in pairs)
            rows += [_paper_row(probe.paper), (probe.paper.name, "difference", "", "", *differences)]
    for model in _absent(probes):
        rows += [(model.name, "ours", None, None, *[None] * len(NINE)), _paper_row(model)]
    return Table(("model", "source", "layer", "reducer", *NINE_WORDS), tuple(rows))


def _source(probe: Probe) -> str:
    """Ours; with how far the analysis has come and the number of prompts where they are not the paper's."""
    most, prompts = len(REDUCERS) * len(probe.layers), probe.dataset.get("test", PROMPTS)
    words = [counted(prompts, "prompt")] * (prompts != PROMPTS)
    words += [f"{probe.clusterings} of {most} clusterings"] * (probe.clusterings < most)
    return f"ours ({', '.join(words)})" if words else "ours"


def _paper_row(model: PaperModel) -> tuple[Value, ...]:
    return model.name, "the paper", "not given", "not given", *model.scores


def _absent(probes: Sequence[Probe]) -> list[PaperModel]:
    """The paper's models of which we have no numbers."""
    ours = {probe.paper for probe in probes if probe.clusterings}
    return [model for model in MODELS.values() if model not in ours]


@table(
    "table_1_by_reducer",
    "The best layer with each reducer",
    "The paper reduces the states by t-SNE where that helps. Here are both ways, each at its own best layer.",
)
def by_reducer(probes: Sequence[Probe]) -> Table:
    rows: list[tuple[Value, ...]] = []
    for probe, reducer in itertools.product(with_scores(probes), REDUCERS):
        best = probe.best((reducer,)) if probe.scored[reducer] else None
        numbers = (layer_words(best.layer), *probe.nine(best)) if best else (None,) * (1 + len(NINE))
        rows.append((probe.name, SHORT_REDUCERS[reducer], *numbers))
    return Table(("model", "reducer", "layer", *NINE_WORDS), tuple(rows))


@table(
    "table_probing_nulls",
    "Compared with the null baselines",
    "Without the model's layers: each prompt's bag of words; the embedding of its last token, which mostly names the "
    "pair of words; and the same layer of a model of this architecture with random weights, where one is on this page. "
    "With this model's clusters: tasks shuffled over the categories, each task whole, and labels shuffled over the "
    "prompts. Highest of all: each one's own maximum over all layers and both reducers. Above: by how much the model "
    "exceeds all nulls run.",
)
def nulls(probes: Sequence[Probe]) -> Table:
    """Ours and each null where ours is chosen; then the highest of each, wherever it is."""
    rows: list[tuple[Value, ...]] = []
    for probe in with_scores(probes):
        for place, (label, score) in itertools.product((probe.chosen, None), NINE):
            of = {"label": label, "score": score}
            ours = probe.value(place, **of) if place else probe.highest(**of)
            values = null_values(probe, place, **of) if place else highest_nulls(probe, **of)
            run = [value for value in values.values() if value is not None]
            above = ours - max(run) if ours is not None and run else None
            shown = values if label == "task" else values | {"regrouped": ""}  # only tasks are regrouped
            first = (probe.name, place.words if place else "highest of all", LABEL_WORDS[label], SCORE_WORDS[score])
            rows.append((*first, ours, *shown.values(), above))
    return Table(("model", "where", "label", "score", "this model", *NULLS.values(), "above"), tuple(rows))


@table(
    "table_f1_definitions",
    "What F1 could mean",
    "The paper defines F1 by precision and recall alone. These are six definitions of it on the same clusterings, "
    "those at the chosen layer; everything else here uses the first.",
)
def definitions(probes: Sequence[Probe]) -> Table:
    rows: list[tuple[Value, ...]] = []
    for probe in with_scores(probes):
        for score, words in F1_DEFINITIONS.items():
            rows.append((probe.name, words, *(probe.value(probe.chosen, label=label, score=score) for label in LABELS)))
        if probe.paper:
            rows.append(
                (probe.paper.name, "the paper", *(probe.paper.scores[NINE.index((label, "f1"))] for label in LABELS))
            )
    return Table(("model", "definition", *(LABEL_WORDS[label] for label in LABELS)), tuple(rows))


@table(
    "table_2",
    "Data sizes (table 2)",
    "The paper gives the number of prompts. Wordings and pairs are ours unless the configuration names others.",
)
def sizes(probes: Sequence[Probe]) -> Table:
    rows = (
        ((words,), (*(probe.facts.get(section, {}).get(name) for probe in probes), paper))
        for words, (section, name), paper in SIZES
    )
    return side_by_side(["quantity"], [*(probe.name for probe in probes), "paper"], rows)


@table(
    "table_9",
    "Parameter counts (table 9)",
    "Ours are counted without the language-model head, which nothing here uses.",
)
def parameters(probes: Sequence[Probe]) -> Table:
    rows: list[tuple[Value, ...]] = []
    for probe in probes:
        paper = _paper_size(probe.paper) if probe.paper else ("no such model", "", "")
        rows.append((probe.name, probe.model.get("hidden_dim"), probe.model.get("parameters"), *paper))
    rows += [("", None, None, *_paper_size(model)) for model in _absent(probes)]
    paper_head = ("the paper's", "its hidden dimension", "its parameters")
    return Table(("model", "hidden dimension", "parameters", *paper_head), tuple(rows))


def _paper_size(model: PaperModel) -> tuple[Value, ...]:
    return model.name, model.hidden_dim, model.parameters


@table(
    "table_layers",
    "Every layer",
    "Layer 0 is the embedding of the input's last token, layer i the residual stream after block i. Layers that a "
    "smaller model does not have are left empty.",
)
def every_layer(probes: Sequence[Probe]) -> Table:
    found = with_scores(probes)
    layers = max((probe.layers for probe in found), key=len)
    rows = []
    for probe, reducer, (label, score) in itertools.product(found, REDUCERS, NINE):
        curve = probe.curve(label=label, reducer=reducer, score=score)
        first = (probe.name, SHORT_REDUCERS[reducer], LABEL_WORDS[label], SCORE_WORDS[score])
        rows.append((first, [curve.get(layer) if layer in probe.layers else "" for layer in layers]))
    return side_by_side(["model", "reducer", "label", "score"], map(layer_words, layers), rows)


TABLES = (table_1, by_reducer, nulls, definitions, sizes, parameters, every_layer)
