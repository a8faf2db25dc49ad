"""The page of probed models: whole, half and empty runs, alone and side by side."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from clusterlm_jax.experiments import compare
from clusterlm_jax.experiments.probing import page
from clusterlm_jax.experiments.probing.claims import judge
from clusterlm_jax.experiments.probing.figures import FIGURES
from clusterlm_jax.experiments.probing.probe import read_probe
from clusterlm_jax.experiments.probing.tables import TABLES
from clusterlm_jax.records import UserError
from clusterlm_jax.report.claims import NOT_RUN, SAME
from clusterlm_jax.report.spec import ReportSpec
from tests.experiments.probing.directories import score_rows, write_facts, write_models, write_probe
from tests.report.work_directories import write_rows

PAGE_ONLY = ReportSpec(formats=(), explorer=False)  # the explorer has tests of its own


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run with its report; read it, do not change it."""
    workdir = write_probe(tmp_path_factory.mktemp("one") / "run")
    assert page.write(workdir, ReportSpec(formats=("png", "pdf"), explorer=False)) == workdir / "report.html"
    return workdir


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaMA, a GPT-J, random weights; read it, do not change it."""
    return write_models(tmp_path_factory.mktemp("models"))


def table(directory: Path, name: str) -> list[dict[str, str]]:
    with (directory / "tables" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def verdicts(workdir: Path) -> list[str]:
    return [judgement.verdict for judgement in judge((read_probe(workdir, "run"),))]


def test_every_figure_and_table_is_written(one: Path) -> None:
    figures = {f"{entry.name}.{form}" for entry in FIGURES for form in ("png", "pdf")}
    tables = {f"{entry.name}.{suffix}" for entry in TABLES for suffix in ("md", "csv")}
    assert {path.name for path in (one / "figures").iterdir()} == figures
    assert {path.name for path in (one / "tables").iterdir()} == tables
    for entry in FIGURES:
        inked = np.any(imread(one / "figures" / f"{entry.name}.png")[..., :3] < 0.9, axis=-1)
        # A figure that lost its panels still has a title and a legend at its ends: look between them.
        assert inked[inked.shape[0] // 4 : inked.shape[0] * 3 // 4].any(axis=0).mean() > 0.3


def test_the_page_holds_everything_and_needs_nothing_else(one: Path) -> None:
    html = (one / "report.html").read_text()
    sources = re.findall(r'\bsrc="([^"]*)"', html)
    assert len(sources) == len(FIGURES) and all(source.startswith("data:image/png;base64,") for source in sources)
    files = {f"{folder}/{path.name}" for folder in ("figures", "tables") for path in (one / folder).iterdir()}
    assert set(re.findall(r'\bhref="([^"]*)"', html)) == {"https://arxiv.org/abs/2402.12151", *files}
    assert "<script" not in html and "<link" not in html and "url(" not in html
    for words in (
        "open_llama_7b: LLaMA, 8 blocks of width 4,096, 32 heads, 6,607,343,616 parameters",
        "no reduction 10 of 10, t-SNE 10 of 10",
        "extract 7 min 0 s, analyse 50 min 0 s",
        "3 same direction, 1 not run",
        "The best task F1 is 0.95 (layer 5, t-SNE); the paper&#39;s LLaMa-7B has 0.959.",
        "the best of 20 clusterings, so it is optimistic",
    ):
        assert words in html


def test_a_damaged_file_of_coordinates_is_named(tmp_path: Path) -> None:
    write_probe(tmp_path)
    path = tmp_path / "embeddings/main/seed=0/epoch=0000/test/layer=5.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"layer=5\.npz is no file of t-SNE coordinates"):
        page.write(tmp_path, PAGE_ONLY)


def test_half_an_analysis_makes_a_page_and_no_verdict(tmp_path: Path) -> None:
    """Low layers, t-SNE of one of them, no bags of words: a best layer so far, which says nothing yet."""
    write_facts(tmp_path, "open_llama_7b", 8)
    rows = [row for row in score_rows() if row.run == "main" and row.layer in "0123"]
    write_rows(tmp_path, [row for row in rows if row.reducer == "none" or row.layer == "0"])
    html = page.write(tmp_path, ReportSpec(formats=("png",), explorer=False)).read_text()
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {
        "figure_probing_layers",
        "figure_probing_spread",
    }
    for words in (
        "no reduction 4 of 10, t-SNE 1 of 10",
        "It is the best of 5 clusterings, so it is optimistic; others are not scored yet.",
        "Not run: there are no t-SNE coordinates.",
        "Not run: not every layer has been scored by task.",
    ):
        assert words in html
    assert verdicts(tmp_path) == [NOT_RUN] * 4


def test_without_t_sne_the_run_is_judged(tmp_path: Path) -> None:
    write_facts(tmp_path, "open_llama_7b", 8)
    write_rows(tmp_path, [row for row in score_rows() if row.reducer == "none"])
    assert verdicts(tmp_path) == [SAME, SAME, SAME, NOT_RUN]
    page.write(tmp_path, PAGE_ONLY)
    assert [row["layer"] for row in table(tmp_path, "table_1_by_reducer")] == ["layer 5", ""]


def test_an_empty_work_directory_says_not_run_everywhere(tmp_path: Path) -> None:
    html = page.write(tmp_path, ReportSpec(explorer=False)).read_text()
    assert html.count("not run</span>") == 4 and "<img" not in html
    assert not list((tmp_path / "figures").glob("*"))
    assert {path.stem for path in (tmp_path / "tables").iterdir()} == {"table_2", "table_9"}


def test_several_models_link_to_their_own_pages(tmp_path: Path) -> None:
    for name in ("a b", "b"):
        (tmp_path / name).mkdir()
        write_facts(tmp_path / name, name, 8)
    (tmp_path / "a b" / "report.html").touch()
    html = page.compare({name: tmp_path / name for name in ("a b", "b", "c")}, tmp_path / "out", PAGE_ONLY).read_text()
    assert re.findall(r'<dt>(?:<a href="(.*?)">)?(.+?)(?:</a>)?</dt>', html) == [
        ("../a%20b/report.html", "a b"),
        ("", "b"),
        ("", "c"),
    ]
    assert "not run: There is no work directory" in html


def test_writing_again_gives_the_same_bytes_and_drops_what_is_gone(tmp_path: Path) -> None:
    write_probe(tmp_path)

    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}

    spec = ReportSpec(formats=("png", "pdf", "svg"), explorer=False)
    page.write(tmp_path, spec)
    first = files()
    assert "figure_probing_scatter.svg" in first
    page.write(tmp_path, spec)
    assert files() == first
    write_rows(tmp_path, [dataclasses.replace(row, run="main/other") for row in score_rows()])
    page.write(tmp_path, spec)
    assert not list((tmp_path / "figures").iterdir())


def test_values_are_escaped(tmp_path: Path) -> None:
    write_facts(tmp_path, '<script>alert("&")</script>', 8)
    (tmp_path / "env.json").write_text(json.dumps({"devices": ["<script>"]}))
    html = page.write(tmp_path, PAGE_ONLY).read_text()
    assert "<script" not in html and "&lt;script&gt;" in html


def test_any_work_directories_can_be_put_on_one_page_from_the_command_line(root: Path, tmp_path: Path, capsys) -> None:
    given = [str(root / "llama"), str(root / "gptj"), f"--into={tmp_path / 'out'}"]
    assert compare.main(given) == 0
    assert capsys.readouterr().out == f"The comparison is at {tmp_path / 'out' / 'report.html'}\n"
    assert len(table(tmp_path / "out", "table_1")) == 3 + 3 + 2 * 3
    assert compare.main([str(root / "nowhere"), *given]) == 2
    assert capsys.readouterr().err == f"clusterlm_jax: There is no work directory {root / 'nowhere'}.\n"


def test_the_page_loads_no_jax() -> None:
    code = "import sys, clusterlm_jax.experiments.probing.page; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3]).returncode == 0
