"""What is read from work directories side by side, and how several seeds become one value."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clusterlm_jax.report.points import mean_curve, over_seeds, read_points, trained
from clusterlm_jax.report.run import NotRun
from tests.report.work_directories import metric_records, write_metrics, write_run


def test_points_stand_in_their_order_each_with_a_line_of_its_own(tmp_path):
    """More points than colours: the eighth takes the first colour again, and another stroke."""
    points = read_points({f"p{index}": tmp_path / f"p{index}" for index in range(9)}, tmp_path)
    assert [point.name for point in points] == [f"p{index}" for index in range(9)]
    assert len({tuple(point.line.values()) for point in points}) == 9


def test_what_is_not_there_or_damaged_is_not_run_and_says_why(tmp_path):
    write_run(tmp_path / "whole", seeds=(0, 2))
    (tmp_path / "begun").mkdir()
    write_run(tmp_path / "damaged")
    (tmp_path / "damaged" / "scores.csv").write_text("a,b\n")
    (tmp_path / "damaged" / "report.html").touch()
    names = ("whole", "begun", "damaged", "none")
    points = dict(zip(names, read_points({name: tmp_path / name for name in names}, tmp_path), strict=True))
    assert points["whole"].run.seeds == (0, 2)
    assert points["whole"].words == "8 of 8 epochs, seeds 0, 2"
    assert [name for name in names if points[name].run is None] == ["begun", "damaged", "none"]
    assert points["begun"].words == points["none"].words == "not run: nothing has been trained yet"
    assert "is not a table of scores" in points["damaged"].words
    assert trained(list(points.values())) == [points["whole"]]
    with pytest.raises(NotRun):
        trained([points["none"]])


def test_pages_are_linked_from_where_the_comparison_is(tmp_path):
    own = write_run(tmp_path / "runs" / "a=1, b") / "report.html"
    own.touch()
    (point,) = read_points({"a": own.parent}, tmp_path / "elsewhere")
    assert point.address == "../runs/a%3D1%2C%20b/report.html"


def test_training_goes_as_far_as_configured(tmp_path):
    """A point on its way: 3 of 40 epochs."""
    write_metrics(tmp_path, metric_records(epochs=4))
    (tmp_path / "config.json").write_text('{"train": {"epochs": 40}}')
    (point,) = read_points({"a": tmp_path}, tmp_path)
    assert (point.epochs, point.words) == (40, "3 of 40 epochs, seed 0")


def test_the_mean_over_seeds_is_where_all_have_a_value():
    mean, deviation = mean_curve([{0: 1.0, 5: 2.0, 10: 7.0}, {0: 3.0, 5: 2.0}])
    assert mean == {0: 2.0, 5: 2.0}
    np.testing.assert_allclose(list(deviation.values()), [math.sqrt(2), 0.0])  # the sample's: n - 1
    assert mean_curve([{0: 1.0}]) == ({0: 1.0}, {})
    assert mean_curve([]) == mean_curve([{0: 1.0}, {}]) == ({}, {})


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([], None),
        ([0.5, None], None),
        ([0.5], 0.5),
        ([55360, 55360, 55360], 55360),
        ([0.4, 0.5, 0.6], "0.500 ± 0.100"),
        ([math.inf], math.inf),
        ([12, math.inf], "12, never"),
        ([0.25, math.nan], "0.250, undefined"),
    ],
)
def test_a_value_of_several_seeds(values, shown):
    assert over_seeds(values) == shown
