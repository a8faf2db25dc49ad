"""A probing run read back: which layer it chooses, which of the paper's models it is, what it is held against."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from clusterlm_jax.experiments.probing.nulls import highest_nulls, null_values
from clusterlm_jax.experiments.probing.probe import read_probe, read_probes
from clusterlm_jax.records import ScoreRow, UserError, layer_names
from clusterlm_jax.report.layers.scores import Key, Place
from clusterlm_jax.report.run import NotRun
from tests.experiments.probing.directories import LABELS, like_the_paper, score_rows, write_facts, write_probe
from tests.report.work_directories import write_rows


def test_scores_are_those_of_the_model_and_the_words_stand_apart(tmp_path: Path) -> None:
    rows = score_rows()
    foreign = [dataclasses.replace(row, run="main/other", value=0.99) for row in rows]
    foreign += [dataclasses.replace(row, split="validation", value=0.99) for row in rows]
    write_rows(tmp_path, rows + foreign)
    probe = read_probe(tmp_path, "mine")
    for values, run in ((probe.values, "main"), (probe.words, "null/words")):
        expected = {Key(row.layer, row.label, row.reducer, row.score): row.value for row in rows if row.run == run}
        assert values == expected
    assert probe.name == "mine" and probe.layers == layer_names(8), "the rows tell the layers while no file does"


def test_layers_are_the_model_s_even_before_they_are_scored(tmp_path: Path) -> None:
    assert read_probe(tmp_path, "mine").layers == ()
    write_facts(tmp_path, "gpt-j-6b", blocks=28)
    write_rows(tmp_path, [row for row in score_rows() if row.layer in ("0", "1")])
    probe = read_probe(tmp_path, "mine")
    assert probe.layers == layer_names(28) and probe.name == "gpt-j-6b"
    assert probe.scored == {"none": 2, "tsne": 2} and not probe.complete


@pytest.mark.parametrize(
    ("reducer", "layer"), [("none", "3"), ("tsne", "0"), ("none", "final_norm"), ("tsne", "final_norm"), ("tsne", "8")]
)
def test_the_chosen_one_is_the_best_by_task_f1_of_all_layers_and_both_reducers(tmp_path, reducer, layer) -> None:
    """Other labels and scores, and the nulls, are higher elsewhere."""

    def value(row: ScoreRow) -> float:
        if (row.label, row.score) != ("task", "f1") or row.run != "main":
            return 0.99
        return 0.6 if (row.reducer, row.layer) == (reducer, layer) else 0.59

    probe = read_probe(write_probe(tmp_path, value), "mine")
    assert probe.chosen == Place(layer, reducer)
    assert probe.nine(probe.chosen) == (0.6, *[0.99] * 8)


def test_of_equal_layers_the_lowest_is_chosen(tmp_path: Path) -> None:
    assert read_probe(write_probe(tmp_path, lambda row: 0.5), "mine").chosen == Place("0", "none")


def test_without_task_scores_nothing_is_chosen(tmp_path: Path) -> None:
    write_rows(tmp_path, [row for row in score_rows() if row.label != "task" or row.run != "main"])
    with pytest.raises(NotRun, match="by task"):
        read_probe(tmp_path, "mine").chosen  # noqa: B018


def test_what_is_undefined_is_not_there(tmp_path: Path) -> None:
    probe = read_probe(write_probe(tmp_path, lambda row: math.nan if row.layer == "5" else like_the_paper(row)), "mine")
    assert not any(layer == "5" for layer, *_ in probe.values) and probe.chosen == Place("4", "tsne")


@pytest.mark.parametrize(
    ("name", "paper"),
    [
        ("open_llama_7b", "LLaMa-7B"),
        ("open_llama_13b", "LLaMa-13B"),
        ("gpt-j-6B", "GPT-J-6B"),
        ("Llama-2-7B-32K-Instruct", "LLaMa-2-7B-Instruct"),
        ("instruct-gpt-j-fp16", "Instruct-GPT-J-6B"),
        ("open_llama_7b_v2", None),
        ("open_llama_3b", None),
    ],
)
def test_the_paper_s_models_are_known_by_name_but_never_with_random_weights(tmp_path, name, paper) -> None:
    for random_weights in (False, True):
        write_facts(tmp_path, name, 8, random_weights)
        probe = read_probe(tmp_path, "mine")
        found = probe.paper.name if probe.paper else None
        assert found == (None if random_weights else paper)
        assert probe.name == name + " (random weights)" * random_weights


def test_models_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        write_facts(tmp_path / name, "gpt-j-6b", 8, random_weights=name == "c")
    probes = read_probes({name: tmp_path / name for name in "abc"})
    assert [probe.name for probe in probes] == ["gpt-j-6b, a", "gpt-j-6b, b", "gpt-j-6b (random weights)"]


def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no work directory"):
        read_probe(tmp_path / "nowhere", "mine")
    (tmp_path / "scores.csv").write_text("run,seed\n")
    with pytest.raises(UserError, match="not a table of scores"):
        read_probe(tmp_path, "mine")
    (tmp_path / "scores.csv").unlink()
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json is damaged \(line 1"):
        read_probe(tmp_path, "mine")
    (tmp_path / "run.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps({"experiment": "emergence"}))
    with pytest.raises(UserError, match="of the experiment 'emergence', not 'probing'"):
        read_probe(tmp_path, "mine")


def test_in_company_a_damaged_run_is_missing_alone_it_is_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "run.json").write_text("{")
    probe, absent = read_probes({"damaged": damaged, "absent": tmp_path / "absent"})
    assert "run.json is damaged" in probe.missing and "no work directory" in absent.missing
    assert (probe.name, absent.name) == ("damaged", "absent") and not probe.values
    with pytest.raises(UserError, match="damaged"):
        read_probe(damaged, "damaged")


def test_only_a_twin_on_the_same_prompts_is_a_null(tmp_path: Path) -> None:
    write_probe(tmp_path / "trained")
    write_probe(tmp_path / "twin", random_weights=True)
    write_probe(tmp_path / "fewer", random_weights=True, prompts=1760)
    write_probe(tmp_path / "other", name="gpt-j-6b", random_weights=True)
    names = ("other", "fewer", "twin", "trained")
    probes = dict(zip(names, read_probes({name: tmp_path / name for name in names}), strict=True))
    assert probes["trained"].twin.facts == probes["twin"].facts
    assert probes["twin"].twin is None, "it is a null itself"
    without = read_probes({name: tmp_path / name for name in ("other", "fewer", "trained")})
    assert without[-1].twin is None


def test_nulls_stand_at_the_same_place_and_their_highest_is_over_all_places(tmp_path: Path) -> None:
    """Each null peaks at a layer and with a reducer of its own, none of them the chosen ones."""
    peaks = {
        "words": ("0", "none"),
        "embedding": ("0", "none"),
        "regrouped": ("2", "none"),
        "shuffled": ("7", "tsne"),
        "twin": ("1", "none"),
    }

    def value(row: ScoreRow) -> float:
        name = "words" if row.run == "null/words" else row.label.split("_")[0]
        if name in (*LABELS, "position"):
            if row.layer != "0":
                return like_the_paper(row)
            name = "embedding"
        return 0.4 if peaks[name] == (row.layer, row.reducer) else 0.3

    def of_twin(row: ScoreRow) -> float:
        return 0.4 if peaks["twin"] == (row.layer, row.reducer) else 0.3

    write_probe(tmp_path / "trained", value)
    write_probe(tmp_path / "twin", of_twin, random_weights=True)
    probes = read_probes({name: tmp_path / name for name in ("trained", "twin")})
    probe = probes[0]
    assert probe.chosen == Place("5", "tsne")
    names = ("words", "embedding", "untrained", "regrouped", "shuffled")
    assert null_values(probe, probe.chosen) == dict.fromkeys(names, 0.3)
    assert highest_nulls(probe) == dict.fromkeys(names, 0.4)
    by_distribution = null_values(probe, probe.chosen, label="distribution", score="ari")
    assert by_distribution == dict.fromkeys(names, 0.3) | {"regrouped": None}, "only tasks are regrouped"
    (alone,) = read_probes({"trained": tmp_path / "trained"})
    assert highest_nulls(alone) == dict.fromkeys(names, 0.4) | {"untrained": None}
