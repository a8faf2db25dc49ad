"""The page of an alignment run: its numbers are those of the rows, and what was not run says so."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax.experiments.alignment import page
from clusterlm_jax.experiments.alignment.claims import CLAIMS
from clusterlm_jax.experiments.alignment.figures import FIGURES
from clusterlm_jax.experiments.alignment.methods import method_words, read_methods
from clusterlm_jax.experiments.alignment.tables import TABLES
from clusterlm_jax.report.claims import NOT_RUN, SAME, judge
from clusterlm_jax.report.spec import ReportSpec
from tests.experiments.alignment.directories import PAPER, SEEDS, with_noise, write_rows

PNG = ReportSpec(formats=("png",))


def cells(workdir: Path, table: str) -> list[dict[str, str]]:
    """A table, its columns by number where names repeat."""
    header, *lines = csv.reader((workdir / "tables" / f"{table}.csv").read_text().splitlines())
    return [dict(zip((f"{number} {name}" for number, name in enumerate(header)), line, strict=True)) for line in lines]


def test_table_11_is_the_mean_of_the_rows(tmp_path, rng):
    """Ours beside the paper's, with the sample standard deviation; another order of columns or seeds would show."""
    drops = with_noise(rng)
    write_rows(tmp_path, drops)
    page.write(tmp_path, PNG)
    rows = cells(tmp_path, "table_11")
    assert [row["0 method"].split(",")[0] for row in rows] == [method_words(kind) for kind in PAPER]
    for row, (kind, paper) in zip(rows, PAPER.items(), strict=True):
        values = [drops[seed][kind] for seed in SEEDS]
        assert float(row["6 accuracy drop"]) == pytest.approx(np.mean(values))
        assert float(row["7 accuracy drop, standard deviation"]) == pytest.approx(np.std(values, ddof=1))
        assert float(row["8 the paper's"]) == paper
        assert [float(row[f"{9 + seed} seed {seed}"]) for seed in SEEDS] == values
        assert float(row["2 the paper's"]) == 1.0


def test_every_figure_and_table_is_on_the_page(tmp_path, rng):
    write_rows(tmp_path, with_noise(rng))
    html = page.write(tmp_path, PNG).read_text()
    assert all((tmp_path / "figures" / f"{entry.name}.png").exists() for entry in FIGURES)
    assert all((tmp_path / "tables" / f"{entry.name}.md").exists() for entry in TABLES)
    assert "Not run" not in html
    assert "Questions that the paper does not ask" in html
    assert "nearest KMeans centroid, with as many clusters as distribution-mappings" in html


def test_one_seed_has_no_spread(tmp_path):
    write_rows(tmp_path, {4: PAPER})
    html = page.write(tmp_path, PNG).read_text()
    (direct, *_) = cells(tmp_path, "table_11")
    assert float(direct["3 accuracy drop"]) == PAPER["direct"]
    assert "± " not in html.split("The paper's claims</h2>")[0]


def test_what_was_not_run_says_so(tmp_path):
    html = page.write(tmp_path, PNG).read_text()
    assert {judgement.verdict for judgement in judge(CLAIMS, read_methods(tmp_path))} == {NOT_RUN}
    assert html.count("Not run: ") >= len(FIGURES) + len(CLAIMS)
    assert not list((tmp_path / "figures").glob("*"))


def test_runs_side_by_side(tmp_path, rng):
    """One that was run, one that was not even begun: its place says so."""
    (tmp_path / "width=64").mkdir()
    write_rows(tmp_path / "width=64", with_noise(rng))
    points = {"width=64": tmp_path / "width=64", "width=128": tmp_path / "width=128"}
    html = page.compare(points, tmp_path, PNG).read_text()
    assert "not run: There is no work directory" in html
    assert (tmp_path / "figures" / "figure_table_11.png").exists()
    drops = [row for row in cells(tmp_path, "table_11") if row["0 of the validation tasks"] == "accuracy drop"]
    assert [row["1 method"] for row in drops] == [method_words(kind) for kind in PAPER]
    found = [float(row["2 width=64"]) for row in drops]
    np.testing.assert_allclose(found, list(PAPER.values()), atol=0.0025)
    assert [row["1 width=64"] for row in cells(tmp_path, "table_claims")][:8] == [SAME] * 8
