"""What several experiments show of a training: its facts, its sizes, its clusters and its hard examples."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from clusterlm_jax.records import ScoreRow
from clusterlm_jax.report import training
from clusterlm_jax.report.claims import Finding, claim
from clusterlm_jax.report.reading import read_main
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.spec import ReportSpec
from tests.report.work_directories import like_the_paper, score_rows, write_facts, write_rows, write_run


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The mean of two seeds."""
    return read_main(write_run(tmp_path_factory.mktemp("seeds"), seeds=(0, 1)))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return read_main(tmp_path_factory.mktemp("empty"))


@claim("It was trained.", "3.2", "There is a best epoch.")
def trained(run: Run) -> Finding:
    return Finding(run.best_epoch is not None, ("It was.",))


def epochs(run: Run) -> str:
    if run.trained < 0:
        raise NotRun("nothing was trained")
    return f"It took {run.trained} epochs."


def page_of(run: Run, into: Path) -> str:
    """A page of the training `run` with one sentence, one fact and one claim."""
    path = training.publish_training(
        run,
        run,
        into,
        ReportSpec(formats=()),
        question="Is it so?",
        introduction="",
        sentences=(epochs,),
        lead="",
        facts=(("Own", "a fact"),),
        claims=(trained,),
        figures=(),
        tables=(training.sizes_entry("A note."),),
    )
    assert path == into / "report.html"
    return path.read_text()


def facts(html: str) -> dict[str, str]:
    return dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", html))


def test_the_page_has_the_facts_of_the_training_around_its_own(tmp_path: Path, seeds: Run) -> None:
    html = page_of(seeds.members[0], tmp_path)
    assert f"<h1>Is it so? The run {seeds.name}</h1>" in html
    assert list(facts(html).items()) == [
        ("Run", f"{seeds.name}, seed 0"),
        ("Model", "55,360 parameters: hidden 32, feed-forward 64, 3 blocks, 8 heads"),
        ("Own", "a fact"),
        ("Wall time by stage", "train 2 min 1 s, analyse 30 s"),
    ]
    assert "<summary>Configuration</summary>" in html and "<summary>Environment</summary>" in html


def test_the_summary_ends_with_the_verdicts(tmp_path: Path, seeds: Run) -> None:
    (summary,) = re.findall(r'<ol class="summary">(.*?)</ol>', page_of(seeds, tmp_path), flags=re.S)
    took, verdicts = re.findall("<li>(.*?)</li>", summary)
    assert took == "It took 8 epochs."
    assert verdicts.endswith("claims, by the printed rules: 1 same direction.")


def test_a_page_of_several_seeds_says_so_and_judges_each(tmp_path: Path, seeds: Run) -> None:
    html = page_of(seeds, tmp_path)
    assert facts(html)["Run"] == f"{seeds.name}, mean of the seeds 0, 1"
    assert "Every seed is judged on its own" in html


def test_what_is_not_there_yet_is_not_run(tmp_path: Path, empty: Run) -> None:
    html = page_of(empty, tmp_path)
    assert facts(html) | {"Run": ""} == {
        "Run": "",
        "Model": "not run",
        "Own": "a fact",
        "Wall time by stage": "not run",
    }
    assert "epochs." not in html and "1 not seen" in html


def test_sizes_are_compared_with_the_paper_s(seeds: Run) -> None:
    table = training.sizes(seeds.members[0])
    assert table.header == ("quantity", "ours", "paper")
    assert table.rows[:3] == (
        ("training instances", 7120, 7300),
        ("training subset instances", 240, 180),
        ("validation instances", 420, 315),
    )
    assert len(table.rows) == len(training.SIZES)
    assert training.sizes(seeds).header == ("quantity", "seed 0", "seed 1", "paper")
    assert training.sizes(seeds).rows[0] == ("training instances", 7120, 7120, 7300)


def test_similar_tasks_have_sizes_of_their_own(tmp_path: Path) -> None:
    write_facts(tmp_path, shared_mappings=3)
    run = read_main(tmp_path)
    assert training.is_similar(run)
    assert [row[0] for row in training.sizes(run).rows[len(training.SIZES) :]] == [
        words for words, *_ in training.SIZES_OF_SIMILAR
    ]


