"""What pages of several experiments show of a training: its data and model, its clusters, where hard examples sit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from clusterlm_jax.data import storage
from clusterlm_jax.records import SPLITS
from clusterlm_jax.report import drawing, paper
from clusterlm_jax.report.claims import MARGIN, Claim, Finding, judge, verdict_words
from clusterlm_jax.report.explorer.spaces import Words, explore
from clusterlm_jax.report.page import FigureEntry, Page, TableEntry, heading, publish
from clusterlm_jax.report.run import NotRun, Run, measured
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.tables import Table, side_by_side
from clusterlm_jax.report.words import LABEL_WORDS, LABELS, REDUCERS, SPLIT_WORDS, counted, duration
from clusterlm_jax.workdir import WorkDir

SIZES = (  # the words, the name in run.json, and what the paper says
    *((f"{name.replace('_', ' ')} instances", name, size) for name, size in paper.SIZES.items()),
    ("tasks", "tasks", 50),
    ("of these, hard", "hard_tasks", 5),
    ("hard instructions that still match their original's expression", "hard_instructions_still_matching", "not given"),
    ("instruction distributions", "distributions", "1 to 6 a task"),
    ("instructions", "instructions", "10 a distribution"),
    ("tasks that share an input, mean", "tasks_per_input_mean", "not given"),
    ("symbols of an instance, mean", "length_mean", "not given"),
    ("symbols of an instance, most", "length_max", "not given"),
)
SIZES_OF_SIMILAR = (
    ("similar tasks, each counted", "similar_tasks", "not given"),
    ("outputs of an input in a task identity, mean", "outputs_per_input_mean", "not given"),
)


def publish_training(
    subject: Any,
    run: Run,
    workdir: Path,
    spec: ReportSpec,
    *,
    question: str,
    introduction: str,
    sentences: Sequence[Callable[[Any], str]],
    lead: str,
    facts: Sequence[tuple[str, str]],
    claims: Sequence[Claim],
    figures: Sequence[FigureEntry],
    tables: Sequence[TableEntry],
    heading: Callable[[FigureEntry], str] = heading,
) -> Path:
    """Writes the page of a work directory with trainings, and returns its path.

    Args:
      subject: what claims, figures and tables are about: a run, or several phases with their `members`.
      run: the training whose data, model and configuration the page shows.
      sentences: of the summary, from the subject; one that raises `NotRun` is left out. The verdicts' is added.
      facts: the page's own; the run, its model and the wall time are added.
    """
    judgements, seeds = judge(claims, subject), ", ".join(map(str, subject.seeds))
    verdicts = f"Of the paper's claims, by the printed rules: {verdict_words(judgements)}."
    page = Page(
        title=f"{question} {subject.name}",
        question=f"{question} The run {subject.name}",
        introduction=introduction,
        summary=[*filter(None, (measured(sentence, subject) for sentence in sentences)), verdicts],
        lead=lead,
        facts=[
            ("Run", f"{subject.name}, {f'mean of the seeds {seeds}' if subject.members else f'seed {seeds}'}"),
            ("Model", model_words(run)),
            *facts,
            ("Wall time by stage", seconds_words(run)),
        ],
        judgements=judgements,
        several="seed" if subject.members else "",
        explorer=explore(run.embeddings, _words(workdir, run), spec.scatter_layer) if spec.explorer else None,
        details={"Configuration": run.config, "Environment": run.environment},
    )
    return publish(page, subject, figures, tables, workdir, spec, heading)


def _words(workdir: Path, run: Run) -> Words:
    """What is read of instances: those of the first seed, whose t-SNE spaces are shown."""
    directory = WorkDir(workdir).dataset(run.seeds[0])
    return storage.words(storage.load(directory)) if (directory / storage.FILE).is_file() else {}


def model_words(run: Run) -> str:
    """The size of a GPT-2."""
    model = run.facts.get("model", {})
    if "parameters" not in model:
        return "not run"
    return (
        f"{model['parameters']:,} parameters: hidden {model['hidden_dim']}, feed-forward {model['ffn_dim']}, "
        f"{counted(model['layers'], 'block')}, {counted(model['heads'], 'head')}"
    )


def seconds_words(run: Any) -> str:
    return ", ".join(f"{stage} {duration(seconds)}" for stage, seconds in run.seconds.items()) or "not run"


def epochs_words(phases: Mapping[str, Run]) -> str:
    """How far each training of a work directory has come, by name."""
    return "; ".join(f"{name} {max(run.trained, 0)} epochs{batches_words(run)}" for name, run in phases.items())


def batches_words(run: Run) -> str:
    """What an epoch is, as far as `run.json` says."""
    nouns, facts = {"steps_per_epoch": "step", "instances_per_step": "instance"}, run.facts.get("training", {})
    return "".join(f" of {counted(facts[name], noun)}" for name, noun in nouns.items() if name in facts)


def is_similar(run: Run) -> bool:
    """Whether the tasks of the run share mappings (paper B.1)."""
    return run.config.get("data", {}).get("shared_mappings") is not None


def sizes(run: Run) -> Table:
    each = [member.facts.get("dataset", {}) for member in run.each_seed]
    ours = [f"seed {seed}" for seed in run.seeds] if run.members else ["ours"]
    quantities = SIZES + (SIZES_OF_SIMILAR if is_similar(run) else ())
    rows = (((words,), (*(data.get(name) for data in each), paper)) for words, name, paper in quantities)
    return side_by_side(["quantity"], [*ours, "paper"], rows)


def sizes_entry(note: str, training_of=lambda subject: subject) -> TableEntry:
    """Table 2 on a page: of the training that `training_of` finds in the page's subject."""
    return TableEntry("table_2", "Data sizes (table 2)", note, lambda subject: sizes(training_of(subject)))


