"""Sentences that a rule builds are true of every number they name, whatever the numbers are."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterlm_jax.experiments.emergence import evidence
from clusterlm_jax.experiments.emergence.claims import abrupt_rise, higher_layers
from clusterlm_jax.experiments.emergence.page import _kmeans
from clusterlm_jax.report.claims import MARGIN, NOT_RUN, apply
from clusterlm_jax.report.run import Curve, Key, Run
from clusterlm_jax.report.words import NULLS

LAYERS = ("0", "1", "2")
SHARES = st.integers(0, 100).map(lambda percent: percent / 100)
NUMBER = r"(\d\.\d\d)"
generated = settings(max_examples=30, deadline=None, derandomize=True)


def run_of(
    scores: Mapping[tuple[str, str, str], Curve],
    metrics: Mapping[str, Curve] | None = None,
    symbols: float | None = None,
    best: int | None = None,
    hard_tasks: int = 0,
) -> Run:
    """A run of two blocks from curves of the raw states by (layer, label, score), the same on both splits."""
    curves = {
        Key(split, layer, label, "none", score): curve
        for (layer, label, score), curve in scores.items()
        for split in ("training_subset", "validation")
    }
    null = {} if symbols is None else {Key("validation", "0", "task", "none", "f1"): symbols}
    facts = {"dataset": {"hard_tasks": hard_tasks}, "best": {} if best is None else {"epoch": best}}
    return Run("made", (0,), curves, metrics or {}, null, facts, {}, {}, {}, {})


@st.composite
def curves_of(draw: st.DrawFn, epochs: tuple[int, ...], label: str = "task", score: str = "f1") -> dict:
    """A curve for every layer."""
    return {(layer, label, score): {epoch: draw(SHARES) for epoch in epochs} for layer in LAYERS}


EPOCHS = st.lists(st.integers(0, 9), min_size=2, max_size=4, unique=True).map(lambda epochs: tuple(sorted(epochs)))


@generated
@given(st.data())
def test_the_null_that_is_named_is_the_highest_and_the_first_epoch_is_the_first(data: st.DataObject) -> None:
    """Breaks when several nulls stand behind one word that only the highest deserves, or when a later epoch is called
    untrained."""
    epochs = data.draw(EPOCHS)
    scores = data.draw(curves_of(epochs))
    for null in data.draw(st.sets(st.sampled_from(["regrouped_task", "shuffled_task"]))):
        scores |= data.draw(curves_of(epochs, label=null))
    run = run_of(scores, symbols=data.draw(st.none() | SHARES))
    sentence = _kmeans(run)
    after, last, layer, before, first = re.search(
        rf"at most {NUMBER} at epoch (\d+) \(layer (\d)\), and {NUMBER} at epoch (\d+)", sentence
    ).groups()
    assert (int(first), int(last)) == (epochs[0], epochs[-1])
    assert float(after) == max(scores[block, "task", "f1"][epochs[-1]] for block in ("1", "2"))
    assert float(before) == scores[layer, "task", "f1"][epochs[0]]
    nulls = {k: v for k, v in run.null_values(layer=layer, epoch=epochs[-1]).items() if v is not None}
    if not nulls:
        assert "null" not in sentence
        return
    name, value = re.search(rf"; the highest null baseline, (.+), has {NUMBER}\.$", sentence).groups()
    assert float(value) == max(nulls.values()) == nulls[{words: key for key, words in NULLS.items()}[name]]


@generated
@given(st.data())
def test_the_mean_over_late_epochs_is_over_those_it_names(data: st.DataObject) -> None:
    """Also while the best epoch is still ahead of the analysis."""
    epochs, best = data.draw(EPOCHS), data.draw(st.integers(0, 12))
    scores = data.draw(curves_of(epochs))
    numbers = higher_layers.measure(run_of(scores, best=best)).numbers
    first, values = re.search(r"analysed epochs from (\d+) on, layers 0 to 2: ([\d., ]+);", numbers[0]).groups()
    over = [epoch for epoch in epochs if epoch >= int(first)]
    means = [sum(scores[layer, "task", "f1"][epoch] for epoch in over) / len(over) for layer in LAYERS]
    # Not as text: a mean that ends in 5 is rounded up or down, as the order of the sum has it.
    assert over and list(map(float, values.split(", "))) == pytest.approx(means, abs=0.005 + 1e-9)


@generated
@given(st.lists(SHARES, min_size=4, max_size=8), st.lists(SHARES, min_size=4, max_size=8), st.data(), st.integers(0, 1))
def test_the_rise_is_told_as_the_curves_have_it(
    subset: list[float], validation: list[float], data: st.DataObject, first: int
) -> None:
    """Accuracies may fall again, and the first may be high; losses may begin at epoch 1, and rise."""
    losses = data.draw(st.lists(SHARES, min_size=4, max_size=8))
    loss = dict(enumerate(losses, start=first))
    accuracies = {"Training subset": dict(enumerate(subset)), "Validation": dict(enumerate(validation))}
    metrics = {f"{name.lower().replace(' ', '_')}_accuracy": curve for name, curve in accuracies.items()}
    *told, last, _ = abrupt_rise.measure(run_of({}, metrics | {"training_loss": loss})).numbers
    for (name, curve), sentence in zip(accuracies.items(), told, strict=True):
        for threshold in (0.2, 0.5):
            above = [epoch for epoch, value in curve.items() if value > threshold]
            words = f"first at epoch {above[0]}" if above else "never"
            assert f"above {threshold} {words}, " in sentence
        assert sentence.startswith(name) and sentence.endswith(f"highest {max(curve.values()):.2f}.")
    start, end, before, after, no = re.fullmatch(
        rf"Training loss, epochs (\d) to (\d): {NUMBER} to {NUMBER}, (not )?falling all along\.", last
    ).groups()
    named = [loss[epoch] for epoch in range(int(start), int(end) + 1)]
    assert (int(start), float(before), float(after)) == (first, named[0], named[-1])
    assert (no is None) == (len(named) > 1 and named == sorted(set(named), reverse=True))


@generated
@given(SHARES, SHARES)
def test_the_shares_of_hard_examples_make_a_whole(own: float, original: float) -> None:
    own, original = own * (1 - original), original
    flat = {(layer, "task", "f1"): {0: 0.5, 1: 0.5} for layer in LAYERS}
    shares = {"hard_with_own": own, "hard_with_original": original}
    of_layers = {(layer, "task", score): {0: value, 1: value} for score, value in shares.items() for layer in LAYERS}
    sentence = evidence.hard_examples.measure(run_of(flat | of_layers, hard_tasks=1)).numbers[0]
    told = [int(share) for share in re.findall(r"(-?\d+)% (?:sit )?with", sentence)]
    assert len(told) == 3 and abs(sum(told) - 100) <= 1 and "-" not in sentence


@generated
@given(st.data())
def test_no_analysis_up_to_the_epoch_that_is_named_shows_half_the_rise(data: st.DataObject) -> None:
    epochs = data.draw(EPOCHS)
    scores = data.draw(curves_of(epochs))
    run = run_of(scores, {"validation_accuracy": dict(enumerate(data.draw(st.lists(SHARES, min_size=10))))}, best=9)
    verdict, numbers = apply(evidence.clusters_before_accuracy, run)
    if verdict == NOT_RUN:
        return
    upto = int(re.match(r"Up to epoch (\d+) no analysis shows half the rise", numbers[2])[1])
    best = {epoch: max(scores[block, "task", "f1"][epoch] for block in ("1", "2")) for epoch in epochs}
    half = (best[epochs[0]] + max(best.values())) / 2
    rises = max(best.values()) - best[epochs[0]] >= MARGIN
    assert upto in epochs and not (rises and any(best[epoch] >= half for epoch in epochs if epoch <= upto))
    assert upto == epochs[-1] or best[epochs[epochs.index(upto) + 1]] >= half
