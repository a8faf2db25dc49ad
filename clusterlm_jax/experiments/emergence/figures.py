"""The paper's figures 2, 3, 4, 6 and 15; of other runs it draws the same as figures 7 to 14."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clusterlm_jax.experiments.emergence import own_figures
from clusterlm_jax.experiments.emergence.correlation import correlation_deviations, correlations
from clusterlm_jax.records import FINAL_NORM
from clusterlm_jax.report import drawing, paper
from clusterlm_jax.report.page import FigureEntry, figure
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.training import clusters_figure, is_similar
from clusterlm_jax.report.words import LABEL_WORDS, LABELS, REDUCERS, SCORE_WORDS, SPLIT_WORDS, layer_words


def heading(entry: FigureEntry, run: Run) -> str:
    """The heading of a figure: its number in the paper for a run so configured, or the main run's it is drawn as."""
    if not entry.number:
        return f"{entry.title} (ours)"
    if is_similar(run):
        numbers = paper.SIMILAR
    elif run.members:
        numbers = paper.SEEDS
    else:
        numbers = paper.WIDTHS.get(run.config.get("model", {}).get("hidden_dim"), paper.MAIN)
    number = numbers.get(entry.number)
    return f"Figure {number}: {entry.title}" if number else f"As figure {entry.number}: {entry.title}"


@figure(
    "figure_2",
    "clusters over training",
    "Look at the first column (the paper: it rises with training and with the layer), and at whether the curves "
    "still rise right of the dashed line. The input symbol alone is layer 0.",
    number="2",
)
def figure_2(run: Run) -> Figure:
    return clusters_figure(run)


@figure(
    "figure_3",
    "learning curves",
    "Look at how long the flat start is, and how steep the rise.",
    number="3",
)
def figure_3(run: Run) -> Figure:
    """Similar tasks (B.1) have a second line: any output that the task identity has for the input is right."""
    panels = (
        ("training_loss", "(a) training loss", "nats per token"),
        ("training_subset_accuracy", "(b) training subset", "task accuracy"),
        ("validation_accuracy", "(c) validation", "task accuracy"),
    )
    if not any(run.metrics.get(name) for name, _, _ in panels):
        raise NotRun("there are no metrics of any epoch")
    figure, axes = drawing.grid(1, 3, gap=0.65)
    for panel, (name, title, unit) in zip(axes[0], panels, strict=True):
        panel.set_title(title, loc="left")
        if not run.metrics.get(name):
            drawing.say_not_run(panel, f"no {name.replace('_', ' ')}")
            continue
        if name != "training_loss":
            drawing.metric_curves(
                panel, run, name.replace("_accuracy", "_identity_accuracy"), color=drawing.CATEGORIES[1]
            )
        drawing.metric_curves(panel, run, name, color=drawing.CATEGORIES[0])
        drawing.mark_best(panel, run)
        panel.set(xlabel="epoch", ylabel=unit)
        panel.set_ylim(*((0, None) if name == "training_loss" else (-0.03, 1.03)))
        drawing.epoch_axis(panel)
    handles = [Line2D([], [], color=drawing.CATEGORIES[0], label="value after each epoch")]
    if any(name.endswith("_identity_accuracy") for name in run.metrics):
        handles[0].set_label("output of the instance's own task")
        handles.append(
            Line2D([], [], color=drawing.CATEGORIES[1], label="any output of its task identity for this input")
        )
    drawing.legend(figure, [*handles, *drawing.best_handle(run), *drawing.deviation_handle(run)])
    return figure


@figure(
    "figure_4",
    "nearest neighbours",
    "Of the ten nearest training instances of an unseen one: (a) how many share its task, (b) whether most of their "
    "outputs are right (of a tie the smallest label counts, as in scikit-learn).",
    number="4",
)
def figure_4(run: Run) -> Figure:
    panels = (
        ("knn_percentage", "task", "(a) neighbours with the same task", "share of the neighbours"),
        ("knn_accuracy", "output", "(b) kNN accuracy", "share of correct outputs"),
    )
    if not any(run.curve(layer=layer, label=label, score=score) for score, label, *_ in panels for layer in run.layers):
        raise NotRun("the nearest neighbours have not been analysed")
    size, room = (2.9, 1.8), drawing.ROOM_FOR_NULLS
    figure, axes = drawing.grid(1, 2, "validation, raw states", panel=size, gap=0.65, bottom=room)
    for panel, (score, label, title, unit) in zip(axes[0], panels, strict=True):
        drawing.layer_curves(panel, run, label=label, score=score)
        panel.set_title(title, loc="left")
        panel.set(xlabel="epoch", ylabel=unit)
    drawing.layer_legend(figure, run)
    return figure


