"""What is read from work directories side by side, and the panels and verdicts of a comparison."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clusterlm_jax.report import comparison
from clusterlm_jax.report.claims import Finding, claim
from clusterlm_jax.report.comparison import Point, known, read_points
from clusterlm_jax.report.page import figure, table
from clusterlm_jax.report.reading import read_main
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.spec import ReportSpec
from tests.report.work_directories import metric_records, write_metrics, write_run

NAMES = ("whole", "begun", "damaged", "none")


def progress(run: Run) -> str:
    if not run.metrics:
        raise NotRun("nothing has been trained yet")
    return f"{run.trained} epochs"


def read(root: Path, names: tuple[str, ...], into: Path | None = None) -> tuple[Point[Run], ...]:
    return read_points(read_main, progress, {name: root / name for name in names}, into or root)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two seeds with a page, one without anything yet, a damaged one, and a missing one."""
    root = tmp_path_factory.mktemp("points")
    (write_run(root / "whole", seeds=(0, 2)) / "report.html").touch()
    (root / "begun").mkdir()
    (write_run(root / "damaged") / "scores.csv").write_text("a,b\n")
    return root


@pytest.fixture(scope="module")
def points(root: Path) -> dict[str, Point[Run]]:
    return {point.name: point for point in read(root, NAMES)}


def test_points_are_in_their_order_each_with_a_line_of_its_own(tmp_path: Path) -> None:
    """More points than colours: the eighth takes the first colour again, and another stroke."""
    names = tuple(f"p{index}" for index in range(9))
    points = read(tmp_path, names)
    assert tuple(point.name for point in points) == names
    assert len({tuple(point.line.values()) for point in points}) == 9


def test_what_is_not_there_or_damaged_is_not_run_and_says_why(points: dict[str, Point[Run]]) -> None:
    assert points["whole"].run.seeds == (0, 2)
    assert points["whole"].words == "8 epochs"
    assert [name for name in NAMES if points[name].run is None] == ["begun", "damaged", "none"]
    assert points["begun"].words == "not run: nothing has been trained yet"
    assert points["none"].words.startswith("not run: There is no work directory")
    assert "is not a table of scores" in points["damaged"].words
    assert known(list(points.values())) == [points["whole"]]
    with pytest.raises(NotRun, match="at no point"):
        known([points["none"]])


def test_pages_are_linked_from_where_the_comparison_is(root: Path, points: dict[str, Point[Run]]) -> None:
    (point,) = read(root, ("whole",), root / "elsewhere")
    assert point.address == "../whole/report.html"
    assert (points["whole"].address, points["begun"].address) == ("whole/report.html", "")


def test_a_measure_is_taken_of_every_seed_or_of_none(points: dict[str, Point[Run]]) -> None:
    def fails(run: Run) -> int:
        raise NotRun("not there")

    assert points["whole"].each_seed(lambda run: run.seeds[0]) == [0, 2]
    assert points["whole"].each_seed(fails) == points["none"].each_seed(lambda run: run.seeds[0]) == []


def test_the_legend_says_which_points_have_not_run(points: dict[str, Point[Run]]) -> None:
    assert [points[name].handle.get_label() for name in NAMES[:2]] == ["whole", "begun (not run)"]
    assert points["whole"].handle.get_color() == points["whole"].line["color"]


def test_every_point_with_something_to_show_has_a_panel(points: dict[str, Point[Run]]) -> None:
    shown = []
    drawn = comparison.panels(
        list(points.values()), "Title", lambda axes, run: shown.append(run), [points["whole"].handle], ylabel="F1"
    )
    assert shown == [points["whole"].run]
    visible = [axes for axes in drawn.axes if axes.get_visible()]
    assert [(axes.get_title(loc="left"), axes.get_ylabel()) for axes in visible] == [("whole", "F1")]


@claim("Training goes far.", "3.2", "Seed 0 was trained.")
def far(run: Run) -> Finding:
    return Finding(run.seeds[0] == 0, ())


def test_the_claims_of_every_point_are_side_by_side(points: dict[str, Point[Run]]) -> None:
    """In seed 2 it does not hold."""
    made = comparison.claims_entry((far,))(list(points.values()))
    assert made.header == ("the claim", "whole")
    assert made.rows == (("Training goes far. (3.2)", "mixed (1 of 2 seeds)"),)


def test_the_page_links_to_each_run_s_own_and_says_what_was_not_run(root: Path) -> None:
    @figure("figure_seeds", "Seeds", "How many.")
    def seeds(points):
        return comparison.panels(points, "Seeds", lambda axes, run: axes.plot([0, 1]), [points[0].handle])

    @table("table_names", "Names", "Of the points.")
    def names(points):
        return comparison.table_of(["name"], known(points), [(("is",), [point.name for point in known(points)])])

    into = root / "out"
    page = comparison.write(
        "Is it so?", read(root, NAMES, into), (seeds,), (names,), into, ReportSpec(formats=("png",))
    )
    html = page.read_text()
    assert page == into / "report.html"
    assert re.findall(r'<dt>(?:<a href="(.*?)">)?(\w+)', html) == [
        ("../whole/report.html", "whole"),
        *(("", name) for name in NAMES[1:]),
    ]
    assert "<h1>Is it so? Runs side by side: out</h1>" in html
    assert "<h3>Seeds</h3>" in html, "no figure of a comparison is called ours: none has a number"
    assert (into / "tables" / "table_names.csv").read_text() == "name,whole\nis,whole\n"
    assert [path.name for path in (into / "figures").iterdir()] == ["figure_seeds.png"]


def test_a_point_on_its_way_is_known(tmp_path: Path) -> None:
    write_metrics(tmp_path, metric_records(epochs=4))
    (point,) = read_points(read_main, progress, {"a": tmp_path}, tmp_path)
    assert (point.run.trained, point.words) == (3, "3 epochs")
