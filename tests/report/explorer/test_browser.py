"""The explorer in a real browser without a network: controls are used, and what is then on the screen is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax.report.explorer.spaces import COLOURS, explore
from clusterlm_jax.report.page import Page, publish
from clusterlm_jax.report.spec import ReportSpec
from tests.report.explorer import files
from tests.report.explorer.browser import CHROMIUM, Tab, browser

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium or Chrome on this machine")]
WORDS = {
    "instruction": {number: f"Say <b>{number}</b> & more" for number in range(files.POINTS)},
    "input": dict(enumerate("ABCDE")),
    "output": dict(enumerate("UVWXYZ")),
}
DRAWN = "document.getElementById('explorer-plot').data[0]"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


def show(tab: Tab, directory: Path, *splits: tuple) -> None:
    embeddings = {}
    for split in splits:
        embeddings |= files.write(directory / "embeddings", *split)
    page = Page("T", "Q", "", explorer=explore(embeddings, WORDS, "1", COLOURS))
    tab.open(publish(page, None, (), (), directory, ReportSpec(formats=())))
    tab.wait(lambda: tab.value("!!document.querySelector('#explorer-plot canvas')"))
    tab.value("document.getElementById('explorer').scrollIntoView()")


def choose(tab: Tab, control: str, value: str) -> None:
    tab.value(
        f"(e => {{ e.value = {value!r}; e.dispatchEvent(new Event('change')) }})"
        f"(document.getElementById('explorer-{control}'))"
    )


def points(tab: Tab) -> np.ndarray:
    return np.array(tab.value(f"['x', 'y', 'z'].map(axis => [...{DRAWN}[axis]])"))


def settled(tab: Tab) -> np.ndarray:
    """The points, once they no longer move."""
    before = points(tab)
    while True:
        tab.value("new Promise(done => setTimeout(done, 600))")
        if np.array_equal(before, now := points(tab)):
            return now
        before = now


def read_by_mouse(tab: Tab) -> str:
    """What is read at the first instance that the mouse, moved over the plot, points at."""
    box = tab.value("(({x, y, width, height}) => [x, y, width, height])("
                    "document.querySelector('#explorer-plot canvas').getBoundingClientRect())")  # fmt: skip
    for down in np.linspace(0.35, 0.75, 9):
        for right in np.linspace(0.3, 0.7, 20):
            tab.point(box[0] + right * box[2], box[1] + down * box[3])
            tab.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            if text := tab.value("[...document.querySelectorAll('.hovertext')].map(e => e.textContent).join()"):
                return text
    raise AssertionError("no instance was found")


def test_the_slider_moves_the_points_and_colours_and_words_follow(tab: Tab, tmp_path: Path) -> None:
    show(tab, tmp_path, ("validation", ("0", "1"), (0, 20, 40)), ("training_subset", ("0",), (0, 40), True, 30))
    assert tab.value("document.getElementById('explorer-place').textContent") == "epoch 40"
    last = settled(tab)
    tab.value("document.getElementById('explorer-slider').focus()")
    tab.key("ArrowLeft")
    tab.wait(lambda: tab.value("document.getElementById('explorer-place').textContent") == "epoch 20")
    moved = settled(tab)
    assert np.abs(moved - last).max() > 500 and moved.shape == last.shape == (3, files.POINTS)

    by_task = tab.value(f"{DRAWN}.marker.color")
    choose(tab, "colour", "right")
    by_answer = tab.value(f"{DRAWN}.marker.color")
    assert len(set(by_task)) == 10
    assert [by_answer.count(colour) for colour in ("#0072B2", "#D55E00")] == [21, 39], "right at epoch 20: 0 to 20"
    assert "answers right" in tab.value("document.getElementById('explorer-legend').textContent")

    text = read_by_mouse(tab)
    number = int(re.search(r"Say <b>(\d+)</b> & more", text)[1])
    assert f"input {'ABCDE'[number % 5]}, output {'UVWXYZ'[number % 6]}" in text
    assert f"task: {number % 10}" in text
    assert f"the model answers {'right' if number <= 20 else 'wrong'}" in text

    choose(tab, "split", "1")
    assert points(tab).shape == (3, 30)
    buttons = tab.value("[...document.querySelectorAll('.modebar-btn')].map(e => e.dataset.title)")
    assert len(buttons) == 2 and "Download" in buttons[0] and "Reset camera" in buttons[1], "none sends anything away"
    assert not tab.problems


def test_of_one_epoch_the_slider_is_over_layers(tab: Tab, tmp_path: Path) -> None:
    """As of a probed model, which says nothing of right and wrong."""
    show(tab, tmp_path, ("test", ("0", "1", "final_norm"), (0,), False))
    place = "document.getElementById('explorer-place').textContent"
    assert tab.value(place) == "layer 1"
    assert tab.value("document.getElementById('explorer-layer').parentElement.hidden")
    tab.value("document.getElementById('explorer-slider').focus()")
    tab.key("ArrowRight")
    tab.wait(lambda: tab.value(place) == "final norm")
    assert [tab.value(f"document.getElementById('explorer-colour').options[{n}]?.value") for n in range(6)] == [
        *COLOURS,
        None,
    ]
    assert "answers" not in read_by_mouse(tab)

    tab.value("document.getElementById('explorer-play').click()")
    for words in ("embedding (0)", "layer 1", "final norm"):
        tab.wait(lambda words=words: tab.value(place) == words)
    tab.wait(lambda: tab.value("document.getElementById('explorer-play').textContent") == "Play")
