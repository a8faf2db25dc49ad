"""What the page of a probed model says first is true of every number it names, whatever the numbers are."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from clusterlm_jax.experiments.probing.claims import task_nulls
from clusterlm_jax.experiments.probing.nulls import NULLS
from clusterlm_jax.experiments.probing.probe import Key, Probe
from clusterlm_jax.experiments.probing.summary import _finest, _nulls, _of_several
from clusterlm_jax.report.claims import MARGIN

SHARES = st.integers(0, 100).map(lambda percent: percent / 100)
LABELS = ("task", "shuffled_task", "regrouped_task", "distribution_mapping")
generated = settings(max_examples=30, deadline=None, derandomize=True)


@st.composite
def probes(draw: st.DrawFn, layers: tuple[str, ...] = ("0", "1", "2", "final_norm")) -> Probe:
    """A model of two blocks, scored without a reducer."""
    values = {Key(layer, label, "none", "f1"): draw(SHARES) for layer in layers for label in LABELS}
    return Probe("made", values, {Key("0", "task", "none", "f1"): draw(SHARES)}, {"model": {"layers": 2}})


@generated
@given(probes())
def test_each_null_is_said_to_explain_the_clusters_or_not_by_its_own_number(probe: Probe) -> None:
    """Breaks when one that is far below is named with one that comes near, or one that is above as below."""
    sentence, nulls = _nulls(probe), task_nulls(probe)
    near = {name for name, value in nulls.items() if value >= probe.value(probe.chosen) - MARGIN - 1e-9}
    said, _, denied = (
        ("", "", sentence) if sentence.startswith("No null") else sentence.partition(" could explain the task clusters")
    )
    for name, value in nulls.items():
        words = f"{NULLS[name]} {value:.2f}"
        assert (words in said, words in denied) == (name in near, name not in near)


@generated
@given(probes())
def test_the_input_alone_could_explain_what_it_comes_near(probe: Probe) -> None:
    sentence = _finest(probe)
    f1, alone = map(float, re.findall(r"(?:of|gives) (\d\.\d\d)", sentence))
    assert ("the input alone could explain them" in sentence) == (round(100 * (f1 - alone)) < 100 * MARGIN) or (
        round(100 * (f1 - alone)) == 100 * MARGIN  # float's own rounding decides at the margin
    )


@generated
@given(st.lists(probes(("0", "1")), min_size=1, max_size=3))
def test_of_several_models_those_that_the_sentence_holds_of_are_counted(found: list[Probe]) -> None:
    """None of them is scored at every layer yet, and no sentence says so."""
    sentences = _of_several(found)
    assert "every layer" not in sentences[0]
    holds = sum("could explain the task clusters" in _nulls(probe) for probe in found)
    assert f"could explain the task clusters of {holds} of {len(found)} model" in sentences[2]