def _all_scores(run: Run, split: str) -> Figure:
    """Every score of every layer over training, of one split: scores by labels."""
    subtitle = f"{SPLIT_WORDS[split]}, reducer: {REDUCERS[run.reducer]}"
    figure, axes = drawing.grid(3, 3, subtitle, bottom=drawing.ROOM_FOR_NULLS)
    for row, score in zip(axes, SCORE_WORDS, strict=True):
        for panel, label in zip(row, LABELS, strict=True):
            drawing.layer_curves(panel, run, split=split, label=label, score=score)
    drawing.name_panels(axes, SCORE_WORDS.values(), [f"by {LABEL_WORDS[label]}" for label in LABELS])
    drawing.layer_legend(figure, run)
    return figure


@figure(
    "figure_6a",
    "all scores, training subset",
    "F1, ARI and AMI of the same clusters.",
    number="6a",
)
def figure_6a(run: Run) -> Figure:
    return _all_scores(run, "training_subset")


@figure("figure_6b", "all scores, validation", "The same for instructions the model has never seen.", number="6b")
def figure_6b(run: Run) -> Figure:
    return _all_scores(run, "validation")


@figure(
    "figure_15",
    "performance and clusters",
    "Look at the top layers against the dotted lines, the paper's thresholds; layer 0 hardly learns, so its r says "
    "little. Of several seeds, r is computed in each.",
    number="15",
)
def figure_15(run: Run) -> Figure:
    rows, deviations = correlations(run), correlation_deviations(run)
    figure, axes = drawing.grid(1, 1, f"validation, reducer: {REDUCERS[run.reducer]}", panel=(5.5, 2.7))
    panel, colours = axes[0, 0], dict(zip(SCORE_WORDS, drawing.CATEGORIES, strict=False))
    styles = {"accuracy": {"linestyle": "-", "marker": "o"}, "loss": {"linestyle": "--", "marker": "s"}}
    for (performance, score), values in rows.items():
        line = {"color": colours[score], "markersize": 4, **styles[performance]}
        places = {run.layers.index(layer): layer for layer in run.indices}
        deviation = deviations.get((performance, score))
        curve, shade = (of and {x: of[layer] for x, layer in places.items()} for of in (values, deviation))
        drawing.draw_curve(panel, curve, shade, **line)
        if FINAL_NORM in values:  # apart: it is no block
            panel.plot(run.layers.index(FINAL_NORM), values[FINAL_NORM], mfc="white", **line)
    for threshold in (-paper.STRONG, paper.STRONG):
        panel.axhline(threshold, color=".3", linestyle=":", linewidth=1)
    panel.set(ylim=(-1.05, 1.05), xlim=(-0.4, len(run.layers) - 0.6), xlabel="layer")
    panel.set_ylabel("Pearson r over the epochs")
    panel.set_xticks(range(len(run.layers)), [layer_words(layer) for layer in run.layers])
    handles = [Line2D([], [], color=colours[score], label=words) for score, words in SCORE_WORDS.items()]
    handles += [
        Line2D([], [], color=".3", markersize=4, label=f"with {name}", **style) for name, style in styles.items()
    ]
    handles.append(Line2D([], [], color=".3", linestyle=":", label="±.6"))
    drawing.legend(figure, [*handles, *drawing.deviation_handle(run)])
    return figure


FIGURES = (
    own_figures.figure_instruments,
    figure_3,
    figure_2,
    own_figures.figure_spaces,
    own_figures.figure_scatter,
    own_figures.figure_timing,
    own_figures.figure_hard,
    own_figures.figure_variance,
    figure_6a,
    figure_6b,
    figure_4,
    figure_15,
)
