"""Bars: a clock that moves on a terminal, and one forecast."""

from __future__ import annotations

import io
import itertools
import sys
import time
from types import SimpleNamespace

import pytest

from clusterlm_jax import progress

PATIENCE = 5  # seconds


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def shown(monkeypatch):
    """Bars are shown, whatever the environment of the tests says."""
    monkeypatch.delenv("TQDM_DISABLE", raising=False)


def test_the_clock_moves_on_a_terminal_while_nothing_ends(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setattr(progress, "TICK", 0.01)
    with progress.bar("main", "epoch", 3, state=progress.COMPILING):
        end = time.monotonic() + PATIENCE
        while terminal.getvalue().count("compiling") < 5:
            assert time.monotonic() < end, "the bar stands still"
            time.sleep(0.01)
    closed = terminal.getvalue()
    time.sleep(0.05)
    assert terminal.getvalue() == closed


def test_a_log_gets_no_line_for_a_tick(monkeypatch):
    monkeypatch.setattr(sys, "stderr", log := io.StringIO())
    monkeypatch.setattr(progress, "TICK", 0.001)
    with progress.bar("main", "epoch", 3, state=progress.COMPILING):
        before = log.getvalue()
        time.sleep(0.05)
        assert log.getvalue() == before
    assert "compiling" in before


def forecast(
    monkeypatch, ends: list[float], epochs: int, every: int = 1, evaluator: SimpleNamespace | None = None
) -> progress.Forecast:
    """Of a phase of two seeds, whose epochs end at these times, with 10 cells an epoch and seed."""
    monkeypatch.setattr(progress.time, "monotonic", map(float, ends).__next__)
    analysed = frozenset({*range(0, epochs + 1, every), epochs})
    phase = SimpleNamespace(run="main", seeds=(0, 1), spec=SimpleNamespace(epochs=epochs), analysed=analysed)
    return progress.Forecast(phase, evaluator, 10)


def test_the_rest_of_a_training_is_told_once_from_epochs_that_do_not_compile(monkeypatch, capsys):
    told = forecast(monkeypatch, [100, 160, 170, 190, 210], epochs=100)
    for epoch in range(2):
        told.tell(epoch)
    assert not capsys.readouterr().err
    for epoch in range(2, 5):
        told.tell(epoch)
    assert capsys.readouterr().err.strip() == "main: about 16 min 20 s to go (98 epochs)."


def test_a_resumed_training_forgets_its_first_epochs_too(monkeypatch, capsys):
    told = forecast(monkeypatch, [0, 1, 3], epochs=60)
    for epoch in (50, 51, 52):
        told.tell(epoch)
    assert "about 16 s to go (8 epochs)" in capsys.readouterr().err


def test_the_longer_of_training_and_analysis_is_the_rest(monkeypatch, capsys):
    """After 40 seconds an epoch's 20 cells are scored; 3 epochs of cells wait, and 8 are to come."""
    evaluator = SimpleNamespace(finished=0, queued=0)
    told = forecast(monkeypatch, [0, 10, 20, 30, 40], epochs=12, evaluator=evaluator)
    for epoch, scored in zip(itertools.count(), (0, 5, 10, 19, 20)):
        evaluator.finished, evaluator.queued = scored, 20 * (epoch + 1)
        told.tell(epoch)
        assert bool(said := capsys.readouterr().err) == (epoch == 4)
    words = "8 epochs in 1 min 20 s, and beside them 240 cells in 8 min 0 s"
    assert said.strip() == f"main: about 8 min 0 s to go ({words})."


def test_nothing_is_told_at_the_end(monkeypatch, capsys):
    told = forecast(monkeypatch, [0, 1, 2], epochs=2)
    for epoch in range(3):
        told.tell(epoch)
    assert not capsys.readouterr().err
