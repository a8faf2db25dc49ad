"""The explorer on a page: whole and by itself, or not there at all."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs

from clusterlm_jax.report.explorer.spaces import Explorer, explore, packed
from clusterlm_jax.report.page import Page, publish
from clusterlm_jax.report.spec import ReportSpec
from tests.report.explorer import files

NASTY = {"instruction": {0: "</script><script>alert(1)</script>"}}


def write(into: Path, explorer: Explorer | None, **of) -> str:
    page = Page("T", "Q", "", explorer=explorer, **of)
    return publish(page, None, (), (), into, ReportSpec(formats=())).read_text()


def test_the_page_holds_the_library_and_the_content_once(tmp_path: Path) -> None:
    explorer = explore(files.write(tmp_path / "embeddings", "validation", ("0",), (0, 5)), NASTY)
    whole = write(tmp_path, explorer)
    assert whole.count(get_plotlyjs()) == 1 and 4e6 < len(whole) < 5.5e6
    html = whole.replace(get_plotlyjs(), "")
    assert len(re.findall("<script", html)) == 3 and not re.search(r"<script[^>]* src|<link|url\(", html)
    content = re.search(r'id="explorer-content">(.*?)</script>', html)[1]
    assert json.loads(content) == json.loads(json.dumps(packed(explorer))), "words end no script"
    assert re.findall('href="([^"]*)"', html) == ["figures/clusters.gif"]
    assert (tmp_path / "figures" / "clusters.gif").is_file()
    assert write(tmp_path, explorer) == whole


@pytest.mark.parametrize("epochs", [(0,), ()])
def test_what_does_not_move_leaves_no_animation(tmp_path: Path, epochs: tuple[int, ...]) -> None:
    """Nor an older one. Without any coordinates there is no script either."""
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "clusters.gif").write_bytes(b"older")
    embeddings = files.write(tmp_path / "embeddings", "validation", ("0",), epochs)
    html = write(tmp_path, explore(embeddings, {}))
    assert not (tmp_path / "figures" / "clusters.gif").exists() and "clusters.gif" not in html
    assert ("<script" in html) is bool(epochs) is (len(html) > 1e6)


def test_of_several_seeds_it_says_whose_spaces_are_shown(tmp_path: Path) -> None:
    explorer = explore(files.write(tmp_path / "embeddings", "validation", ("0",), (0,)), {})
    assert "the first is shown" in write(tmp_path, explorer, several="seed")
    assert "the first is shown" not in write(tmp_path, explorer)
