"""The JSON files of a run: any damage is told in one sentence that names the file, and never in a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clusterlm_jax.files import LINES, OBJECTS, append_jsonl, read_json, read_jsonl
from clusterlm_jax.records import UserError

ROW = {"run": "main", "seed": 0, "epoch": 1, "step": 2}
RUN = {"dataset": {}, "model": {}, "phases": {"main": {"training": {"0": {}}, "best": {"0": {"epoch": 1}}}}}


def refused(path: Path, text: bytes, words: str) -> None:
    path.write_bytes(text)
    read = read_jsonl if path.name in LINES else read_json
    with pytest.raises(UserError, match=words) as refusal:
        read(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", [*OBJECTS, *LINES])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[1]\n", "is a list, not an object"),
        (b"3\n", "is a int, not an object"),
        (b"null\n", "is a NoneType, not an object"),
        (b"{]\n", "is damaged .line 1: "),
        (b"\xff\xfe\x00\n", "cannot be read"),
    ],
)
def test_what_is_no_object_is_refused(tmp_path: Path, name: str, text: bytes, words: str) -> None:
    refused(tmp_path / name, text, words)


@pytest.mark.parametrize("key", ROW)
def test_a_line_that_lacks_a_key_or_has_another_type_is_refused(tmp_path: Path, key: str) -> None:
    good = json.dumps(ROW)
    for wrong in ({name: value for name, value in ROW.items() if name != key}, ROW | {key: [1]}):
        refused(tmp_path / "metrics.jsonl", f"{good}\n{json.dumps(wrong)}\n".encode(), rf"line 2: {key} is")


def test_a_metric_is_a_number_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append_jsonl(path, ROW | {"loss": 0.5, "accuracy": None, "nothing": float("nan")})
    assert len(read_jsonl(path)) == 1
    refused(path, json.dumps(ROW | {"loss": "low"}).encode() + b"\n", "line 1: loss is no number")


@pytest.mark.parametrize("seconds", ["NaN", "Infinity", "1e999"])
def test_a_time_is_finite(tmp_path: Path, seconds: str) -> None:
    """Python's JSON reads these as numbers, and a page could not round them."""
    refused(tmp_path / "timings.jsonl", f'{{"stage": "train", "seconds": {seconds}}}\n'.encode(), "line 1: seconds is")


@pytest.mark.parametrize("trained", ["two", 1.5, [2]])
def test_how_far_a_phase_was_trained_is_a_whole_number_if_it_is_there(tmp_path: Path, trained: object) -> None:
    phase = {"best": {"0": {"epoch": 1}}}
    (tmp_path / "run.json").write_text(json.dumps({"phases": {"main": phase}}))  # of an earlier version
    assert read_json(tmp_path / "run.json")["phases"]["main"] == phase
    facts = {"phases": {"main": phase | {"trained": trained}}}
    refused(tmp_path / "run.json", json.dumps(facts).encode(), "main: trained is")


def parts(tree: dict, at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    return (
        [
            here
            for key, value in tree.items()
            for here in [(*at, key), *(parts(value, (*at, key)) if value else [])]
            if not isinstance(value, int)
        ]
        if isinstance(tree, dict)
        else []
    )


@pytest.mark.parametrize("at", parts(RUN), ids="/".join)
@pytest.mark.parametrize("wrong", [[], 3, "word", None])
def test_a_section_that_is_no_object_is_refused(tmp_path: Path, at: tuple[str, ...], wrong: object) -> None:
    facts = json.loads(json.dumps(RUN))
    *above, last = at
    inside = facts
    for key in above:
        inside = inside[key]
    inside[last] = wrong
    refused(tmp_path / "run.json", json.dumps(facts).encode(), f"{last} is a {type(wrong).__name__}, not an object")


def test_a_line_that_a_kill_cut_off_is_left_out_and_replaced(tmp_path: Path) -> None:
    """Breaks if the next line is written behind the rest of the one that was cut."""
    path = tmp_path / "metrics.jsonl"
    for epoch in (0, 1):
        append_jsonl(path, ROW | {"epoch": epoch})
    path.write_bytes(path.read_bytes()[:-5])
    assert [row["epoch"] for row in read_jsonl(path)] == [0]
    append_jsonl(path, ROW | {"epoch": 7})
    assert [row["epoch"] for row in read_jsonl(path)] == [0, 7]
