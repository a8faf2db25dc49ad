"""The paper's numbers: complete, within their range, and copied without a slip that a look at them would show."""

from __future__ import annotations

from clusterlm_jax.report import paper


def test_every_model_of_table_1_has_nine_scores() -> None:
    assert len(paper.NINE) == 9
    assert (paper.NINE[0], paper.NINE[-1]) == (("task", "f1"), ("distribution_mapping", "ami"))
    for name, model in paper.MODELS.items():
        assert name == name.lower(), "looked up by the checkpoint's name in small letters"
        assert len(model.scores) == 9 and all(0 < score < 1 for score in model.scores)
        assert f"-{model.parameters.removesuffix(' billion')}B" in model.name


def test_each_run_s_figures_stand_for_one_of_the_main_run_s() -> None:
    others = [paper.SEEDS, paper.SIMILAR, *paper.WIDTHS.values()]
    assert all(numbers.keys() <= paper.MAIN.keys() for numbers in others)
    used = [number for numbers in others for number in numbers.values()]
    assert len(used) == len(set(used)), "no figure of the paper is of two runs"
    assert paper.WIDTHS.keys() < paper.PARAMETERS.keys()


def test_table_11_has_accuracies_and_drops() -> None:
    for accuracy, drop in paper.ALIGNMENT.values():
        assert 0 < drop < accuracy <= 1
