"""The tables of probed models: ours beside the paper's (tables 1, 2 and 9), and what is behind them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from clusterlm_jax.report.figures import LABELS
from clusterlm_jax.report.probe import Probe
from clusterlm_jax.report.probing_nulls import NULLS, best_null_values, null_values
from clusterlm_jax.report.probing_paper import MODELS, NINE, PROMPTS, PaperModel
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.tables import F1_DEFINITIONS, Table, TableEntry, Value
from clusterlm_jax.report.words import LABEL_WORDS, REDUCERS, SCORE_WORDS, SHORT_REDUCERS, layer_words

NINE_WORDS = tuple(f"{LABEL_WORDS[label]} {SCORE_WORDS[score]}" for label, score in NINE)
PAPER_DATA = (
    ("prompts", lambda probe: probe.dataset.get("test"), PROMPTS),
    ("categories (the paper's task identities)", lambda probe: probe.dataset.get("categories"), 3),
    ("tasks (its distributions)", lambda probe: probe.dataset.get("tasks"), 16),
    ("wordings", lambda probe: probe.dataset.get("wordings"), "50 a task asked for; 8,800 prompts need 55"),
    ("mappings, those of several tasks counted once", lambda probe: probe.dataset.get("mappings"), "10 a task"),
    ("tokens", lambda probe: probe.facts.get("extraction", {}).get("tokens"), "not given"),
    ("tokens of a prompt, most", lambda probe: probe.facts.get("extraction", {}).get("longest"), "not given"),
)


def chosen(probes: Sequence[Probe]) -> Iterator[tuple[Probe, str, str]]:
    """The probes that have a chosen reducer and layer, with them.

    Raises:
      NotRun: there is none.
    """
    found = [probe for probe in probes if any(probe.scored.values())]
    if not found:
        raise NotRun("no layer has been scored by task")
    return ((probe, *probe.chosen) for probe in found)


def source(probe: Probe) -> str:
    """Ours; with how far the analysis has come and the number of prompts where they are not the paper's."""
    done, most = sum(probe.scored.values()), len(REDUCERS) * len(probe.layers)
    prompts = probe.dataset.get("test", PROMPTS)
    words = [f"{prompts:,} prompts"] * (prompts != PROMPTS) + [f"{done} of {most} clusterings"] * (done < most)
    return f"ours ({', '.join(words)})" if words else "ours"


def _table_1(probes: Sequence[Probe]) -> Table:
    """Our rows, each with the paper's beneath where there is one; then the paper's models that are not here."""
    rows: list[tuple[Value, ...]] = []
    for probe, reducer, layer in chosen(probes):
        ours = probe.nine(reducer, layer)
        rows.append((probe.name, source(probe), layer_words(layer), SHORT_REDUCERS[reducer], *ours))
        if probe.paper:
            pairs = zip(ours, probe.paper.scores, strict=True)
            differences = (None if mine is None else mine - paper for mine, paper in pairs)
            rows.append(_paper_row(probe.paper))
            rows.append((probe.paper.name, "difference", "", "", *differences))
    for model in _absent(probes):
        rows += [(model.name, "ours", None, None, *[None] * len(NINE)), _paper_row(model)]
    return Table(("model", "source", "layer", "reducer", *NINE_WORDS), tuple(rows))


def _paper_row(model: PaperModel) -> tuple[Value, ...]:
    return model.name, "the paper", "not given", "not given", *model.scores


def _absent(probes: Sequence[Probe]) -> list[PaperModel]:
    """The paper's models of which we have no numbers."""
    ours = {probe.paper for probe in probes if any(probe.scored.values())}
    return [model for model in MODELS.values() if model not in ours]


def _by_reducer(probes: Sequence[Probe]) -> Table:
    rows: list[tuple[Value, ...]] = []
    for (probe, *_), reducer in itertools.product(chosen(probes), REDUCERS):
        layer, numbers = None, (None,) * len(NINE)
        if probe.scored[reducer]:
            _, best = probe.best((reducer,))
            layer, numbers = layer_words(best), probe.nine(reducer, best)
        rows.append((probe.name, SHORT_REDUCERS[reducer], layer, *numbers))
    return Table(("model", "reducer", "layer", *NINE_WORDS), tuple(rows))


def _nulls(probes: Sequence[Probe]) -> Table:
    """Ours beside each null where ours is chosen; then the highest of each, wherever it is."""
    rows = []
    for probe, reducer, layer in chosen(probes):
        for label, score in NINE:
            ours = probe.values.get((layer, label, reducer, score))
            nulls = null_values(probe, probes, label, score, reducer, layer)
            rows.append((probe, f"{layer_words(layer)}, {SHORT_REDUCERS[reducer]}", label, score, ours, nulls))
        for label, score in NINE:
            nulls = best_null_values(probe, probes, label, score)
            rows.append((probe, "highest of all", label, score, probe.highest(label, score), nulls))
    head = ("model", "where", "label", "score", "this model")
    return Table((*head, *NULLS.values(), "above"), tuple(_null_row(*row) for row in rows))


