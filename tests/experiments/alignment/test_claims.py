"""Claims about alignment: each verdict follows its rule, seed by seed."""

from __future__ import annotations

import json
from pathlib import Path

from clusterlm_jax.experiments.alignment.claims import CLAIMS
from clusterlm_jax.experiments.alignment.methods import read_methods
from clusterlm_jax.report.claims import MIXED, NOT_SEEN, SAME, judge
from tests.experiments.alignment.directories import SEEDS, with_noise, write_rows

PERFECT, FORGETS, HEAD, SWITCHES, MLP, ORDER, IMPERFECT, MORE, INPUT, UNTRAINED = range(10)


def verdicts(workdir: Path) -> list[str]:
    return [judgement.verdict for judgement in judge(CLAIMS, read_methods(workdir))]


def test_the_papers_numbers_are_the_papers_claims(tmp_path, rng):
    write_rows(tmp_path, with_noise(rng))
    assert verdicts(tmp_path)[:INPUT] == [SAME] * INPUT


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
    assert found[:INPUT] == [SAME, *[NOT_SEEN] * 7]


def test_source_accuracy_must_be_perfect_with_every_method(tmp_path, rng):
    write_rows(tmp_path, with_noise(rng))
    rows = list(map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines()))
    for row in rows:
        if row["run"] == "linear_switch/examples=1" and row["seed"] == 2:
            row["source_accuracy"] = 0.99
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert verdicts(tmp_path)[PERFECT] == MIXED


def change(path: Path, changed: dict[str, dict], named: str = "run") -> None:
    """Replaces values in the rows of some names."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row | changed.get(row[named], {})) + "\n" for row in rows))


def test_mistakes_by_input_symbol_are_a_difference_between_shares(tmp_path, rng):
    """6 of 8 instances with a source's input and 1 of 12 others are on; then 3 of 8 and 4 of 12, which is .04 apart."""
    write_rows(tmp_path, with_noise(rng))
    judged = judge(CLAIMS, read_methods(tmp_path))[INPUT]
    assert judged.verdict == SAME
    assert "The linear switch is on for 75% of the others with a source task's input symbol and 8%" in judged.numbers[0]
    change(tmp_path / "tasks.jsonl", {"mlp_switch/examples=1": {"of_these_on": 3}})
    assert verdicts(tmp_path)[INPUT] == NOT_SEEN, "both switches must make them"


def test_a_centroid_suffices_if_it_does_as_well_as_both_trained_switches(tmp_path, rng):
    write_rows(tmp_path, with_noise(rng))
    assert verdicts(tmp_path)[UNTRAINED] == NOT_SEEN, "source accuracy is .25"
    change(tmp_path / "metrics.jsonl", {"kmeans_switch/task": {"source_accuracy": 0.96}})
    assert verdicts(tmp_path)[UNTRAINED] == SAME
    change(tmp_path / "metrics.jsonl", {"kmeans_switch/task": {"accuracy_drop": 0.081}})
    assert verdicts(tmp_path)[UNTRAINED] != SAME, "it forgets more than the MLP switch"
