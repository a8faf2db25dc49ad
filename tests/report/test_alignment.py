"""The page of an alignment run: its numbers are those of the rows, and its verdicts follow them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax.report import alignment, alignment_comparison
from clusterlm_jax.report.alignment_claims import CLAIMS
from clusterlm_jax.report.alignment_figures import FIGURES
from clusterlm_jax.report.alignment_tables import TABLES
from clusterlm_jax.report.claims import MIXED, NOT_RUN, NOT_SEEN, SAME, judge
from clusterlm_jax.report.methods import method_words, read_methods
from clusterlm_jax.report.spec import ReportSpec

SEEDS = (0, 1, 2)
PAPER = {"direct": 0.21, "head": 0.12, "linear_switch": 0.087, "mlp_switch": 0.08}
PERFECT, FORGETS, HEAD, SWITCHES, MLP, ORDER, IMPERFECT, MORE = range(8)


def metrics_of(drops: dict[str, float], seed: int) -> list[dict]:
    """Rows of every method; with more examples a switch forgets less, on other layers as much."""
    rows = [
        {"run": phase, "epoch": epoch, "step": epoch, "validation_accuracy": 0.5 * epoch, "others_accuracy": 0.9}
        for phase in ("base", "direct/finetune", "head/finetune")
        for epoch in range(3)
    ]
    for kind, drop in drops.items():
        names = {kind: drop}
        if kind.endswith("switch"):
            names = {f"{kind}/examples={n}": drop / n for n in (1, 5)} | {f"{kind}/layer={n}": drop for n in "12"}
        for run, value in names.items():
            row = {"run": run, "epoch": 2, "step": 2, "source_accuracy": 1.0, "others_accuracy": 0.9 - value}
            row["accuracy_drop"] = value
            rows.append(row | ({"switch_recall": 1.0, "false_alarms": 2 * value} if "switch" in run else {}))
    for run in ("mean_switch/examples=1", "mean_switch/examples=5", "kmeans_switch/task"):
        rows.append({"run": run, "epoch": 2, "step": 2, "source_accuracy": 0.25, "others_accuracy": 0.9})
        rows[-1] |= {"accuracy_drop": 0.0, "switch_recall": 0.125, "false_alarms": 0.0625}
    rows.append(rows[-1] | {"run": "kmeans_switch/distribution_mapping"})
    return [{"seed": seed} | row for row in rows]


def tasks_of(seed: int) -> list[dict]:
    runs = ("linear_switch/examples=1", "mlp_switch/examples=1")
    roles = ("source", "target", "other")
    counts = {"instances": 20, "correct": 15, "switched_on": 7, "with_source_input": 8, "of_these_on": 6}
    return [{"run": r, "seed": seed, "task": t, "role": role, **counts} for r in runs for t, role in enumerate(roles)]


def write_rows(workdir: Path, drops_of_seeds: dict[int, dict[str, float]]) -> None:
    rows = [row for seed, drops in drops_of_seeds.items() for row in metrics_of(drops, seed)]
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = [row for seed in drops_of_seeds for row in tasks_of(seed)]
    (workdir / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tasks))
    best = {str(seed): {"epoch": 2, "step": 2, "validation_accuracy": 1.0} for seed in drops_of_seeds}
    phases = {name: {"best": best} for name in ("base", "direct/finetune", "head/finetune")}
    (workdir / "run.json").write_text(json.dumps({"phases": phases}))
    switch = {"examples": [1, 5], "layer": "final_norm"}
    (workdir / "config.json").write_text(json.dumps({"model": {"layers": 2}, "switch": switch}))


def with_noise(rng: np.random.Generator) -> dict[int, dict[str, float]]:
    """The paper's drops in three seeds, a little apart."""
    return {seed: {kind: drop + 0.002 * rng.random() for kind, drop in PAPER.items()} for seed in SEEDS}


def verdicts(workdir: Path) -> list[str]:
    return [judgement.verdict for judgement in judge(read_methods(workdir), CLAIMS)]


def cells(workdir: Path, table: str) -> list[dict[str, str]]:
    """A table, its columns by number where names repeat."""
    header, *lines = csv.reader((workdir / "tables" / f"{table}.csv").read_text().splitlines())
    return [dict(zip((f"{number} {name}" for number, name in enumerate(header)), line, strict=True)) for line in lines]


def test_the_papers_numbers_are_the_papers_claims(tmp_path, rng):
    write_rows(tmp_path, with_noise(rng))
    assert verdicts(tmp_path) == [SAME] * len(CLAIMS)


