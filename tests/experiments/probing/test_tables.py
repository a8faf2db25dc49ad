"""The tables of probed models: our numbers are the rows', and each stands beside what it is held against."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax.experiments.probing.probe import Probe, read_probe
from clusterlm_jax.experiments.probing.tables import TABLES
from clusterlm_jax.records import ScoreRow, layer_names
from clusterlm_jax.report.tables import Value
from tests.experiments.probing.directories import (
    GPTJ,
    MODELS,
    UNTRAINED,
    formula,
    like_the_paper,
    probes_of,
    score_rows,
    write_facts,
    write_models,
    write_probe,
)
from tests.report.work_directories import write_rows

NINE = [
    f"{label} {score}" for label in ("task", "distribution", "distribution-mapping") for score in ("F1", "ARI", "AMI")
]
LLAMA_7B = (0.959, 0.872, 0.869, 0.571, 0.438, 0.673, 0.940, 0.903, 0.974)  # table 1
ENTRIES = {entry.name: entry for entry in TABLES}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaMA, a GPT-J, random weights; read it, do not change it."""
    return write_models(tmp_path_factory.mktemp("models"))


def table(probes: tuple[Probe, ...], name: str) -> list[dict[str, Value]]:
    made = ENTRIES[name](probes)
    return [dict(zip(made.header, row, strict=True)) for row in made.rows]


def numbers(row: dict[str, Value]) -> list[Value]:
    return [row[column] for column in NINE]


def test_table_1_has_our_nine_numbers_the_paper_s_and_the_difference(root: Path) -> None:
    ours, paper, difference, *others = table(probes_of(root, "llama"), "table_1")
    assert list(ours.values())[:4] == ["open_llama_7b", "ours", "layer 5", "t-SNE"]
    assert numbers(ours) == formula(like_the_paper, "5", "tsne")
    assert (paper["model"], numbers(paper)) == ("LLaMa-7B", list(LLAMA_7B))
    np.testing.assert_allclose(numbers(difference), np.subtract(numbers(ours), LLAMA_7B))
    assert [row["model"] for row in others[::2]] == [row["model"] for row in others[1::2]]
    assert {row["task F1"] for row in others[::2]} == {None}, "not run"
    assert [row["task F1"] for row in others[1::2]] == [0.953, 0.887, 0.917, 0.907]


def test_each_reducer_has_its_own_best_layer(tmp_path: Path) -> None:
    def value(row: ScoreRow) -> float:
        return like_the_paper(row, best=5 if row.reducer == "tsne" else 2)

    raw, tsne = table((read_probe(write_probe(tmp_path, value), "run"),), "table_1_by_reducer")
    assert (raw["layer"], tsne["layer"]) == ("layer 2", "layer 5")
    assert numbers(raw) == formula(value, "2", "none") and numbers(tsne) == formula(value, "5", "tsne")


def test_the_null_table_says_by_how_much_ours_exceeds_them_all(root: Path) -> None:
    """At the chosen layer random weights score less than the bag of words; their best layer is a lower one."""
    rows = [row for row in table(probes_of(root, *MODELS), "table_probing_nulls") if row["model"] == "open_llama_7b"]
    assert len(rows) == 2 * 9
    found = {(row["where"], row["label"], row["score"]): row for row in rows}
    twin = {layer: formula(UNTRAINED, layer, "tsne")[0] for layer in layer_names(8)}
    here, highest = (found[where, "task", "F1"] for where in ("layer 5, t-SNE", "highest of all"))
    assert (here["random weights"], highest["random weights"]) == (twin["5"], max(twin.values()))
    assert max(twin, key=twin.get) == "1"
    for row in (here, highest):
        assert (row["bag of words"], row["whole tasks shuffled"], row["shuffled labels"]) == (0.55, 0.5, 0.36)
        assert row["last token alone (layer 0)"] == formula(like_the_paper, "0", "tsne")[0]
        assert row["above"] == pytest.approx(0.95 - 0.55)
    assert found["layer 5, t-SNE", "distribution", "F1"]["whole tasks shuffled"] == ""


def test_every_layer_stands_in_the_wide_table_and_what_a_model_lacks_is_empty(root: Path) -> None:
    rows = table(probes_of(root, *MODELS), "table_layers")
    assert len(rows) == 3 * 2 * 9
    gptj = next(row for row in rows if row["model"] == "gpt-j-6b" and row["reducer"] == "t-SNE")
    value = functools.partial(GPTJ, blocks=8)
    for layer in range(7):
        assert gptj[f"layer {layer}" if layer else "embedding (0)"] == formula(value, str(layer), "tsne")[0]
    assert gptj["layer 7"] == gptj["layer 8"] == "" and gptj["final norm"] > 0
    assert None not in [value for row in rows for value in row.values()], "a smaller model lacks nothing"


def test_f1_s_readings_stand_beside_the_paper_s(root: Path) -> None:
    *readings, paper = table(probes_of(root, "llama"), "table_f1_definitions")
    assert len(readings) == 6 and readings[0]["task"] == 0.95
    assert [paper[label] for label in ("task", "distribution", "distribution-mapping")] == [0.959, 0.571, 0.94]


def test_sizes_stand_beside_the_paper_s(root: Path) -> None:
    (prompts, *_) = table(probes_of(root, *MODELS), "table_2")
    assert prompts == {
        "quantity": "prompts",
        "open_llama_7b": 8800,
        "gpt-j-6b": 8800,
        "open_llama_7b (random weights)": 8800,
        "never": None,
        "paper": 8800,
    }
    models = {row["model"]: row for row in table(probes_of(root, *MODELS), "table_9") if row["model"]}
    assert (models["gpt-j-6b"]["parameters"], models["gpt-j-6b"]["its parameters"]) == (5844393984, "6 billion")
    assert models["open_llama_7b (random weights)"]["the paper's"] == "no such model"


def test_fewer_prompts_and_half_an_analysis_are_named_in_table_1(tmp_path: Path) -> None:
    write_facts(tmp_path, "open_llama_7b", 8, prompts=1760)
    write_rows(tmp_path, [row for row in score_rows() if row.layer in "0123" and row.reducer == "none"])
    (ours, *_) = table((read_probe(tmp_path, "run"),), "table_1")
    assert ours["source"] == "ours (1,760 prompts, 4 of 20 clusterings)"
