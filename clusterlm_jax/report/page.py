"""A page: what an experiment has come to, as figures and tables in files and in one HTML page."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
from matplotlib.figure import Figure
from plotly.offline import get_plotlyjs

from clusterlm_jax.records import write_atomically
from clusterlm_jax.report import drawing, tables
from clusterlm_jax.report.claims import Judgement
from clusterlm_jax.report.explorer import animation
from clusterlm_jax.report.explorer.spaces import Explorer, packed
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.spec import FORMATS, ReportSpec
from clusterlm_jax.report.tables import Table

PAPER = (
    '<a href="https://arxiv.org/abs/2402.12151">Transformer-based Causal Language Models Perform Clustering</a> '
    "(Wu &amp; Varshney)"
)
PIXELS_PER_INCH = 120  # on the page: one scale, so that letters are of one size, of 8 points in 13 pixels
TEMPLATES = Path(__file__).parent / "templates"


@dataclasses.dataclass(frozen=True)
class FigureEntry:
    """A figure: the name of its files, its heading, its caption, and how to draw it from the page's subject.

    `number` is its number in the paper, empty for one of ours. `draw` raises `NotRun` where there is nothing to show.
    """

    name: str
    title: str
    caption: str
    draw: Callable[..., Figure]
    number: str = ""
    with_spec: bool = False  # whether `draw` also takes the `ReportSpec`

    def __call__(self, subject: Any, spec: ReportSpec = ReportSpec()) -> Figure:
        return self.draw(subject, spec) if self.with_spec else self.draw(subject)


@dataclasses.dataclass(frozen=True)
class TableEntry:
    """A table: the name of its files, its heading, what to read in it, and how to make it from the page's subject."""

    name: str
    title: str
    note: str
    make: Callable[[Any], Table]

    def __call__(self, subject: Any) -> Table:
        return self.make(subject)


def figure(name: str, title: str, caption: str, **of: Any) -> Callable[[Callable[..., Figure]], FigureEntry]:
    """Makes an entry of the function below it, so that the caption stands beside the code."""
    return lambda draw: FigureEntry(name, title, caption, draw, **of)


def table(name: str, title: str, note: str) -> Callable[[Callable[[Any], Table]], TableEntry]:
    """Makes an entry of the function below it."""
    return lambda make: TableEntry(name, title, note, make)


def heading(entry: FigureEntry) -> str:
    return f"Figure {entry.number}: {entry.title}" if entry.number else f"{entry.title} (ours)"


@dataclasses.dataclass(frozen=True)
class Page:
    """What a page says besides its figures and tables, in the order of the page.

    Attributes:
      title: of the browser's window.
      question: the heading.
      introduction: a paragraph of HTML.
      summary: what was run, what came out, and whether to believe it: at most five sentences.
      lead: the name of the figure on the first screen; empty for none.
      facts: a name and words each, and the address of a page of its own where there is one.
      judgements: of the claims.
      several: what the claims were judged by one by one, "seed" or "model"; empty where there is only one.
      explorer: the t-SNE spaces to look at; None for none.
      details: JSON to open at the end, by heading.
    """

    title: str
    question: str
    introduction: str
    summary: Sequence[str] = ()
    lead: str = ""
    facts: Sequence[tuple[str, ...]] = ()
    judgements: Sequence[Judgement] = ()
    several: str = ""
    explorer: Explorer | None = None
    details: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


def publish(
    page: Page,
    subject: Any,
    figures: Sequence[FigureEntry],
    tables_: Sequence[TableEntry],
    into: Path,
    spec: ReportSpec,
    heading: Callable[[FigureEntry], str] = heading,
) -> Path:
    """Draws what a subject (a run, several) has come to; writes `figures/`, `tables/` and `report.html`.

    What was not run is named in words in its place.

    Returns:
      The path of the page.
    """
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **drawing.STYLE}):
        shown_figures = [_write_figure(entry, heading(entry), subject, spec, into / "figures") for entry in figures]
        moving = animation.over_training(page.explorer) if page.explorer else None
    _replace(into / "figures", animation.NAME, {"gif": moving})
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = tables.shown
    html = environment.get_template("page.html").render(
        page=page,
        figures=shown_figures,
        formats=spec.formats,
        tables=[_write_table(entry, subject, into / "tables") for entry in tables_],
        explorer=packed(page.explorer) if page.explorer else None,
        library=get_plotlyjs() if page.explorer else "",
        animation=f"{animation.NAME}.gif" if moving else "",
        claims={ours: [j for j in page.judgements if j.claim.ours is ours] for ours in (False, True)},
        details={name: json.dumps(value, indent=2, sort_keys=True) for name, value in page.details.items()},
    )
    path = into / "report.html"
    write_atomically(path, lambda temporary: temporary.write_text(html, encoding="utf-8"))
    return path


def _write_figure(entry: FigureEntry, heading: str, subject: Any, spec: ReportSpec, directory: Path) -> dict[str, Any]:
    """Draws a figure and writes it in every format asked for; what the page shows of it."""
    shown = {"name": entry.name, "heading": heading, "caption": entry.caption, "missing": ""}
    try:
        drawn = entry(subject, spec)
    except NotRun as reason:
        _replace(directory, entry.name, dict.fromkeys(FORMATS))
        return shown | {"missing": str(reason)}
    files = {form: drawing.render(drawn, form, heading) for form in {"png", *spec.formats}}
    _replace(directory, entry.name, {form: files[form] if form in spec.formats else None for form in FORMATS})
    address = f"data:image/png;base64,{base64.b64encode(files['png']).decode()}"
    return shown | {"picture": address, "pixels": round(drawn.get_figwidth() * PIXELS_PER_INCH)}


def _write_table(entry: TableEntry, subject: Any, directory: Path) -> dict[str, Any]:
    """Makes a table and writes it for people (Markdown) and programs (CSV); what the page shows of it."""
    try:
        made = entry(subject)
    except NotRun as reason:
        _replace(directory, entry.name, dict.fromkeys(("md", "csv")))
        return {"entry": entry, "missing": str(reason)}
    files = {"md": tables.markdown(made).encode(), "csv": tables.comma_separated(made).encode()}
    _replace(directory, entry.name, files)
    return {"entry": entry, "table": made, "missing": ""}


def _replace(directory: Path, name: str, files: Mapping[str, bytes | None]) -> None:
    """Replaces `name`'s files by suffix; None removes an older one, which the subject no longer supports."""
    for suffix, content in files.items():
        path = directory / f"{name}.{suffix}"
        if content is None:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, lambda temporary, content=content: temporary.write_bytes(content))