def test_a_verdict_follows_each_seed(tmp_path, rng):
    drops = with_noise(rng)
    drops[1]["mlp_switch"] = 0.1  # worse than the linear switch there
    write_rows(tmp_path, drops)
    found = verdicts(tmp_path)
    assert (found[MLP], found[ORDER], found[SWITCHES]) == (MIXED, MIXED, SAME)
    for seed in SEEDS:
        drops[seed] = {"direct": 0.04, "head": 0.05, "linear_switch": 0.0, "mlp_switch": 0.06}
    write_rows(tmp_path, drops)
    found = verdicts(tmp_path)
    assert found == [SAME, *[NOT_SEEN] * 7]


def test_source_accuracy_must_be_perfect_with_every_method(tmp_path, rng):
    write_rows(tmp_path, with_noise(rng))
    rows = list(map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines()))
    for row in rows:
        if row["run"] == "linear_switch/examples=1" and row["seed"] == 2:
            row["source_accuracy"] = 0.99
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert verdicts(tmp_path)[PERFECT] == MIXED


def test_table_11_is_the_mean_of_the_rows(tmp_path, rng):
    """Ours beside the paper's, with the sample standard deviation; another order of columns or seeds would show."""
    drops = with_noise(rng)
    write_rows(tmp_path, drops)
    alignment.write(tmp_path, ReportSpec(formats=("png",)))
    rows = cells(tmp_path, "table_11")
    assert [row["0 method"].split(",")[0] for row in rows] == [method_words(kind) for kind in PAPER]
    for row, (kind, paper) in zip(rows, PAPER.items(), strict=True):
        values = [drops[seed][kind] for seed in SEEDS]
        assert row["6 accuracy drop"] == f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
        assert float(row["7 the paper's"]) == paper
        assert [float(row[f"{8 + seed} seed {seed}"]) for seed in SEEDS] == values
        assert float(row["2 the paper's"]) == 1.0


def test_every_figure_and_table_is_on_the_page(tmp_path, rng):
    write_rows(tmp_path, with_noise(rng))
    page = alignment.write(tmp_path, ReportSpec(formats=("png",))).read_text()
    assert all((tmp_path / "figures" / f"{entry.name}.png").exists() for entry in FIGURES)
    assert all((tmp_path / "tables" / f"{entry.name}.md").exists() for entry in TABLES)
    assert "Not run" not in page
    assert "the linear switch 75% and 8%" in page  # 6 of 8 with a source's input, 1 of the 12 others
    assert "nearest KMeans centroid, with as many clusters as distribution-mappings" in page


def test_one_seed_has_no_spread(tmp_path):
    write_rows(tmp_path, {4: PAPER})
    page = alignment.write(tmp_path, ReportSpec(formats=("png",))).read_text()
    assert verdicts(tmp_path) == [SAME] * len(CLAIMS)
    (direct, *_) = cells(tmp_path, "table_11")
    assert float(direct["3 accuracy drop"]) == PAPER["direct"]
    assert "± " not in page.split("The paper's claims</h2>")[0]


def test_what_was_not_run_says_so(tmp_path):
    page = alignment.write(tmp_path, ReportSpec(formats=("png",))).read_text()
    assert verdicts(tmp_path) == [NOT_RUN] * len(CLAIMS)
    assert page.count("Not run: ") >= len(FIGURES) + len(CLAIMS)
    assert not list((tmp_path / "figures").glob("*"))


def test_runs_side_by_side(tmp_path, rng):
    """One that was run, one that was not even begun: its place says so."""
    (tmp_path / "width=64").mkdir()
    write_rows(tmp_path / "width=64", with_noise(rng))
    points = {"width=64": tmp_path / "width=64", "width=128": tmp_path / "width=128"}
    page = alignment_comparison.write(points, tmp_path, ReportSpec(formats=("png",))).read_text()
    assert "not run: There is no work directory" in page
    assert (tmp_path / "figures" / "figure_11.png").exists()
    drops = [row for row in cells(tmp_path, "table_11") if row["0 of the validation tasks"] == "accuracy drop"]
    assert [row["1 method"] for row in drops] == [method_words(kind) for kind in PAPER]
    found = [float(row["2 width=64"].split(" ")[0]) for row in drops]
    np.testing.assert_allclose(found, list(PAPER.values()), atol=0.0025)
    assert {row["2 width=64"] for row in cells(tmp_path, "table_claims")} == {SAME}


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("direct", "direct fine-tuning"),
        ("linear_switch/examples=1", "linear switch, 1 example of each other task"),
        ("mlp_switch/layer=3", "MLP switch, layer 3"),
        ("mlp_switch/layer=final_norm", "MLP switch, final norm"),
        ("kmeans_switch/task", "nearest KMeans centroid, with as many clusters as tasks"),
    ],
)
def test_methods_have_names_for_people(run, words):
    assert method_words(run) == words
