"""What all pages have in common: figures and tables written to files and shown on one page."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import matplotlib

from clusterlm_jax.records import write_atomically
from clusterlm_jax.report import style, tables
from clusterlm_jax.report.gallery import FigureEntry
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.spec import FORMATS, ReportSpec
from clusterlm_jax.report.tables import Table, TableEntry

PIXELS_PER_INCH = 120  # on the page: one scale, so that letters are of one size


@dataclasses.dataclass(frozen=True)
class ShownFigure:
    """A figure on the page: its picture as a data address and how wide to show it, or why there is none."""

    entry: FigureEntry
    heading: str
    picture: str = ""
    pixels: int = 0
    missing: str = ""


@dataclasses.dataclass(frozen=True)
class ShownTable:
    """A table on the page, or why there is none."""

    entry: TableEntry
    table: Table | None
    missing: str


def publish(
    into: Path,
    template: str,
    subject: Any,
    figures: Sequence[FigureEntry],
    tables_: Sequence[TableEntry],
    spec: ReportSpec,
    heading: Callable[[FigureEntry], str] = lambda entry: entry.title,
    **words: Any,
) -> Path:
    """Draws what a subject (a run, several runs) has come to; writes `figures/`, `tables/` and `report.html`.

    Args:
      template: of the page, beside this file.
      words: what the template asks for besides figures and tables.

    Returns:
      The path of the page.
    """
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **style.STYLE}):
        shown_figures = [_write_figure(entry, heading(entry), subject, spec, into / "figures") for entry in figures]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = tables.shown
    html = environment.get_template(template).render(
        figures=shown_figures,
        tables=[_write_table(entry, subject, into / "tables") for entry in tables_],
        **words,
    )
    page = into / "report.html"
    write_atomically(page, lambda path: path.write_text(html, encoding="utf-8"))
    return page


def _write_figure(entry: FigureEntry, heading: str, subject: Any, spec: ReportSpec, directory: Path) -> ShownFigure:
    """Draws a figure and writes it in every format asked for."""
    try:
        figure = entry.draw(subject, spec)
    except NotRun as reason:
        _replace(directory, entry.name, dict.fromkeys(FORMATS))
        return ShownFigure(entry, heading, missing=str(reason))
    picture = style.render(figure, "png")
    rendered = {"png": picture} | {form: style.render(figure, form) for form in spec.formats if form != "png"}
    _replace(directory, entry.name, {form: rendered[form] if form in spec.formats else None for form in FORMATS})
    address = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    return ShownFigure(entry, heading, address, round(figure.get_figwidth() * PIXELS_PER_INCH))


def _write_table(entry: TableEntry, subject: Any, directory: Path) -> ShownTable:
    """Makes a table and writes it for people (Markdown) and programs (CSV)."""
    try:
        table = entry.make(subject)
    except NotRun as reason:
        _replace(directory, entry.name, dict.fromkeys(("md", "csv")))
        return ShownTable(entry, None, str(reason))
    files = {"md": tables.markdown(table).encode(), "csv": tables.comma_separated(table).encode()}
    _replace(directory, entry.name, files)
    return ShownTable(entry, table, "")


def _replace(directory: Path, name: str, files: Mapping[str, bytes | None]) -> None:
    """Replaces `name`'s files by suffix; None removes an older one, which the subject no longer supports."""
    for suffix, content in files.items():
        path = directory / f"{name}.{suffix}"
        if content is None:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, lambda temporary, content=content: temporary.write_bytes(content))
