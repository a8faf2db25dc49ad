"""The whole report: from a work directory to files and a page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from clusterlm_jax.records import ScoreRow, UserError
from clusterlm_jax.report.claims import CLAIMS
from clusterlm_jax.report.gallery import FIGURES
from clusterlm_jax.report.page import write
from clusterlm_jax.report.run_tables import TABLES
from clusterlm_jax.report.spec import ReportSpec
from tests.report.work_directories import (
    like_the_paper,
    metric_records,
    score_rows,
    write_embeddings,
    write_facts,
    write_metrics,
    write_rows,
    write_run,
)

NAMES = tuple(entry.name for entry in FIGURES)
PAGE_ONLY = ReportSpec(formats=())


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run with its report; read it, do not change it."""
    workdir = write_run(tmp_path_factory.mktemp("report") / "run")
    assert write(workdir, ReportSpec()) == workdir / "report.html"
    return workdir


@pytest.mark.parametrize("name", NAMES)
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
    figures = {f"{name}.{form}" for name in NAMES for form in ("png", "pdf")}
    tables = {f"{entry.name}.{suffix}" for entry in TABLES for suffix in ("md", "csv")}
    tables -= {"table_seeds.md", "table_seeds.csv"}  # one seed only
    assert {path.name for path in (reported / "figures").iterdir()} == figures
    assert {path.name for path in (reported / "tables").iterdir()} == tables


def test_the_page_holds_everything_and_needs_nothing_else(reported: Path) -> None:
    html = (reported / "report.html").read_text()
    sources = re.findall(r'\bsrc="([^"]*)"', html)
    assert len(sources) == len(NAMES)
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert set(re.findall(r'\bhref="([^"]*)"', html)) == {"https://arxiv.org/abs/2402.12151"}
    assert "<script" not in html and "<link" not in html and "url(" not in html and "@import" not in html
    before_tables = re.sub(r"<p>A GPT-2.*?</p>|\d+ not run", "", html.split("Tables</h2>")[0], flags=re.S)
    assert before_tables.count("not run</span>") == 2, "the claims about seeds and about similar tasks"
    assert len(re.findall("not run", before_tables, flags=re.I)) == 4, "each with its reason, and no figure"


def test_the_headline_names_the_main_numbers(reported: Path) -> None:
    html = (reported / "report.html").read_text()
    for words in (
        "55,360 parameters",
        "8 epochs of 220 steps",
        "0.950 at epoch 5",
        "15 same direction, 0 not seen, 2 not run",
        "train 2 min 1 s, analyse 30 s",
    ):
        assert words in html
    # The formula's highest validation task F1: t-SNE, top block, from epoch 5 on (0.92).
    assert re.search(r"Highest task F1, validation</dt><dd>0\.920 at (layer 3|final norm), epoch \d", html)


def neighbours_only(workdir: Path) -> Path:
    """A run with little to draw: figures 3 and 4 and the scatter."""
    write_rows(workdir, [row for row in score_rows(like_the_paper) if row.score.startswith("knn")])
    write_metrics(workdir, metric_records())
    write_embeddings(workdir, (0, 5), ("3",))
    write_facts(workdir)
    return workdir


def test_writing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    workdir = neighbours_only(tmp_path)

    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in workdir.rglob("*.*") if path.is_file()}

    write(workdir, ReportSpec(formats=("png", "pdf", "svg")))
    first = files()
    assert {"figure_4.svg", "figure_scatter.pdf", "figure_3.png", "table_9.md", "report.html"} <= first.keys()
    write(workdir, ReportSpec(formats=("png", "pdf", "svg")))
    assert files() == first


def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = write(tmp_path, PAGE_ONLY)
    before = page.read_bytes()
    write_facts(tmp_path)
    plain = Path.write_text

    def full_disk(path: Path, text: str, **options) -> int:
        plain(path, text[:100], **options)
        raise OSError("No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(Path, "write_text", full_disk)
        write(tmp_path, PAGE_ONLY)
    assert page.read_bytes() == before
    write(tmp_path, PAGE_ONLY)
    assert page.read_bytes() != before, "the two reports differ, so the old one was really kept"


def test_an_empty_work_directory_says_not_run_everywhere(tmp_path: Path) -> None:
    html = write(tmp_path, ReportSpec()).read_text()
    assert html.count('class="missing"') >= len(NAMES)
    assert html.count("not run</span>") == len(CLAIMS)
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
    html = write(tmp_path, ReportSpec(formats=("png",))).read_text()
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert drawn == {f"figure_{name}" for name in ("2", "3", "6a", "6b", "variance", "timing", "hard", "instruments")}
    for reason in (
        "Not run: there are no t-SNE coordinates of the validation split.",
        "Not run: the nearest neighbours have not been analysed.",
        "Not run: only one space has been scored.",
        "Not run: fewer than three epochs have been analysed.",
    ):
        assert reason in html
    assert "last (1)" in (tmp_path / "tables" / "table_scores.md").read_text(), "a half analysed epoch is not the last"


def test_figures_a_run_no_longer_supports_are_removed(tmp_path: Path) -> None:
    neighbours_only(tmp_path)
    write(tmp_path, ReportSpec())
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"figure_3", "figure_4", "figure_scatter"}
    write_rows(tmp_path, [])
    write(tmp_path, ReportSpec(formats=("pdf",)))
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"figure_3.pdf", "figure_scatter.pdf"}


def test_values_are_escaped(tmp_path: Path) -> None:
    nasty = '<script>alert("&")</script>'
    (tmp_path / "config.json").write_text(json.dumps({"data": {"name": nasty}}))
    (tmp_path / "env.json").write_text(json.dumps({"devices": [nasty]}))
    (tmp_path / "timings.jsonl").write_text(json.dumps({"stage": nasty, "seconds": 1.0}) + "\n")
    html = write(tmp_path, PAGE_ONLY).read_text()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 3


def test_three_seeds_are_shown_as_their_mean_and_each_is_judged(tmp_path: Path) -> None:
    def value(row: ScoreRow) -> float:
        flat = row.seed == 1 and row.label == "distribution" and row.score == "f1"
        return 0.3 if flat else like_the_paper(row)

    html = write(write_run(tmp_path / "run", value, seeds=(0, 1, 2)), PAGE_ONLY).read_text()
    for words in (
        "mean of the seeds 0, 1, 2",
        "0.950 at epoch 5 (seed 0), 0.940 at epoch 5 (seed 1)",
        "15 same direction, 1 mixed, 0 not seen, 1 not run",
        "Figure 11: clusters over training",
        "Figure 13: learning curves",
        "seed 0</th><th>seed 1</th><th>seed 2</th><th>mean</th><th>standard deviation",
    ):
        assert words in html
    mixed = html.split('<span class="verdict mixed">')[1].split("</td>")[0]
    assert re.findall(r"(\d) ([✓✗])", mixed) == [("0", "✓"), ("1", "✗"), ("2", "✓")]


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
