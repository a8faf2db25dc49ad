"""The paper's claims about alignment (F.1, table 11), and two questions of ours."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

from clusterlm_jax.analysis.answers import SOURCE
from clusterlm_jax.experiments.alignment.methods import (
    DIRECT,
    HEAD,
    LEARNT,
    LINEAR,
    METRICS,
    MLP,
    WORDS,
    Methods,
    method_words,
    variant,
)
from clusterlm_jax.report.claims import MARGIN, Finding, claim
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.tables import over_seeds, shown
from clusterlm_jax.report.words import capitalised

PERFECT = 0.995  # what is printed as 1.00


@claim(
    paper="All methods achieve perfect performance for the updated source tasks on a validation set.",
    where="F.1, table 11",
    rule=f"Source accuracy is at least {PERFECT}, printed as 1.00, with each of the four methods.",
)
def perfect(methods: Methods) -> Finding:
    return _finding(methods, methods.four.values(), lambda values: min(values) >= PERFECT, "source_accuracy")


@claim(
    paper="Direct fine-tuning undergoes significant performance drops on other tasks.",
    where="F.1, table 11: .210",
    rule=f"Its drop is above {MARGIN}.",
)
def forgets(methods: Methods) -> Finding:
    return _finding(methods, [DIRECT], lambda drops: drops[0] > MARGIN)


@claim(
    paper="Fine-tuning only the language head retains more performance on other tasks.",
    where="F.1, table 11: .120",
    rule="Its drop is below that of direct fine-tuning.",
)
def head_helps(methods: Methods) -> Finding:
    return _finding(methods, [DIRECT, HEAD], _falls)


@claim(
    paper="But not as much as the methods with a linear or an MLP switch.",
    where="F.1, table 11: .087 and .080",
    rule="The drop with each of the two switches is below that of fine-tuning the language head.",
)
def switches_help(methods: Methods) -> Finding:
    runs = [methods.four[kind] for kind in (HEAD, *LEARNT)]
    return _finding(methods, runs, lambda drops: drops[0] > max(drops[1:]))


@claim(
    paper="The MLP-based switch network is slightly better than the linear one.",
    where="F.1, table 11",
    rule="Its drop is below the linear switch's.",
)
def mlp_helps(methods: Methods) -> Finding:
    return _finding(methods, [methods.four[LINEAR], methods.four[MLP]], _falls)


@claim(
    paper="So the order of the four methods is that of table 11.",
    where="F.1, table 11",
    rule="Drops fall from direct fine-tuning over the language head and the linear switch to the MLP switch.",
)
def order(methods: Methods) -> Finding:
    return _finding(methods, methods.four.values(), _falls)


@claim(
    paper="Other tasks are not completely preserved, due to the imperfection of the switch network.",
    where="F.1",
    rule="With both switches instances of other tasks are switched on, and there is a drop.",
)
def imperfect(methods: Methods) -> Finding:
    runs = [methods.four[kind] for kind in LEARNT]
    alarms, drops = (
        _finding(methods, runs, lambda values: min(values) > 0, metric) for metric in ("false_alarms", "accuracy_drop")
    )
    return Finding(alarms.seen and drops.seen, alarms.numbers + drops.numbers)


@claim(
    paper="More examples may be used to obtain a better switch network.",
    where="F.1; not tried in the paper",
    rule="With both switches the drop is smaller with the most examples of each other task than with the fewest.",
)
def more_examples(methods: Methods) -> Finding:
    numbers = min(methods.examples), max(methods.examples)
    if numbers[0] == numbers[1]:
        raise NotRun("switches were trained with one number of examples")
    pairs = [_finding(methods, [variant(kind, examples=n) for n in numbers], _falls) for kind in LEARNT]
    return Finding(all(pair.seen for pair in pairs), tuple(itertools.chain(*(pair.numbers for pair in pairs))))


@claim(
    paper="Switches mistake tasks by their input symbol.",
    where="ours",
    rule=(
        "Of the other tasks' instances whose input symbol a source task has too, each of the two switches is on for a "
        f"share more than {MARGIN} above its share of the rest."
    ),
    ours=True,
)
def by_input(methods: Methods) -> Finding:
    differences, numbers = [], []
    for kind in LEARNT:
        rows = [row for seed in methods.each_seed for row in seed.tasks if row["run"] == methods.four[kind]]
        columns = ("with_source_input", "of_these_on", "instances", "switched_on")
        alike, on_alike, every, on = (sum(row[name] for row in rows if row["role"] != SOURCE) for name in columns)
        if alike in (0, every):
            raise NotRun("there are no other tasks' instances both with and without a source task's input symbol")
        of_alike, of_rest = on_alike / alike, (on - on_alike) / (every - alike)
        differences.append(of_alike - of_rest)
        words = f"{of_alike:.0%} of the others with a source task's input symbol and {of_rest:.0%} of the rest"
        numbers.append(f"The {WORDS[kind]} is on for {words}.")
    return Finding(min(differences) > MARGIN, tuple(numbers))


@claim(
    paper="A switch need not be trained: asking for the nearest centroid does as well.",
    where="ours",
    rule=(
        "One of three switches that nobody trains has a drop no higher than either trained switch's, and a source "
        f"accuracy at most {MARGIN} below either's."
    ),
    ours=True,
)
def untrained(methods: Methods) -> Finding:
    runs = methods.baselines[:3]  # of the nearest means, the one that knows the examples of table 11
    metrics = ("source_accuracy", "accuracy_drop", "switch_recall", "false_alarms")
    found = {run: [methods.value(run, metric) for metric in metrics] for run in runs}
    learnt = [[methods.value(methods.four[kind], metric) for metric in metrics[:2]] for kind in LEARNT]
    needed, allowed = max(source for source, _ in learnt) - MARGIN, min(drop for _, drop in learnt)
    numbers = (
        f"{capitalised(method_words(run))}: on for {recall:.1%} of the source instances and {alarms:.1%} of the others "
        f"(source accuracy {source:.3f}, drop {drop:.3f})."
        for run, (source, drop, recall, alarms) in found.items()
    )
    seen = any(source >= needed and drop <= allowed for source, drop, *_ in found.values())
    return Finding(seen, tuple(numbers))


CLAIMS = (perfect, forgets, head_helps, switches_help, mlp_helps, order, imperfect, more_examples, by_input, untrained)


def _finding(
    methods: Methods, runs: Iterable[str], rule: Callable[[Sequence[float]], bool], metric: str = "accuracy_drop"
) -> Finding:
    """Whether a rule holds for a metric of these methods; a sentence for each: over the seeds, and in every seed."""
    values_of = {run: methods.values(run, metric) for run in runs}
    seen = rule([methods.value(run, metric) for run in values_of])
    sentences = []
    for run, values in values_of.items():
        each = f" ({', '.join(map(shown, values))})" if methods.members else ""
        sentences.append(f"{capitalised(method_words(run))}: {METRICS[metric]} {shown(over_seeds(values))}{each}.")
    return Finding(seen, tuple(sentences))


def _falls(values: Sequence[float]) -> bool:
    return all(before > after for before, after in itertools.pairwise(values))