def _null_row(
    probe: Probe, where: str, label: str, score: str, ours: float | None, nulls: Mapping[str, float | None]
) -> tuple[Value, ...]:
    """Above: by how much ours exceeds every null that was run."""
    known = [value for value in nulls.values() if value is not None]
    above = ours - max(known) if ours is not None and known else None
    shown: dict[str, Value] = nulls if label == "task" else nulls | {"regrouped": ""}
    return probe.name, where, LABEL_WORDS[label], SCORE_WORDS[score], ours, *shown.values(), above


def _layers(probes: Sequence[Probe]) -> Table:
    """A column for every layer; of a smaller model those it does not have are left empty."""
    found = [probe for probe, *_ in chosen(probes)]
    layers = max((probe.layers for probe in found), key=len)
    rows = []
    for probe, reducer, (label, score) in itertools.product(found, REDUCERS, NINE):
        curve = probe.curve(label, reducer, score)
        values = (curve.get(layer) if layer in probe.layers else "" for layer in layers)
        rows.append((probe.name, SHORT_REDUCERS[reducer], LABEL_WORDS[label], SCORE_WORDS[score], *values))
    return Table(("model", "reducer", "label", "score", *map(layer_words, layers)), tuple(rows))


def _definitions(probes: Sequence[Probe]) -> Table:
    rows: list[tuple[Value, ...]] = []
    for probe, reducer, layer in chosen(probes):
        for score, words in F1_DEFINITIONS.items():
            rows.append((probe.name, words, *(probe.values.get((layer, label, reducer, score)) for label in LABELS)))
        if probe.paper:
            paper = dict(zip(NINE, probe.paper.scores, strict=True))
            rows.append((probe.paper.name, "the paper", *(paper[label, "f1"] for label in LABELS)))
    return Table(("model", "definition", *(LABEL_WORDS[label] for label in LABELS)), tuple(rows))


def _sizes(probes: Sequence[Probe]) -> Table:
    rows = tuple((words, *map(ours, probes), paper) for words, ours, paper in PAPER_DATA)
    return Table(("quantity", *(probe.name for probe in probes), "paper"), rows)


def _models(probes: Sequence[Probe]) -> Table:
    rows: list[tuple[Value, ...]] = []
    for probe in probes:
        paper = _paper_size(probe.paper) if probe.paper else ("no such model", "", "")
        rows.append((probe.name, probe.model.get("hidden_dim"), probe.model.get("parameters"), *paper))
    rows += [("", None, None, *_paper_size(model)) for model in _absent(probes)]
    head = ("model", "hidden dimension", "parameters")
    return Table((*head, "the paper's", "its hidden dimension", "its parameters"), tuple(rows))


def _paper_size(model: PaperModel) -> tuple[Value, ...]:
    return model.name, model.hidden_dim, model.parameters


TABLES = (
    TableEntry(
        "table_1",
        "Clusters in open language models (table 1)",
        "Of each model the layer and the reducer (t-SNE has 3 components) with the best task F1. That is a maximum "
        "over two clusterings of every layer, the embedding and the final norm included, so it is optimistic; the "
        "nulls' own maxima are below. The paper names neither its layers nor where it used t-SNE.",
        _table_1,
    ),
    TableEntry(
        "table_1_by_reducer",
        "The best layer with each reducer",
        "The paper reduces the states by t-SNE where that helps; these are both ways, each at its own best layer.",
        _by_reducer,
    ),
    TableEntry(
        "table_probing_nulls",
        "Beside the null baselines",
        "What is scored without the model's layers: by each prompt's bag of words, by the embedding of its last token "
        "(which mostly names the pair of words), by the same layer of a model of this architecture with random "
        "weights, where one is on this page; and by this model's clusters for tasks dealt anew to the categories (each "
        "task whole) and for labels dealt anew, prompt by prompt. Highest of all: each one's own maximum over all "
        "layers and both reducers. Above: by how much the model exceeds all nulls run.",
        _nulls,
    ),
    TableEntry(
        "table_f1_definitions",
        "What F1 could mean",
        "The paper defines F1 by precision and recall alone; these are six readings of it on the same clusterings, "
        "those of the chosen layer. All else here uses the first.",
        _definitions,
    ),
    TableEntry(
        "table_2",
        "Data sizes (table 2)",
        "The paper gives the number of prompts. Wordings and pairs are ours unless the configuration names others.",
        _sizes,
    ),
    TableEntry(
        "table_9",
        "Parameter counts (table 9)",
        "Ours are counted without the language-model head, which nothing here asks.",
        _models,
    ),
    TableEntry(
        "table_layers",
        "Every layer",
        "Layer 0 is the embedding of the input's last token, layer i the residual stream after block i.",
        _layers,
    ),
)
