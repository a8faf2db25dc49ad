"""The page of pre-training with task identities, and of several such runs side by side (paper 4.1, figure 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from clusterlm_jax.experiments.pretraining.claims import CLAIMS
from clusterlm_jax.experiments.pretraining.figures import FIGURES, draw_accuracies, start_handles
from clusterlm_jax.experiments.pretraining.starts import EPOCHS_TO, MEASURES, STARTS, Starts, best_accuracy, read_starts
from clusterlm_jax.experiments.pretraining.tables import TABLES
from clusterlm_jax.report import comparison
from clusterlm_jax.report.comparison import Point, claims_entry, known, panels, read_points, table_of
from clusterlm_jax.report.page import PAPER, figure, table
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.tables import Table, over_seeds, shown
from clusterlm_jax.report.training import epochs_words, publish_training

QUESTION = "Does it help to learn task identities first?"
INTRODUCTION = (
    "A GPT-2 was pre-trained to name the task of an instruction, without seeing what the task does. Then it was "
    "fine-tuned to follow the instructions. The same fine-tuning was done after pre-training on the instructions "
    f"alone, and without pre-training. This is section 4.1 of {PAPER}."
)


def write(workdir: Path, spec: ReportSpec) -> Path:
    """Writes `figures/`, `tables/` and `report.html`, as far as the run has come; returns the path of the page.

    Raises:
      UserError: there is no such work directory, or a file in it is damaged.
    """
    starts = read_starts(workdir)
    return publish_training(
        starts,
        starts.clusters,
        workdir,
        spec,
        question=QUESTION,
        introduction=INTRODUCTION,
        sentences=[partial(_sentence, start=start) for start in STARTS],
        lead="figure_5b",
        facts=(("Epochs trained", epochs_words(starts.phases)),),
        claims=CLAIMS,
        figures=FIGURES,
        tables=TABLES,
    )


def _sentence(starts: Starts, start: str) -> str:
    return f"Fine-tuning after {STARTS[start]}: {start_words(starts, start)}."


def start_words(starts: Starts, start: str) -> str:
    """How far fine-tuning comes from a start, and when."""
    if not starts.fine_tunings[start].metrics:
        return "not run"
    words = [f"best validation accuracy {shown(over_seeds(starts.values(best_accuracy, start)))}"]
    for threshold, epochs_to in EPOCHS_TO.items():
        epoch = shown(over_seeds(starts.values(epochs_to, start)))
        words.append(f"{threshold} {'' if epoch.startswith(('never', 'not run')) else 'at epoch '}{epoch}")
    return "; ".join(filter(None, (", ".join(words), starts.untrained(start))))


def compare(workdirs: Mapping[str, Path], into: Path, spec: ReportSpec) -> Path:
    """Writes the page of several runs side by side, as far as each has come; returns its path."""
    points = read_points(read_starts, _progress, workdirs, into)
    return comparison.write(QUESTION, points, (compared_5b,), (claims_entry(CLAIMS), compared_starts), into, spec)


def _progress(starts: Starts) -> str:
    starts.require("fine-tuning")
    done = ", ".join(f"{words} {max(starts.fine_tunings[start].trained, 0)}" for start, words in STARTS.items())
    return f"epochs of fine-tuning: {done}; seeds {', '.join(map(str, starts.seeds))}"


@figure(
    "figure_5b",
    "Validation accuracy over fine-tuning (figure 5b)",
    "Within a seed, data, initial values and order of the instances are the same for all starts. Dotted: the "
    "accuracies whose epochs the table gives.",
)
def compared_5b(points: Sequence[Point[Starts]]) -> Figure:
    handles, axis = start_handles(known(points)[0].run), {"xlabel": "epoch of fine-tuning", "ylabel": "task accuracy"}
    return panels(points, "validation", draw_accuracies, handles, **axis)


@table(
    "table_starts",
    "How soon and how far",
    "Of several seeds the mean and the sample standard deviation; never: that accuracy was not reached.",
)
def compared_starts(points: Sequence[Point[Starts]]) -> Table:
    rows = (
        ((name, words), [over_seeds(point.run.values(measure, start)) for point in known(points)])
        for name, measure in MEASURES.items()
        for start, words in STARTS.items()
    )
    return table_of(("of fine-tuning", "start"), known(points), rows)
