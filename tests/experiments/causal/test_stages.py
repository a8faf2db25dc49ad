"""The causal tests on the work directory of a run: nothing there changes, and a killed test resumes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.experiments import stages
from clusterlm_jax.experiments.causal import page
from clusterlm_jax.experiments.causal.claims import CLAIMS, last_symbol, moving_without_input, removing, swapping
from clusterlm_jax.experiments.causal.effects import ROWS, read_effects
from clusterlm_jax.experiments.causal.figures import FIGURES
from clusterlm_jax.experiments.causal.settings import Causal
from clusterlm_jax.experiments.causal.tables import TABLES
from clusterlm_jax.records import UserError
from clusterlm_jax.report.claims import NOT_RUN, NOT_SEEN, SAME, judge
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.workdir import WorkDir
from tests.experiments.causal.toy import write_run

PNG = ReportSpec(formats=("png",))


def config(run: Path | str) -> Causal:
    small = {
        "strengths": (1.0,),
        "ranks": (1, 3),
        "draws": 1,
        "symbols": (1, 64),
        "eval": AnalysisSpec(kmeans_restarts=1),
    }
    return Causal(run=str(run), report=PNG, **small)


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def rows(workdir: Path) -> list[str]:
    return (workdir / ROWS).read_text().splitlines()


@pytest.fixture(scope="module")
def tested(tmp_path_factory) -> tuple[Path, Path]:
    """A run and the work directory of its tests."""
    run, workdir = (tmp_path_factory.mktemp("causal") / name for name in ("run", "effects"))
    before = contents(write_run(run))
    stages.run(config(run), WorkDir(workdir))
    assert contents(run) == before, "the run under test is only read"
    return run, workdir


def test_the_job_leaves_what_it_should(tested):
    _, workdir = tested
    assert {path.stem for path in (workdir / "figures").glob("*.png")} == {entry.name for entry in FIGURES}
    assert {path.stem for path in (workdir / "tables").glob("*.csv")} == {entry.name for entry in TABLES}
    assert "Not run" not in (workdir / "report.html").read_text()
    found = list(map(json.loads, rows(workdir)))
    assert {row["seed"] for row in found} == {0, 1}
    assert len({tuple(row[name] for name in list(row)[:6]) for row in found}) == len(found)
    assert not list(workdir.rglob("*.tmp"))


def test_claims_judge_what_was_planted(tested):
    judged = {judgement.claim: judgement for judgement in judge(CLAIMS, read_effects(tested[1]))}
    assert {judged[claim].verdict for claim in (swapping, moving_without_input, removing)} == {SAME}
    assert judged[last_symbol].verdict == NOT_SEEN
    assert "1.00 (layer 1, strength 1)" in " ".join(judged[moving_without_input].numbers)


def test_a_killed_test_resumes_to_the_same_rows(tested, tmp_path):
    """As a kill leaves it: the last line cut off in the middle of a measurement, the second seed not begun."""
    run, whole = tested
    workdir = WorkDir(tmp_path / "effects")
    workdir.root.mkdir()
    for name in ("config.json", "run.json"):
        (workdir.root / name).write_bytes((whole / name).read_bytes())
    facts = workdir.read_json("run.json")["seeds"]
    workdir.update_run(seeds={seed: {k: v for k, v in of.items() if k != "measured"} for seed, of in facts.items()})
    (workdir.root / ROWS).write_text("\n".join(rows(whole)[:31])[:-20])
    begun = dataclasses.replace(config(run), stages=("test",))
    stages.run(begun, workdir)
    assert rows(workdir.root) == rows(whole)
    stages.run(begun, workdir)
    assert rows(workdir.root) == rows(whole)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"experiment": "alignment"}, "run of the experiment 'alignment'.*'emergence'"),
        ({"grid": ["model.hidden_dim"]}, "is a grid"),
        ({"train": {"epochs": 9}}, "not finished: seed 0 has not reached epoch 9"),
    ],
)
def test_another_run_is_refused(tmp_path, changes, words):
    run = write_run(tmp_path / "run", seeds=(0,), **changes)
    with pytest.raises(UserError, match=words):
        stages.run(config(run), WorkDir(tmp_path / "effects"))
    assert not (tmp_path / "effects").exists()


@pytest.mark.parametrize(("run", "words"), [("", "config.run is not set"), ("nowhere", "There is no run in .*nowhere")])
def test_no_run_is_refused(tmp_path, monkeypatch, run, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=words):
        stages.run(config(run), WorkDir(tmp_path / "effects"))
    assert not list(tmp_path.iterdir())


def test_a_run_that_was_trained_again_is_refused(tested, tmp_path):
    run, whole = tested
    workdir = WorkDir(tmp_path / "effects")
    workdir.root.mkdir()
    (workdir.root / "config.json").write_bytes((whole / "config.json").read_bytes())
    facts = WorkDir(whole).read_json("run.json")["seeds"]
    workdir.update_run(seeds=facts | {"1": facts["1"] | {"sha256": "another"}})
    with pytest.raises(UserError, match="not the one that"):
        stages.run(config(run), workdir)


@pytest.mark.parametrize(
    "given", [{"seeds": (0, 1)}, {"donors": 0}, {"ranks": ()}, {"strengths": (2.0, 1.0)}, {"symbols": (0,)}]
)
def test_wrong_settings_are_refused(given):
    with pytest.raises(UserError, match=f"config.{next(iter(given))} is"):
        Causal(**given)


def test_what_was_not_run_says_so(tmp_path):
    html = page.write(tmp_path, PNG).read_text()
    assert {judgement.verdict for judgement in judge(CLAIMS, read_effects(tmp_path))} == {NOT_RUN}
    assert html.count("Not run: ") == len(FIGURES) + len(TABLES) + len(CLAIMS)


def test_runs_side_by_side(tested, tmp_path):
    html = page.compare({"toy": tested[1], "never": tmp_path / "never"}, tmp_path, PNG).read_text()
    assert "not run: There is no work directory" in html
    assert (tmp_path / "figures" / "figure_swap.png").exists()
