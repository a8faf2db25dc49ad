"""The report of a run: figures, tables, and one page to read, from what is in its work directory."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
import matplotlib

from clusterlm_jax.records import SPLITS, write_atomically
from clusterlm_jax.report import claims, style, tables
from clusterlm_jax.report.claims import Judgement
from clusterlm_jax.report.gallery import FIGURES, FigureEntry, heading
from clusterlm_jax.report.plain import in_plain_words
from clusterlm_jax.report.reading import mean_run, read_runs
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.spec import FORMATS, ReportSpec
from clusterlm_jax.report.tables import TABLES, Table, TableEntry
from clusterlm_jax.report.words import REDUCERS, SPLIT_WORDS, layer_words

TEMPLATE = Path(__file__).with_name("template.html")
PIXELS_PER_INCH = 120  # on the page: one scale, so that letters are of one size


@dataclasses.dataclass(frozen=True)
class ShownFigure:
    """A figure on the page: its picture as a data address and how wide to show it, or why there is none."""

    entry: FigureEntry
    picture: str = ""
    pixels: int = 0
    missing: str = ""


@dataclasses.dataclass(frozen=True)
class ShownTable:
    """A table on the page, or why there is none."""

    entry: TableEntry
    table: Table | None
    missing: str


def write(workdir: Path, spec: ReportSpec) -> Path:
    """Draws everything a run has come to and writes `figures/`, `tables/` and `report.html`.

    Whatever has not been run is named in words in its place.

    Returns:
      The path of the page.

    Raises:
      UserError: there is no such work directory, or a file in it is damaged.
    """
    run = mean_run(read_runs(workdir))
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **style.STYLE}):
        shown_figures = [_write_figure(entry, run, spec, workdir / "figures") for entry in FIGURES]
    shown_tables = [_write_table(entry, run, workdir / "tables") for entry in TABLES]
    judgements = claims.judge(run)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["shown"] = tables.shown
    html = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        run=run,
        headline=_headline(run, judgements),
        plain_words=in_plain_words(run),
        judgements=judgements,
        figures=shown_figures,
        headings={entry.name: heading(entry, run) for entry in FIGURES},
        tables=shown_tables,
        configuration=json.dumps(run.config, indent=2, sort_keys=True),
        environment=json.dumps(run.environment, indent=2, sort_keys=True),
    )
    page = workdir / "report.html"
    write_atomically(page, lambda path: path.write_text(html, encoding="utf-8"))
    return page


def _write_figure(entry: FigureEntry, run: Run, spec: ReportSpec, directory: Path) -> ShownFigure:
    """Draws a figure and writes it in every format asked for."""
    try:
        figure = entry.draw(run, spec)
    except NotRun as reason:
        _publish(directory, entry.name, dict.fromkeys(FORMATS))
        return ShownFigure(entry, missing=str(reason))
    picture = style.render(figure, "png")
    rendered = {"png": picture} | {form: style.render(figure, form) for form in spec.formats if form != "png"}
    _publish(directory, entry.name, {form: rendered[form] if form in spec.formats else None for form in FORMATS})
    address = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    return ShownFigure(entry, address, round(figure.get_figwidth() * PIXELS_PER_INCH))


def _write_table(entry: TableEntry, run: Run, directory: Path) -> ShownTable:
    """Makes a table and writes it for people (Markdown) and programs (CSV)."""
    try:
        table = entry.make(run)
    except NotRun as reason:
        _publish(directory, entry.name, dict.fromkeys(("md", "csv")))
        return ShownTable(entry, None, str(reason))
    files = {"md": tables.markdown(table).encode(), "csv": tables.comma_separated(table).encode()}
    _publish(directory, entry.name, files)
    return ShownTable(entry, table, "")


def _publish(directory: Path, name: str, files: Mapping[str, bytes | None]) -> None:
    """Replaces `name`'s files by suffix; None removes an older one, which this run no longer supports."""
    for suffix, content in files.items():
        path = directory / f"{name}.{suffix}"
        if content is None:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, lambda temporary, content=content: temporary.write_bytes(content))


def _headline(run: Run, judgements: Sequence[Judgement]) -> list[tuple[str, str]]:
    """The run's main numbers, a name and words each."""
    model = run.facts.get("model", {})
    return [
        ("Run", _run_words(run)),
        ("Model", _model_words(model)),
        ("Trained", _trained_words(run)),
        ("Best validation accuracy", _accuracy_words(run)),
        *((f"Highest task F1, {SPLIT_WORDS[split]}", _clusters_words(run, split)) for split in SPLITS),
        ("The paper's claims", _verdict_words(run, judgements)),
        ("Wall time by stage", ", ".join(f"{stage} {_time(s)}" for stage, s in run.seconds.items()) or "not run"),
    ]


def _verdict_words(run: Run, judgements: Sequence[Judgement]) -> str:
    verdicts = [judgement.verdict for judgement in judgements]
    possible = [verdict for verdict in claims.VERDICTS if run.members or verdict != claims.MIXED]
    return ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in possible)


def _run_words(run: Run) -> str:
    seeds = f"seed {run.seeds[0]}"
    if run.members:
        seeds = f"mean of the seeds {', '.join(map(str, run.seeds))}"
    experiment = run.config.get("experiment")
    return f"{run.name}{f' ({experiment})' if experiment else ''}, {seeds}"


def _model_words(model: dict) -> str:
    if "parameters" not in model:
        return "not run"
    return (
        f"{model['parameters']:,} parameters: hidden {model['hidden_dim']}, feed-forward {model['ffn_dim']}, "
        f"{model['layers']} layers, {model['heads']} heads"
    )


def _trained_words(run: Run) -> str:
    epochs = [epoch for curve in run.metrics.values() for epoch in curve]
    if not epochs:
        return "not run"
    steps = run.facts.get("training", {}).get("steps_per_epoch")
    return f"{max(epochs)} epochs" + (f" of {steps:,} steps" if steps else "")


def _accuracy_words(run: Run) -> str:
    seeds = [
        f"{accuracy:.3f} at epoch {member.best_epoch}" + (f" (seed {seed})" if run.members else "")
        for seed, member in zip(run.seeds, run.each_seed, strict=True)
        if (accuracy := member.metrics.get("validation_accuracy", {}).get(member.best_epoch)) is not None
    ]
    return f"{', '.join(seeds)} (the paper's best epoch: 51)" if seeds else "not run"


def _clusters_words(run: Run, split: str) -> str:
    """The best task F1 of all analysed layers and epochs, and where it is."""
    try:
        cells = [
            (value, layer, epoch)
            for layer in run.layers
            for epoch, value in run.curve("f1", "task", split, layer).items()
        ]
        value, layer, epoch = max(cells)
    except (NotRun, ValueError):
        return "not run"
    return f"{value:.3f} at {layer_words(layer)}, epoch {epoch} ({REDUCERS[run.reducer]})"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
