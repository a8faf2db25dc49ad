"""What a report may be asked for."""

from __future__ import annotations

import re

import pytest

from clusterlm_jax.records import UserError
from clusterlm_jax.report.spec import ReportSpec


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"scatter_epochs": (3, -1)}, "report.scatter_epochs is (3, -1)"),
        ({"scatter_layer": "last"}, "report.scatter_layer is 'last'"),
        ({"formats": ("png", "bmp")}, "report.formats is ('png', 'bmp')"),
    ],
)
def test_the_spec_refuses_wrong_values(given: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        ReportSpec(**given)


@pytest.mark.parametrize(
    "given", [{}, {"scatter_epochs": (0, 7)}, {"scatter_layer": "final_norm"}, {"scatter_layer": "3"}, {"formats": ()}]
)
def test_the_spec_takes_right_values(given: dict) -> None:
    spec = ReportSpec(**given)
    assert {name: getattr(spec, name) for name in given} == given