def clusters_figure(run: Run, labels: Sequence[str] = LABELS) -> Figure:
    """F1 of every layer over training, as figures 2 and 5a: splits by labels."""
    reducer, size = f"reducer: {REDUCERS[run.reducer]}", (5.85 / len(labels), 1.3)
    figure, axes = drawing.grid(2, len(labels), reducer, panel=size, bottom=drawing.ROOM_FOR_NULLS)
    for row, split in zip(axes, SPLITS, strict=True):
        for panel, label in zip(row, labels, strict=True):
            drawing.layer_curves(panel, run, split=split, label=label, score="f1")
    drawing.name_panels(
        axes, [f"F1, {SPLIT_WORDS[s]}" for s in SPLITS], [f"by {LABEL_WORDS[label]}" for label in labels]
    )
    drawing.layer_legend(figure, run)
    return figure


def hard_figure(run: Run) -> Figure:
    """Where the hard examples sit, by layer over training: with their own task or with their original's (ours)."""
    panels = {"hard_with_own": "(a) with their own task", "hard_with_original": "(b) with their original's task"}
    of = {"split": "training_subset", "label": "task"}
    if not any(run.curve(layer=layer, score=score, **of) for score in panels for layer in run.layers):
        raise NotRun("there are no hard examples, or their clusters have not been looked at")
    subtitle = f"training subset, reducer: {REDUCERS[run.reducer]}"
    figure, axes = drawing.grid(1, 2, subtitle, panel=(2.9, 1.8), gap=0.65)
    for panel, (score, title) in zip(axes[0], panels.items(), strict=True):
        drawing.layer_curves(panel, run, score=score, **of)
        panel.set_title(title, loc="left")
        panel.set(xlabel="epoch", ylabel="share of the hard examples")
    drawing.layer_legend(figure, run)
    return figure


def hard_entry(title: str, training_of: Callable[[Any], Run] = lambda subject: subject) -> FigureEntry:
    """`hard_figure` on a page: of the training that `training_of` finds in the page's subject."""
    caption = (
        "The share of the hard examples in a cluster (a) with more of their own task than of their original's, (b) the "
        "reverse. One in a cluster with equal shares of both is counted in neither panel."
    )
    return FigureEntry("figure_hard", title, caption, lambda subject: hard_figure(training_of(subject)))


def gains(run: Run) -> Finding:
    """Whether the blocks' mean task F1 gains over `MARGIN` from the first to the last epoch, on both splits."""
    first, last = ends(run)
    changes, numbers = [], []
    for split in SPLITS:
        before, after = (run.mean(split=split, layers=run.blocks, epochs=(at,), score="f1") for at in (first, last))
        changes.append(after - before)
        numbers.append(
            f"{SPLIT_WORDS[split].capitalize()}: {before:.2f} (epoch {first}) to {after:.2f} (epoch {last})."
        )
    return Finding(min(changes) > MARGIN, tuple(numbers))


def ends(run: Run) -> tuple[int, int]:
    """The first and the last analysed epoch, two different ones."""
    if len(run.epochs) < 2:
        raise NotRun("fewer than two epochs have been analysed")
    return run.epochs[0], run.epochs[-1]


def series(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)
