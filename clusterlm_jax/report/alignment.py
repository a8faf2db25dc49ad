"""The report of an alignment run: figures, tables, and one page to read (paper F.1, table 11)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from clusterlm_jax.report import claims
from clusterlm_jax.report.alignment_claims import CLAIMS
from clusterlm_jax.report.alignment_figures import FIGURES
from clusterlm_jax.report.alignment_tables import TABLES
from clusterlm_jax.report.claims import Judgement
from clusterlm_jax.report.methods import LEARNT, PAPER, Methods, baselines, method_words, read_methods
from clusterlm_jax.report.page import model_words, verdict_words
from clusterlm_jax.report.points import over_seeds
from clusterlm_jax.report.publishing import publish
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.tables import shown
from clusterlm_jax.report.words import duration, layer_words


def write(workdir: Path, spec: ReportSpec) -> Path:
    """Draws everything a run has come to and writes `figures/`, `tables/` and `report.html`.

    Whatever has not been run is named in words in its place.

    Returns:
      The path of the page.

    Raises:
      UserError: there is no such work directory, or a file in it is damaged.
    """
    methods = read_methods(workdir)
    judgements = claims.judge(methods, CLAIMS)
    return publish(
        workdir,
        "alignment.html",
        methods,
        FIGURES,
        TABLES,
        spec,
        run=methods,
        headline=_headline(methods, judgements),
        plain_words=_plain_words(methods),
        judgements=judgements,
        configuration=json.dumps(methods.config, indent=2, sort_keys=True),
        environment=json.dumps(methods.base.environment, indent=2, sort_keys=True),
    )


def _headline(methods: Methods, judgements: Sequence[Judgement]) -> list[tuple[str, str]]:
    """The main numbers, a name and words each."""
    run, seeds = methods.base, ", ".join(map(str, methods.seeds))
    best = [member.base.facts.get("best", {}).get("validation_accuracy") for member in methods.each_seed]
    return [
        ("Run", f"{methods.name}, {f'mean of the seeds {seeds}' if methods.members else f'seed {seeds}'}"),
        ("Model", model_words(run.facts.get("model", {}))),
        ("Base model, best validation accuracy", shown(over_seeds(best))),
        *((method_words(kind)[0].upper() + method_words(kind)[1:], _drop_words(methods, kind)) for kind in PAPER),
        ("The paper's claims", verdict_words(judgements, bool(methods.members))),
        ("Wall time by stage", ", ".join(f"{s} {duration(t)}" for s, t in run.seconds.items()) or "not run"),
    ]


def _drop_words(methods: Methods, kind: str) -> str:
    source, drop = (
        shown(over_seeds(methods.values(methods.four[kind], metric))) for metric in ("source_accuracy", "accuracy_drop")
    )
    if source == drop == "not run":
        return "not run"
    return f"source accuracy {source}, others' drop {drop} (the paper: {PAPER[kind][0]:.2f} and {PAPER[kind][1]:.3f})"


def _plain_words(methods: Methods) -> list[str]:
    """What the paper leaves out and a reader asks next; nothing where it was not measured."""
    sentences = []
    for sentence in (_what_switches_know, _input_sentence, _layer_sentence, _baseline_sentence):
        try:
            sentences.append(sentence(methods))
        except NotRun:
            continue
    return sentences


def _what_switches_know(methods: Methods) -> str:
    words = (
        f"the {LEARNT[kind]} is on for {methods.value(methods.four[kind], 'switch_recall'):.1%} of the source "
        f"instances and {methods.value(methods.four[kind], 'false_alarms'):.1%} of the others"
        for kind in LEARNT
    )
    number = methods.examples[0]
    examples = f"{number} example{'s' if number > 1 else ''}"
    return f"On validation, with {examples} of each other task, {'; '.join(words)}."


def _input_sentence(methods: Methods) -> str:
    """Whether switches mistake tasks by what is asked of them: the input symbol, rather than the instruction."""
    words = []
    for kind, name in LEARNT.items():
        rows = [
            row
            for member in methods.each_seed
            for row in member.tasks
            if row["run"] == methods.four[kind] and row["role"] != "source"
        ]
        alike, on_alike, every, on = (
            sum(row[column] for row in rows)
            for column in ("with_source_input", "of_these_on", "instances", "switched_on")
        )
        if not alike or alike == every:
            raise NotRun("all instances are alike")
        words.append(f"the {name} {on_alike / alike:.0%} and {(on - on_alike) / (every - alike):.0%}")
    return (
        "Of the other tasks' instances whose input symbol a source task has too, and of the rest, so many are switched "
        f"on: {'; '.join(words)}."
    )


def _layer_sentence(methods: Methods) -> str:
    words = []
    for kind, name in LEARNT.items():
        drops = {at: methods.value(methods.at_layer(kind, at), "accuracy_drop") for at in methods.layers}
        recall = {at: methods.value(methods.at_layer(kind, at), "switch_recall") for at in methods.layers}
        best = max(methods.layers, key=lambda at: recall[at] - drops[at])
        words.append(f"the {name} on {layer_words(best)} (recall {recall[best]:.3f}, drop {drops[best]:.3f})")
    return f"Of all layers, the switch with the most recall less drop is {' and '.join(words)}."


def _baseline_sentence(methods: Methods) -> str:
    words = (
        f"{method_words(run)}, is on for {methods.value(run, 'switch_recall'):.1%} of the source instances and "
        f"{methods.value(run, 'false_alarms'):.1%} of the others (source accuracy "
        f"{methods.value(run, 'source_accuracy'):.3f}, drop {methods.value(run, 'accuracy_drop'):.3f})"
        for run in baselines(methods)[:3]
    )
    return f"Without training a switch: {'; '.join(f'that of the {w}' for w in words)}."
