"""The whole report: from a work directory to files and a page."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from work_directories import (
    like_the_paper,
    metric_records,
    score_rows,
    write_facts,
    write_metrics,
    write_rows,
    write_run,
)

from clusterlm_jax.records import UserError
from clusterlm_jax.report.gallery import gallery
from clusterlm_jax.report.page import write
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.tables import TABLES

FIGURES = tuple(entry.name for entry in gallery(ReportSpec()))
PAGE_ONLY = ReportSpec(formats=())


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run with its report; read it, do not change it."""
    workdir = write_run(tmp_path_factory.mktemp("report") / "run")
    assert write(workdir, ReportSpec()) == workdir / "report.html"
    return workdir


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_in_both_formats(reported: Path, name: str) -> None:
    pixels = imread(reported / "figures" / f"{name}.png")[..., :3]
    assert pixels.shape[1] >= 800, "150 dots per inch of a page's width"
    inked = np.any(pixels < 0.9, axis=-1)
    assert inked.mean() > 0.005
    # A figure that lost its panels still has a title and a legend at its ends: look between them.
    middle = inked[inked.shape[0] // 4 : inked.shape[0] * 3 // 4]
    assert middle.any(axis=0).mean() > 0.3
    pdf = (reported / "figures" / f"{name}.pdf").read_bytes()
    assert pdf.startswith(b"%PDF") and len(pdf) > 5000


def test_nothing_but_the_named_files_is_left(reported: Path) -> None:
    figures = {f"{name}.{form}" for name in FIGURES for form in ("png", "pdf")}
    tables = {f"{entry.name}.{suffix}" for entry in TABLES for suffix in ("md", "csv")}
    assert {path.name for path in (reported / "figures").iterdir()} == figures
    assert {path.name for path in (reported / "tables").iterdir()} == tables


def test_the_page_holds_everything_and_needs_nothing_else(reported: Path) -> None:
    html = (reported / "report.html").read_text()
    sources = re.findall(r'\bsrc="([^"]*)"', html)
    assert len(sources) == len(FIGURES)
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert set(re.findall(r'\bhref="([^"]*)"', html)) == {"https://arxiv.org/abs/2402.12151"}
    assert "<script" not in html and "<link" not in html and "url(" not in html and "@import" not in html
    assert "not run" not in re.sub(r"<p>A GPT-2.*?</p>|\d+ not run", "", html.split("Tables</h2>")[0], flags=re.S)


def test_the_headline_names_the_main_numbers(reported: Path) -> None:
    html = (reported / "report.html").read_text()
    for words in (
        "55,360 parameters",
        "8 epochs of 220 steps",
        "0.950 at epoch 5",
        "11 same direction, 0 not seen, 0 not run",
        "train 2 min 1 s, analyse 30 s",
    ):
        assert words in html
    # The formula's highest validation task F1: t-SNE, top block, from epoch 5 on (0.92).
    assert re.search(r"Highest task F1, validation</dt><dd>0\.920 at (layer 3|final norm), epoch \d", html)


def test_writing_again_gives_the_same_bytes(tmp_path: Path, reported: Path) -> None:
    again = write_run(tmp_path / "run")
    write(again, ReportSpec())
    for path in sorted(reported.rglob("*")):
        if path.suffix in (".png", ".pdf", ".md", ".csv", ".html"):
            assert (again / path.relative_to(reported)).read_bytes() == path.read_bytes(), path.name


def test_a_report_that_cannot_be_written_leaves_the_old_one(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = write(workdir, PAGE_ONLY)
    before = page.read_bytes()
    write_rows(workdir, [])
    plain = Path.write_text

    def full_disk(path: Path, text: str, **options) -> int:
        plain(path, text[:100], **options)
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(OSError, match="No space"):
        write(workdir, PAGE_ONLY)
    assert page.read_bytes() == before


def test_an_empty_work_directory_says_not_run_everywhere(tmp_path: Path) -> None:
    html = write(tmp_path, ReportSpec()).read_text()
    assert html.count('class="missing"') >= len(FIGURES)
    assert html.count("not run</span>") == 11
    assert "<img" not in html and not list((tmp_path / "figures").glob("*"))


def test_an_interrupted_run_shows_what_there_is(tmp_path: Path) -> None:
    """No t-SNE, no neighbours, one label missing, three epochs of which the last is half analysed."""
    rows = [
        row
        for row in score_rows(like_the_paper)
        if row.reducer == "none" and not row.score.startswith("knn") and row.label != "distribution"
        if row.epoch < 2 or (row.epoch == 2 and row.layer in "01")
    ]
    write_rows(tmp_path, rows)
    write_metrics(tmp_path, metric_records()[:3])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"run": "main", "seed": 0, "epo')  # killed while writing
    html = write(tmp_path, ReportSpec()).read_text()
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert drawn == {"figure_2", "figure_3", "figure_6a", "figure_6b", "figure_variance"}
    for reason in (
        "Not run: there are no t-SNE coordinates of the validation split.",
        "Not run: the nearest neighbours have not been analysed.",
        "Not run: only one reducer has been scored.",
        "Not run: fewer than three epochs have been analysed.",
    ):
        assert reason in html
    assert "last (1)" in (tmp_path / "tables" / "table_scores.md").read_text(), "a half analysed epoch is not the last"


def test_figures_a_run_no_longer_supports_are_removed(workdir: Path) -> None:
    spec = ReportSpec(formats=("pdf",))
    write(workdir, spec)
    assert (workdir / "figures" / "figure_4.pdf").exists()
    write_rows(workdir, [row for row in score_rows(like_the_paper) if not row.score.startswith("knn")])
    write(workdir, spec)
    assert not (workdir / "figures" / "figure_4.pdf").exists()
    assert (workdir / "figures" / "figure_2.pdf").exists()


def test_values_are_escaped(tmp_path: Path) -> None:
    nasty = '<script>alert("&")</script>'
    (tmp_path / "config.json").write_text(json.dumps({"data": {"name": nasty}}))
    (tmp_path / "env.json").write_text(json.dumps({"devices": [nasty]}))
    (tmp_path / "timings.jsonl").write_text(json.dumps({"stage": nasty, "seconds": 1.0}) + "\n")
    html = write(tmp_path, PAGE_ONLY).read_text()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 3


def test_other_runs_and_seeds_do_not_mix_in(tmp_path: Path) -> None:
    """Only the lowest seed of `main` is shown, and the page says that there are more."""
    rows = score_rows(like_the_paper)
    foreign = [row for seed in (1, 2) for row in score_rows(lambda row: 0.99, seed=seed)]
    write_rows(tmp_path, foreign + rows)
    write_metrics(tmp_path, metric_records())
    write_facts(tmp_path)
    html = write(tmp_path, PAGE_ONLY).read_text()
    assert "seed 0 of 0, 1, 2" in html
    for row in csv.reader(io.StringIO((tmp_path / "tables" / "table_scores.csv").read_text())):
        assert "0.99" not in row


def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no work directory"):
        write(tmp_path / "nowhere", PAGE_ONLY)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json is damaged \(line 1"):
        write(tmp_path, PAGE_ONLY)
    (tmp_path / "run.json").unlink()
    (tmp_path / "metrics.jsonl").write_text("{\n{}\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl is damaged \(line 1"):
        write(tmp_path, PAGE_ONLY)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"scatter_epochs": (3, -1)}, "report.scatter_epochs is (3, -1)"),
        ({"scatter_layer": "last"}, "report.scatter_layer is 'last'"),
        ({"formats": ("png", "bmp")}, "report.formats is ('png', 'bmp')"),
    ],
)
def test_the_spec_refuses_wrong_values(given: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        ReportSpec(**given)
