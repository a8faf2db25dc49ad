"""The page of the main experiment: from a work directory to files and a page."""

from __future__ import annotations

import html as markup
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from clusterlm_jax.experiments.emergence import figures, page
from clusterlm_jax.experiments.emergence.claims import CLAIMS
from clusterlm_jax.experiments.emergence.figures import FIGURES
from clusterlm_jax.experiments.emergence.page import compare, write
from clusterlm_jax.experiments.emergence.tables import TABLES
from clusterlm_jax.records import ScoreRow, UserError
from clusterlm_jax.report.spec import ReportSpec
from tests.command_line import ROOT
from tests.report import work_directories as made

NAMES = tuple(entry.name for entry in FIGURES)
PAGE_ONLY = ReportSpec(formats=(), explorer=False)  # the explorer has tests of its own


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run with its report; read it, do not change it."""
    workdir = made.write_run(tmp_path_factory.mktemp("report") / "run")
    spec = ReportSpec(formats=("png", "pdf"), explorer=False)
    assert write(workdir, spec) == workdir / "report.html"
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
    files = {f"{folder}/{path.name}" for folder in ("figures", "tables") for path in (reported / folder).iterdir()}
    assert set(re.findall(r'\bhref="([^"]*)"', html)) == {"https://arxiv.org/abs/2402.12151", *files}
    assert len(re.findall(r"thin grey lines?", html, flags=re.I)) == 1, "said once, for all figures"
    assert "<script" not in html and "<link" not in html and "url(" not in html and "@import" not in html
    before_tables = re.sub(r"\d+ not run", "", html.split("Tables</h2>")[0])
    assert before_tables.count("not run</span>") == 2, "the claims about seeds and about similar tasks"
    assert len(re.findall("not run", before_tables, flags=re.I)) == 4, "each with its reason, and no figure"


def test_the_headline_names_the_main_numbers(reported: Path) -> None:
    html = (reported / "report.html").read_text()
    for words in (
        "55,360 parameters",
        "8 epochs of 220 steps of 30 instances",
        "0.950 at epoch 5",
        "15 same direction, 2 not run",
        "train 2 min 1 s, analyse 30 s",
    ):
        assert words in html
    # The formula's highest validation task F1: t-SNE, top block, from epoch 5 on (0.92).
    assert re.search(r"Highest task F1, validation</dt><dd>0\.920 at (layer 3|final norm), epoch \d", html)


def neighbours_only(workdir: Path) -> Path:
    """A run with little to draw: figures 3 and 4 and the scatter."""
    made.write_rows(workdir, [row for row in made.score_rows(made.like_the_paper) if row.score.startswith("knn")])
    made.write_metrics(workdir, made.metric_records())
    made.write_embeddings(workdir, (0, 5), ("3",))
    made.write_facts(workdir)
    return workdir


def test_writing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    workdir = neighbours_only(tmp_path)

    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in workdir.rglob("*.*") if path.is_file()}

    write(workdir, ReportSpec(formats=("svg",), explorer=False))
    first = files()
    assert {"figure_4.svg", "figure_scatter.svg", "figure_3.svg", "table_9.md", "report.html"} <= first.keys()
    write(workdir, ReportSpec(formats=("svg",), explorer=False))
    assert files() == first


def test_an_empty_work_directory_says_not_run_everywhere(tmp_path: Path) -> None:
    html = write(tmp_path, ReportSpec(explorer=False)).read_text()
    assert html.count('class="missing"') >= len(NAMES)
    assert html.count("not run</span>") == len(CLAIMS)
    assert "<img" not in html and not list((tmp_path / "figures").glob("*"))


def test_an_interrupted_run_shows_what_there_is(tmp_path: Path) -> None:
    """No t-SNE, no neighbours, one label missing, three epochs of which the last is half analysed."""
    rows = [
        row
        for row in made.score_rows(made.like_the_paper)
        if row.reducer == "none" and not row.score.startswith("knn") and row.label != "distribution"
        if row.epoch < 2 or (row.epoch == 2 and row.layer in "01")
    ]
    made.write_rows(tmp_path, rows)
    made.write_metrics(tmp_path, made.metric_records()[:3])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"run": "main", "seed": 0, "epo')  # killed while writing
    html = write(tmp_path, ReportSpec(formats=("png",), explorer=False)).read_text()
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert drawn == {f"figure_{name}" for name in ("2", "3", "6a", "6b", "variance", "timing", "hard", "instruments")}
    for reason in (
        "Not run: there are no t-SNE coordinates of the validation split.",
        "Not run: the nearest neighbours have not been analysed.",
        "Not run: only one space has been scored.",
        "Not run: fewer than three epochs have been analysed.",
    ):
        assert reason in html
    epochs = {line.split(" | ")[4] for line in (tmp_path / "tables" / "table_scores.md").read_text().splitlines()[2:]}
    assert epochs == {"0", "1"}, "a half analysed epoch is not the last"


def test_three_seeds_are_shown_as_their_mean_and_each_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two figures are enough to see their numbers in the paper; drawing all takes most of the time."""
    monkeypatch.setattr(page, "FIGURES", (figures.figure_2, figures.figure_3))

    def value(row: ScoreRow) -> float:
        flat = row.seed == 1 and row.label == "distribution" and row.score == "f1"
        return 0.3 if flat else made.like_the_paper(row)

    html = write(made.write_run(tmp_path / "run", value, seeds=(0, 1, 2)), PAGE_ONLY).read_text()
    for words in (
        "mean of the seeds 0, 1, 2",
        "0.950 at epoch 5 (seed 0), 0.940 at epoch 5 (seed 1)",
        "15 same direction, 1 mixed, 1 not run",
        "Figure 11: clusters over training",
        "Figure 13: learning curves",
        "seed 0</th><th>seed 1</th><th>seed 2</th><th>mean</th>",
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
    assert not (tmp_path / "report.html").exists()


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without figures and tables, which take the time."""
    monkeypatch.setattr(page, "FIGURES", ())
    monkeypatch.setattr(page, "TABLES", ())


def told(workdir: Path, value=made.like_the_paper, keep=lambda row: True) -> list[str]:
    """The sentences of the summary."""
    made.write_rows(workdir, [row for row in made.score_rows(value) if keep(row)])
    made.write_metrics(workdir, made.metric_records())
    return summary(workdir)


def summary(workdir: Path) -> list[str]:
    (listed,) = re.findall(r'<ol class="summary">(.*?)</ol>', write(workdir, PAGE_ONLY).read_text(), flags=re.S)
    return [markup.unescape(sentence) for sentence in re.findall("<li>(.*?)</li>", listed, flags=re.S)]


@pytest.mark.usefixtures("bare")
def test_the_summary_has_five_sentences_of_the_run_s_own_numbers(tmp_path: Path) -> None:
    made.write_facts(tmp_path)
    ran, accuracy, clusters, across, verdicts = told(tmp_path)
    assert "3 blocks of width 32 (55,360 parameters) was trained on 50 tasks for 8 of 8 epochs (seed 0)" in ran
    assert "right in 95.0% of the cases at the best epoch, 5 (the paper's best epoch: 51)" in accuracy
    assert "(t-SNE, 3 components)" in clusters
    assert "an F1 of at most 0.92 at epoch 8 (layer 3), and 0.15 at epoch 0" in clusters
    assert clusters.endswith("; the highest null baseline, bag of instruction symbols, has 0.30.")
    assert "92% of an unseen instance's nearest training instances of other distributions share its task" in across
    assert "(at epoch 0 15%, by chance 10%)" in across and "accuracy 0.92 (control task 0.25)" in across
    assert verdicts == "Of the paper's claims, by the printed rules: 15 same direction, 2 not run."


@pytest.mark.usefixtures("bare")
def test_the_summary_turns_when_the_rows_turn(tmp_path: Path) -> None:
    """A null that scores as much as the model, and neighbours that share the task by chance."""

    def value(row: ScoreRow) -> float:
        if row.label == "regrouped_task" and row.score == "f1":
            return 0.9
        return 0.12 if row.score == "across" and row.label == "task" else made.like_the_paper(row)

    made.write_facts(tmp_path)
    _, _, clusters, across, verdicts = told(tmp_path, value)
    assert clusters.endswith("; the highest null baseline, shuffled distributions, has 0.90.")
    assert "12% of an unseen" in across
    assert verdicts.endswith("13 same direction, 2 not seen, 2 not run.")


@pytest.mark.usefixtures("bare")
def test_the_summary_of_several_seeds_says_so(tmp_path: Path) -> None:
    assert "(seeds 0, 1; every number is their mean)" in summary(made.write_run(tmp_path, seeds=(0, 1)))[0]


@pytest.mark.usefixtures("bare")
def test_the_summary_leaves_out_what_was_not_run(tmp_path: Path) -> None:
    accuracy, clusters, verdicts = told(
        tmp_path, keep=lambda row: row.reducer == "tsne" and row.run == "main" and row.epoch > 0
    )
    assert accuracy.startswith("Its answers") and verdicts.startswith("Of the paper's claims")
    assert clusters.endswith("; the highest null baseline, shuffled distributions, has 0.25.")
    assert len(told(tmp_path, keep=lambda row: False)) == 2


def test_our_own_question_is_apart_and_the_leading_figure_comes_first(reported: Path) -> None:
    html = (reported / "report.html").read_text()
    theirs, ours = html.split("Questions that the paper does not ask")
    (own,) = (claim for claim in CLAIMS if claim.ours)
    assert own.paper in ours and own.paper not in theirs
    assert html.index("The task across instruction distributions (ours)") < html.index("<h2>The run</h2>")


def test_several_runs_become_one_page(reported: Path, tmp_path: Path) -> None:
    path = compare({"one": reported, "other": tmp_path / "nowhere"}, tmp_path / "out", PAGE_ONLY)
    html = path.read_text()
    assert path == tmp_path / "out" / "report.html"
    assert 'report.html">one</a>' in html and "<dt>other</dt><dd>not run: There is no work directory" in html


def test_the_page_and_the_settings_load_no_jax() -> None:
    """A report is drawn where there is no accelerator, and its worker processes start fast."""
    code = "import sys; from clusterlm_jax.experiments.emergence import page, settings; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
