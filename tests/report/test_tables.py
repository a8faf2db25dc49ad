"""Tables: values as a person reads them, seeds in one cell, and every digit in the CSV file."""

from __future__ import annotations

import csv
import io
import math

import pytest

from clusterlm_jax.report import tables
from clusterlm_jax.report.tables import NEVER, Spread, Table, over_seeds, side_by_side

SEEDS = Spread((0.4, 0.5, 0.6123456789))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "not run"),
        (float("nan"), "undefined"),
        (NEVER, "never"),
        (0.98765, "0.988"),
        (1508, "1,508"),
        ("task", "task"),
        (Spread((0.4, 0.5, 0.6)), "0.500 ± 0.100"),
        (Spread((3, 4)), "3.500 ± 0.707"),
        (Spread((12, NEVER)), "never in 1 of 2 seeds"),
        (Spread((NEVER, 4, NEVER)), "never in 2 of 3 seeds"),
        (Spread((0.25, math.nan)), "undefined ± undefined"),
    ],
)
def test_a_value_is_shown_as_a_person_reads_it(value: tables.Value, words: str) -> None:
    assert tables.shown(value) == words


def test_a_spread_has_the_mean_and_the_sample_s_deviation() -> None:
    """By hand: .92, .89 and .905 differ from their mean by .015, -.015 and 0."""
    spread = Spread((0.92, 0.89, 0.905))
    assert (spread.mean, spread.deviation) == pytest.approx((0.905, math.sqrt((0.015**2 + 0.015**2) / 2)))


def test_an_epoch_that_one_seed_never_reached_has_no_finite_mean() -> None:
    spread = Spread((4, NEVER, 4))
    assert spread.mean == NEVER and math.isnan(spread.deviation)


@pytest.mark.parametrize(
    ("values", "cell"),
    [
        ([], None),
        ([0.5, None], None),
        ([0.5], 0.5),
        ([55360, 55360, 55360], 55360),
        ([0.4, 0.5, 0.6], Spread((0.4, 0.5, 0.6))),
        ([NEVER, NEVER], NEVER),
        ([12, NEVER], Spread((12, NEVER))),
    ],
)
def test_a_cell_over_seeds(values: list, cell: tables.Value) -> None:
    assert over_seeds(values) == cell


def test_a_table_side_by_side_has_a_column_for_each_name() -> None:
    table = side_by_side(("label", "score"), ["seed 0", "seed 1"], [(("task", "F1"), [0.1, None])])
    assert table == Table(("label", "score", "seed 0", "seed 1"), (("task", "F1", 0.1, None),))


def test_markdown_keeps_a_name_inside_its_cell() -> None:
    """A bar, even after a backslash, ends no cell, a line break no row, and nothing becomes HTML."""
    text = tables.markdown(Table(("a\\|b", "c"), (("<img src=x>\n&lt;", 0.12345),)))
    assert text == "| a\\&#124;b | c |\n| --- | --- |\n| &lt;img src=x> &amp;lt; | 0.123 |\n"


def test_markdown_joins_mean_and_deviation() -> None:
    text = tables.markdown(Table(("measure", "ours"), (("F1", SEEDS), ("epoch", Spread((3, NEVER))))))
    assert text.splitlines()[2:] == ["| F1 | 0.504 ± 0.106 |", "| epoch | never in 1 of 2 seeds |"]


def read(table: Table) -> list[list[str]]:
    return list(csv.reader(io.StringIO(tables.comma_separated(table))))


def test_csv_has_every_digit_of_mean_and_deviation_in_columns_of_their_own() -> None:
    """A column becomes two only if a spread is in it; what has no deviation leaves the second empty."""
    header, spread, single, missing = read(
        Table(("measure", "three", "one"), (("F1", SEEDS, 0.1), ("parameters", 55360, 55360), ("kNN", None, None)))
    )
    assert header == ["measure", "three", "three, standard deviation", "one"]
    assert spread == ["F1", repr(SEEDS.mean), repr(SEEDS.deviation), "0.1"]
    assert single == ["parameters", "55360", "", "55360"]
    assert missing == ["kNN", "", "", ""]


def test_csv_without_spreads_has_the_header_s_columns() -> None:
    assert read(Table(("a, b", "c"), (("d", 1 / 3),))) == [["a, b", "c"], ["d", repr(1 / 3)]]