def test_the_entry_of_the_sizes_finds_its_training(seeds: Run) -> None:
    entry = training.sizes_entry("A note.", lambda subject: subject["target"])
    assert (entry.name, entry.note) == ("table_2", "A note.")
    assert entry({"target": seeds}) == training.sizes(seeds)


def test_one_of_a_kind_is_not_told_in_the_plural(tmp_path: Path) -> None:
    write_facts(tmp_path)
    facts = json.loads((tmp_path / "run.json").read_text())
    facts["model"] |= {"layers": 1, "heads": 1}
    (tmp_path / "run.json").write_text(json.dumps(facts))
    assert training.model_words(read_main(tmp_path)).endswith(", 1 block, 1 head")


def test_the_entry_of_the_hard_examples_finds_its_training(seeds: Run) -> None:
    entry = training.hard_entry("A title", lambda subject: subject["target"])
    assert (entry.name, entry.title) == ("figure_hard", "A title")
    assert len(entry({"target": seeds}).axes) == 2


def test_clusters_are_drawn_by_split_and_label(seeds: Run) -> None:
    figure = training.clusters_figure(seeds.members[0], ("task", "mapping"))
    assert len(figure.axes) == 4
    for panel, (split, label) in zip(
        figure.axes,
        [(split, label) for split in ("training_subset", "validation") for label in ("task", "mapping")],
        strict=True,
    ):
        curve = seeds.members[0].curve(split=split, layer="2", label=label, score="f1")
        assert list(curve.values()) in [list(line.get_ydata()) for line in panel.lines]
    assert [panel.get_title(loc="left") for panel in figure.axes[:2]] == ["by task", "by mapping"]


def test_hard_examples_are_those_of_the_training_subset(tmp_path: Path, seeds: Run) -> None:
    run = seeds.members[0]
    own, original = training.hard_figure(run).axes
    for panel, score in ((own, "hard_with_own"), (original, "hard_with_original")):
        curve = run.curve(split="training_subset", layer="3", score=score)
        assert list(curve.values()) in [list(line.get_ydata()) for line in panel.lines]
    write_rows(tmp_path, [row for row in score_rows(like_the_paper) if not row.score.startswith("hard_")])
    with pytest.raises(NotRun, match="no hard examples"):
        training.hard_figure(read_main(tmp_path))


@pytest.mark.parametrize(("flat", "seen"), [("", True), ("training_subset", False), ("validation", False)])
def test_the_clusters_must_gain_on_both_splits(tmp_path: Path, flat: str, seen: bool) -> None:
    def value(row: ScoreRow) -> float:
        return 0.3 if row.split == flat else like_the_paper(row)

    write_rows(tmp_path, [row for row in score_rows(value) if row.score == "f1" and row.label == "task"])
    finding = training.gains(read_main(tmp_path))
    assert finding.seen == seen
    last = sum(0.15 + (0.92 - 0.15) * (0.4 + 0.6 * depth) for depth in (1 / 3, 2 / 3, 1)) / 3
    expected = "0.30 (epoch 0) to 0.30" if flat == "validation" else f"0.15 (epoch 0) to {last:.2f}"
    assert finding.numbers[1] == f"Validation: {expected} (epoch 8)."


def test_one_analysed_epoch_has_no_ends(tmp_path: Path) -> None:
    write_rows(tmp_path, score_rows(like_the_paper, epochs=1))
    with pytest.raises(NotRun, match="fewer than two epochs"):
        training.ends(read_main(tmp_path))


def test_numbers_in_words() -> None:
    assert training.series([0.5, 0.123]) == "0.50, 0.12"


def test_how_far_each_phase_has_come(seeds: Run, empty: Run) -> None:
    assert training.epochs_words({"main": seeds, "head": empty}) == (
        "main 8 epochs of 220 steps of 30 instances; head 0 epochs"
    )
