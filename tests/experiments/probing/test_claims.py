"""Verdicts and summaries of probed models follow their printed rules."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from clusterlm_jax.experiments.probing.claims import judge
from clusterlm_jax.experiments.probing.page import _facts
from clusterlm_jax.experiments.probing.probe import Probe, read_probe
from clusterlm_jax.experiments.probing.summary import summary
from clusterlm_jax.records import ScoreRow
from clusterlm_jax.report.claims import MIXED, NOT_RUN, NOT_SEEN, SAME
from tests.experiments.probing.directories import like_the_paper, probes_of, write_models, write_probe


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaMA, a GPT-J, random weights; read it, do not change it."""
    return write_models(tmp_path_factory.mktemp("models"))


def verdicts(probes: tuple[Probe, ...]) -> list[str]:
    return [judgement.verdict for judgement in judge(probes)]


def of_one(probe: Probe) -> list[str]:
    return summary((probe,), judge((probe,)))


def test_like_the_paper_is_the_same_direction(root: Path) -> None:
    assert verdicts(probes_of(root, "llama")) == [SAME, SAME, SAME, NOT_RUN]
    assert verdicts(probes_of(root, "gptj")) == [SAME, SAME, SAME, NOT_RUN]
    assert verdicts(probes_of(root, "random")) == [NOT_RUN] * 4, "random weights are a null"
    assert verdicts(probes_of(root, "llama", "gptj", "random", "never")) == [SAME, SAME, SAME, NOT_RUN]


def test_random_weights_count_among_the_nulls_and_not_among_the_models(tmp_path: Path) -> None:
    """Random weights that cluster as well take the second claim from the trained model, and no other."""
    write_probe(tmp_path / "llama")
    write_probe(tmp_path / "random", random_weights=True)
    assert verdicts(probes_of(tmp_path, "llama", "random")) == [SAME, NOT_SEEN, SAME, NOT_RUN]


@pytest.mark.parametrize("where", ["null/words", "task", "regrouped_task", "shuffled_task"])
def test_one_null_as_high_at_any_place_is_enough(tmp_path: Path, where: str) -> None:
    """The best of a null may lie elsewhere than ours: that choice was ours as well. Layer 0 itself is one."""

    def value(row: ScoreRow) -> float:
        raised = where == (row.label if row.run == "main" else row.run) and row.layer == "0" and row.reducer == "none"
        return 0.91 if raised else like_the_paper(row)

    probes = (read_probe(write_probe(tmp_path, value), "run"),)
    assert verdicts(probes) == [SAME, NOT_SEEN, SAME, NOT_RUN]
    assert any("could explain" in sentence for sentence in summary(probes, judge(probes)))


@pytest.mark.parametrize(
    ("name", "finest", "verdict"),
    [
        ("open_llama_7b", 0.81, SAME),
        ("open_llama_7b", 0.79, NOT_SEEN),
        ("gpt-j-6b", 0.49, SAME),
        ("gpt-j-6b", 0.51, NOT_SEEN),
    ],
)
def test_fine_clusters_are_expected_of_llama_and_not_of_gptj(tmp_path, name, finest, verdict) -> None:
    value = functools.partial(like_the_paper, finest=finest)
    assert verdicts((read_probe(write_probe(tmp_path, value, name), "run"),))[2] == verdict


def test_models_that_differ_are_mixed(tmp_path: Path) -> None:
    write_probe(tmp_path / "a", name="a")
    write_probe(tmp_path / "b", functools.partial(like_the_paper, highest=0.7), name="b-Instruct")
    judgement, *_, tuned = judge(probes_of(tmp_path, "a", "b"))
    assert (judgement.verdict, tuned.verdict) == (MIXED, MIXED)
    assert [verdict for verdict, _ in judgement.by_part.values()] == [SAME, NOT_SEEN]


def test_both_kinds_of_models_must_be_there_to_compare_them(tmp_path: Path) -> None:
    write_probe(tmp_path / "a", name="a")
    write_probe(tmp_path / "b", name="b-Instruct")
    write_probe(tmp_path / "c", name="c-Instruct", random_weights=True)
    assert verdicts(probes_of(tmp_path, "a", "b"))[3] == SAME
    assert verdicts(probes_of(tmp_path, "a", "c"))[3] == NOT_RUN


def test_a_model_s_summary_says_what_its_numbers_do(root: Path) -> None:
    llama, gptj, random = (" ".join(of_one(*probes_of(root, name))) for name in ("llama", "gptj", "random"))
    assert "0.95 (layer 5, t-SNE); the paper's LLaMa-7B has 0.959" in llama
    assert "No null baseline at its best explains the task clusters" in llama and "bag of words 0.55" in llama
    assert "(layer 0) gives 0.22, so they take more than the input" in llama
    assert "have an F1 of 0.93 there" in llama and "have an F1 of 0.45 there" in gptj
    assert "3 same direction, 1 not run" in llama and "Its weights are random" in random


def test_several_models_have_one_summary(root: Path) -> None:
    probes = probes_of(root, "llama", "gptj", "random", "never")
    sentences = summary(probes, judge(probes))
    assert len(sentences) == 5
    assert sentences[0].startswith("2 trained models and 1 with random weights read the prompts")
    assert "0.89 (gpt-j-6b) to 0.95 (open_llama_7b)" in sentences[1]
    assert sentences[2].endswith("could explain the task clusters of 0 of 2 models.")
    assert sentences[3].endswith("could explain the distribution-mapping clusters of 0 of 2 models.")


def test_fine_clusters_of_the_input_alone_are_called_so(tmp_path: Path) -> None:
    """Layer 0 as good as the chosen one: the paper's number, which needs no context."""

    def value(row: ScoreRow) -> float:
        return 0.9 if row.label == "distribution_mapping" else like_the_paper(row)

    probe = read_probe(write_probe(tmp_path, value), "run")
    (sentence,) = (sentence for sentence in of_one(probe) if "word pair" in sentence)
    assert sentence.endswith("(layer 0) gives 0.90, so the input alone could explain them.")
    assert judge((probe,))[2].numbers == (
        "Distribution-mapping F1 0.90 (layer 5, t-SNE); last token alone (layer 0) 0.90.",
    )


@pytest.mark.parametrize(
    ("best", "third"), [(0, "lower"), (2, "lower"), (3, "middle"), (5, "middle"), (6, "upper"), (8, "upper")]
)
def test_the_depth_of_the_best_layer_is_said_in_thirds(tmp_path: Path, best: int, third: str) -> None:
    probe = read_probe(write_probe(tmp_path, functools.partial(like_the_paper, best=best)), "run")
    assert f"layer {best} of 8, in the {third} third (t-SNE)" in dict(_facts(probe))["Best layer"]


def test_the_choice_of_a_layer_is_measured_against_its_neighbours(tmp_path: Path) -> None:
    def value(row: ScoreRow) -> float:
        if (row.label, row.score, row.reducer) != ("task", "f1", "tsne"):
            return 0.3
        return {"final_norm": 0.7, "8": 0.66, "7": 0.64}.get(row.layer, 0.5)

    probe = read_probe(write_probe(tmp_path, value), "run")
    expected = "final norm, after block 8 (t-SNE); 1 of the other 9 come within 0.05 of it"
    assert dict(_facts(probe))["Best layer"] == expected
