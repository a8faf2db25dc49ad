"""The causal tests on a checkpoint: they find what was made into it, and of a random model nothing is concluded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.experiments import stages
from clusterlm_jax.experiments.causal.claims import CLAIMS
from clusterlm_jax.experiments.causal.effects import NOTHING, Effects, read_effects
from clusterlm_jax.experiments.causal.settings import Causal
from clusterlm_jax.extraction.spec import ExtractSpec
from clusterlm_jax.records import UserError
from clusterlm_jax.report.claims import NOT_RUN, judge
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.workdir import WorkDir
from tests.experiments.causal import toy_llama


@pytest.fixture(scope="module")
def subject(tmp_path_factory) -> dict:
    """What names the model and its prompts in the configuration."""
    checkpoint = tmp_path_factory.mktemp("checkpoint") / "toy"
    return {"checkpoint": str(checkpoint), "data": toy_llama.write(checkpoint)}


def run(workdir: Path, subject: dict, **extract) -> Effects:
    config = Causal(
        **subject,
        extract=ExtractSpec(compute_dtype="float32", batch_tokens=512, **extract),
        pairs=40,
        strengths=(1.0,),
        ranks=(1, 64),
        draws=1,
        symbols=(64,),
        eval=AnalysisSpec(kmeans_restarts=1),
        report=ReportSpec(formats=("png",)),
    )
    stages.run(config, WorkDir(workdir))
    return read_effects(workdir)


@pytest.fixture(scope="module")
def tested(subject, tmp_path_factory) -> tuple[Path, Effects]:
    workdir = tmp_path_factory.mktemp("pretrained") / "effects"
    return workdir, run(workdir, subject)


def test_the_toy_answers_and_its_pairs_are_counted(tested):
    facts = tested[1].of_seed(0)
    assert facts["pairs"] == 40
    assert min(facts["accuracies"].values()) == facts["accuracy"] == 1


@pytest.mark.parametrize(
    ("test", "kind", "shares"),
    [
        ("swap", "other_task", [0, 1, 1, 1]),
        ("swap", "same_task", [0, 0, 0, 0]),
        ("move", "means_given_input", [0, 1, 1, 1]),
        ("move", "probe_given_input", [0, 1, 1, 1]),
    ],
)
def test_the_answer_becomes_the_other_tasks_after_the_block_that_reads_the_task(tested, test, kind, shares):
    effects = tested[1]
    assert [effects.value(test, kind, layer) for layer in effects.layers] == shares


def test_a_random_direction_does_little_and_what_is_needed_is_the_task_space(tested):
    effects = tested[1]
    assert max(effects.value("move", "random_given_input", layer) for layer in effects.layers) < 0.2
    assert max(effects.value("remove", "task_given_input", layer, 64, "own") for layer in effects.blocks) < 0.7
    assert effects.value("remove", "task_given_input", "0", 64, "own") == 1


def test_the_page_has_the_accuracy_of_each_task_and_every_figure(tested):
    workdir, effects = tested
    html = (workdir / "report.html").read_text()
    assert "Not run" not in html and "What the model can do" in html
    lines = (workdir / "tables" / "table_accuracy.csv").read_text().splitlines()
    assert len(lines) == 1 + len(effects.of_seed(0)["accuracies"])
    prompts = (workdir / "dataset" / "seed=0" / "prompts.jsonl").read_text().splitlines()
    assert len(prompts) % toy_llama.WORDINGS == 0 and {"input", "output"} < json.loads(prompts[0]).keys()


def test_of_a_random_model_nothing_is_concluded(subject, tmp_path):
    effects = run(tmp_path / "effects", subject, random_weights=True)
    assert effects.of_seed(0)["pairs"] == 0
    assert NOTHING in (tmp_path / "effects" / "report.html").read_text()
    assert {judgement.verdict for judgement in judge(CLAIMS, effects)} == {NOT_RUN}


def test_a_run_and_a_checkpoint_at_once_are_refused():
    with pytest.raises(UserError, match="one of them must be empty"):
        Causal(run="runs/quick", checkpoint="gpt-j")
