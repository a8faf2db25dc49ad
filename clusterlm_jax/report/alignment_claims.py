"""The paper's claims about alignment (F.1, table 11), each judged seed by seed by a printed rule."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from clusterlm_jax.report.claims import Claim
from clusterlm_jax.report.measures import MARGIN, Finding
from clusterlm_jax.report.methods import LEARNT, METRICS, PAPER, Methods, method_words
from clusterlm_jax.report.points import over_seeds
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.tables import shown

PERFECT = 0.995  # what is printed as 1.00


def perfect(methods: Methods) -> Finding:
    metric = "source_accuracy"
    accuracies = [methods.value(run, metric) for run in methods.four.values()]
    return Finding(min(accuracies) >= PERFECT, numbers(methods, methods.four.values(), metric))


def forgets(methods: Methods) -> Finding:
    drop = methods.value("direct", "accuracy_drop")
    return Finding(drop > MARGIN, numbers(methods, ["direct"], "accuracy_drop"))


def ordered(methods: Methods, kinds: Sequence[str] = tuple(PAPER)) -> Finding:
    """Whether each of these methods forgets more than the next."""
    runs = [methods.four[kind] for kind in kinds]
    drops = [methods.value(run, "accuracy_drop") for run in runs]
    seen = all(before > after for before, after in itertools.pairwise(drops))
    return Finding(seen, numbers(methods, runs, "accuracy_drop"))


def switches_retain_more(methods: Methods) -> Finding:
    findings = [ordered(methods, ("head", kind)) for kind in LEARNT]
    shown_numbers = tuple(dict.fromkeys(number for finding in findings for number in finding.numbers))
    return Finding(all(finding.seen for finding in findings), shown_numbers)


def imperfect(methods: Methods) -> Finding:
    runs = [methods.four[kind] for kind in LEARNT]
    seen = all(methods.value(run, metric) > 0 for run in runs for metric in ("accuracy_drop", "false_alarms"))
    words = (numbers(methods, runs, metric) for metric in ("false_alarms", "accuracy_drop"))
    return Finding(seen, tuple(itertools.chain(*words)))


def more_examples(methods: Methods) -> Finding:
    ends = min(methods.examples), max(methods.examples)
    if ends[0] == ends[1]:
        raise NotRun("switches were trained with one number of examples")
    runs = {kind: [f"{kind}/examples={number}" for number in ends] for kind in LEARNT}
    drops = [[methods.value(run, "accuracy_drop") for run in of_kind] for of_kind in runs.values()]
    seen = all(few > many for few, many in drops)
    return Finding(seen, numbers(methods, itertools.chain(*runs.values()), "accuracy_drop"))


def numbers(methods: Methods, runs: Sequence[str], metric: str) -> tuple[str, ...]:
    """A sentence for each method: its metric in every seed, and together."""
    sentences = []
    for run in runs:
        values = methods.values(run, metric)
        each = f" ({', '.join(map(shown, values))})" if methods.members else ""
        words = method_words(run)
        sentences.append(f"{words[0].upper()}{words[1:]}: {METRICS[metric]} {shown(over_seeds(values))}{each}.")
    return tuple(sentences)


CLAIMS = (
    Claim(
        paper="All methods achieve perfect performance for the updated source tasks on a validation set.",
        where="F.1, table 11",
        rule=f"Source accuracy is at least {PERFECT}, printed as 1.00, with each of the four methods.",
        measure=perfect,
    ),
    Claim(
        paper="Direct fine-tuning undergoes significant performance drops on other tasks.",
        where="F.1, table 11: .210",
        rule=f"Its drop is above {MARGIN}.",
        measure=forgets,
    ),
    Claim(
        paper="Fine-tuning only the language head retains more performance on other tasks.",
        where="F.1, table 11: .120",
        rule="Its drop is below that of direct fine-tuning.",
        measure=lambda methods: ordered(methods, ("direct", "head")),
    ),
    Claim(
        paper="But not as much as the methods with a linear or an MLP switch.",
        where="F.1, table 11: .087 and .080",
        rule="The drop with each of the two switches is below that of fine-tuning the language head.",
        measure=switches_retain_more,
    ),
    Claim(
        paper="The MLP-based switch network is slightly better than the linear one.",
        where="F.1, table 11",
        rule="Its drop is below the linear switch's.",
        measure=lambda methods: ordered(methods, ("linear_switch", "mlp_switch")),
    ),
    Claim(
        paper="So the order of the four methods is that of table 11.",
        where="F.1, table 11",
        rule="Drops fall from direct fine-tuning over the language head and the linear switch to the MLP switch.",
        measure=ordered,
    ),
    Claim(
        paper="Other tasks are not completely preserved, due to the imperfection of the switch network.",
        where="F.1",
        rule="With both switches instances of other tasks are switched on, and there is a drop.",
        measure=imperfect,
    ),
    Claim(
        paper="More examples may be used to obtain a better switch network.",
        where="F.1; not tried in the paper",
        rule="With both switches the drop is smaller with the most examples of each other task than with the fewest.",
        measure=more_examples,
    ),
)
