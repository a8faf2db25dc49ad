"""The frame of every page, on a page of its own: files, headings, words where something was not run."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from matplotlib.figure import Figure

from clusterlm_jax.report import drawing
from clusterlm_jax.report.claims import MIXED, NOT_SEEN, SAME, Claim, Finding, Judgement
from clusterlm_jax.report.page import FigureEntry, Page, TableEntry, figure, heading, publish, table
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.tables import Spread, Table

PAGE_ONLY = ReportSpec(formats=())


@figure("figure_line", "a line", "Look at its slope.", number="3")
def line(subject: dict) -> Figure:
    if "values" not in subject:
        raise NotRun("there are no values")
    drawn = Figure(figsize=(4, 2))
    drawn.subplots().plot(subject["values"])
    return drawn


@figure("figure_spec", "what was asked for", "Ours.", with_spec=True)
def asked(subject: dict, spec: ReportSpec) -> Figure:
    drawn = Figure(figsize=(2, 2))
    drawn.suptitle(spec.scatter_layer)
    return drawn


@table("table_values", "Values", "With three decimals.")
def values(subject: dict) -> Table:
    if "values" not in subject:
        raise NotRun("nothing was measured")
    return Table(("name", "value"), (("mean", Spread(tuple(subject["values"]))), ("missing", None), ("third", 1 / 3)))


def write(into: Path, subject: dict, spec: ReportSpec = PAGE_ONLY, **page) -> str:
    said = Page(**({"title": "T", "question": "Is it so?", "introduction": "<em>Yes.</em>"} | page))
    path = publish(said, subject, (line, asked), (values,), into, spec)
    assert path == into / "report.html"
    return path.read_text()


WHOLE = {"values": [0.25, 0.75]}


def test_an_entry_is_made_of_its_words_and_the_function_below_them() -> None:
    assert isinstance(line, FigureEntry) and isinstance(values, TableEntry)
    assert (line.name, line.title, line.caption, line.number) == ("figure_line", "a line", "Look at its slope.", "3")
    assert (values.name, values.title, values.note) == ("table_values", "Values", "With three decimals.")
    assert (heading(line), heading(asked)) == ("Figure 3: a line", "what was asked for (ours)")
    assert line(WHOLE).axes[0].lines[0].get_ydata().tolist() == WHOLE["values"]
    assert asked(WHOLE, ReportSpec(scatter_layer="7")).get_suptitle() == "7"
    assert values(WHOLE).rows[1] == ("missing", None)


def test_figures_and_tables_become_files_and_the_page_needs_none_of_them(tmp_path: Path) -> None:
    html = write(tmp_path, WHOLE, ReportSpec(formats=("pdf", "svg")))
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"figure_{name}.{form}" for name in ("line", "spec") for form in ("pdf", "svg")
    }
    assert {path.name for path in (tmp_path / "tables").iterdir()} == {"table_values.md", "table_values.csv"}
    sources = re.findall(r'\bsrc="data:image/png;base64,([^"]*)"', html)
    assert len(sources) == 2 and all(base64.b64decode(source).startswith(b"\x89PNG") for source in sources)
    assert re.findall(r'<img [^>]*\bwidth="(\d+)"', html) == ["480", "240"], "one scale: 120 pixels an inch"
    assert not re.search(r"<script|<link|url\(|@import", html)


def links(html: str) -> list[str]:
    return re.findall(r'<a href="([^"]*)"', html)


def test_pictures_and_tables_link_to_their_files(tmp_path: Path) -> None:
    html = write(tmp_path, WHOLE, ReportSpec(formats=("pdf", "svg")))
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")}
    assert set(links(html)) == files and len(files) == 6
    assert re.findall(r'<a href="([^"]*)"><img', html) == ["figures/figure_line.pdf", "figures/figure_spec.pdf"]
    assert set(links(write(tmp_path, WHOLE))) == {"tables/table_values.csv", "tables/table_values.md"}
    assert not links(write(tmp_path, {}, ReportSpec(formats=()))), "what was not run has no files"


def test_a_figure_scrolls_in_its_own_box_before_its_letters_are_too_small(tmp_path: Path) -> None:
    """The smallest letters common to figures, 8 points, keep 10 pixels on any screen."""
    html = write(tmp_path, WHOLE)
    boxes = re.findall(r'<div class="wide">.*?<img [^>]*style="min-width: (\d+)px"', html, flags=re.S)
    assert boxes == [str(4 * 90), str(2 * 90)]
    assert ".wide { overflow-x: auto; }" in html


def test_words_are_explained_once_on_every_page(tmp_path: Path) -> None:
    words = re.findall(r"<dfn>(.*?)</dfn>", write(tmp_path, {}))
    assert len(words) == len(set(words))
    for word in ("Distribution", "Mapping", "Hard example", "Epoch 0", "block", "Reducer", "F1", "ARI", "AMI"):
        assert word in words
    assert "Null baseline" in words and "control task" in words


def test_a_table_is_shown_to_people_and_given_in_full_to_programs(tmp_path: Path) -> None:
    html = write(tmp_path, WHOLE)
    assert '<td class="number">0.500 ± 0.354</td>' in html and '<td class="number">0.333</td>' in html
    assert '<td class="absent">not run</td>' in html
    assert "| mean | 0.500 ± 0.354 |" in (tmp_path / "tables" / "table_values.md").read_text()
    assert (tmp_path / "tables" / "table_values.csv").read_text().splitlines() == [
        'name,value,"value, standard deviation"',
        f"mean,0.5,{Spread((0.25, 0.75)).deviation}",
        "missing,,",
        f"third,{1 / 3},",
    ]


def test_what_was_not_run_is_named_in_its_place_and_older_files_go(tmp_path: Path) -> None:
    write(tmp_path, WHOLE, ReportSpec(formats=("png", "svg")))
    html = write(tmp_path, {}, ReportSpec(formats=("png",)))
    assert "Not run: there are no values." in html and "Not run: nothing was measured." in html
    assert "Look at its slope." in html, "the caption says what would be there"
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["figure_spec.png"]
    assert not list((tmp_path / "tables").iterdir())


def test_the_first_screen_has_the_question_the_summary_and_the_leading_figure(tmp_path: Path) -> None:
    html = write(tmp_path, WHOLE, summary=["It was run.", "It came out."], lead="figure_line", facts=[("Run", "a")])
    parts = ("<h1>Is it so?</h1>", "<em>Yes.</em>", "<li>It was run.</li><li>It came out.</li>", "Figure 3: a line")
    places = [html.index(part) for part in (*parts, "<h2>The run</h2>", "<h2>Figures</h2>")]
    assert places == sorted(places)
    assert html.count("<h3>Figure 3: a line</h3>") == 1
    assert "what was asked for (ours)" in html[places[-1] :]


def test_a_page_without_a_summary_or_a_lead_has_none(tmp_path: Path) -> None:
    html = write(tmp_path, WHOLE)
    assert 'class="summary"' not in html and "<h2>The paper's claims</h2>" not in html
    assert html.index("Figure 3: a line") > html.index("<h2>Figures</h2>")


def test_facts_link_to_a_page_of_their_own(tmp_path: Path) -> None:
    html = write(tmp_path, WHOLE, facts=[("a", "words", "a/report.html"), ("b", "others", "")], several="run")
    assert '<dt><a href="a/report.html">a</a></dt><dd>words</dd>' in html
    assert "<dt>b</dt><dd>others</dd>" in html and "<h2>The runs</h2>" in html


def judged(paper: str, verdict: str, ours: bool = False, **of) -> Judgement:
    claim = Claim(paper, "ours" if ours else "3.2", "Above .5.", lambda subject: Finding(True, ()), ours=ours)
    return Judgement(claim, verdict, ("0.70.",), **of)


def test_questions_of_our_own_are_apart_from_the_paper_s_claims(tmp_path: Path) -> None:
    judgements = [judged("Ours?", NOT_SEEN, ours=True), judged("Theirs.", SAME)]
    html = write(tmp_path, WHOLE, judgements=judgements)
    theirs, own = html.split("<h3>Questions that the paper does not ask</h3>")
    assert "Theirs." in theirs and "Ours?" not in theirs
    assert "Ours?" in own and "Theirs." not in own
    assert '<span class="verdict same">✓ same direction</span>' in theirs and "Rule: Above .5." in theirs
    assert '<span class="verdict unseen">✗ not seen</span>' in own
    assert "Questions that the paper does not ask" not in write(tmp_path, WHOLE, judgements=judgements[1:])


def test_a_claim_shows_every_seed_s_verdict(tmp_path: Path) -> None:
    by_seed = {"0": (SAME, ()), "3": (NOT_SEEN, ())}
    html = write(tmp_path, WHOLE, judgements=[judged("Theirs.", MIXED, by_part=by_seed)], several="seed")
    (cell,) = re.findall(r'<span class="verdict mixed">.*?</td>', html, flags=re.S)
    assert re.findall(r"(\d) ([✓✗])", cell) == [("0", "✓"), ("3", "✗")]
    assert "Every seed is judged on its own" in html


def test_a_claim_shows_every_model_s_numbers(tmp_path: Path) -> None:
    by_model = {"llama": (SAME, ("0.95.",)), "gptj": (NOT_SEEN, ("0.30.",))}
    html = write(tmp_path, WHOLE, judgements=[judged("Theirs.", MIXED, by_part=by_model)], several="model")
    assert "<li>✓ <b>llama:</b> 0.95.</li>" in html and "<li>✗ <b>gptj:</b> 0.30.</li>" in html
    assert "<h2>The models</h2>" in html and "Every model is judged on its own" in html


def test_values_are_escaped(tmp_path: Path) -> None:
    nasty = '<script>alert("&")</script>'
    html = write(
        tmp_path,
        WHOLE,
        **{"question": nasty, "summary": [nasty], "facts": [(nasty, nasty)], "details": {nasty: {"name": nasty}}},
    )
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 6


@pytest.mark.parametrize("name", ["cost$5_and_$6", r"$\frac{$", "_a{b", "<&|", "50%"])
def test_a_name_is_drawn_as_it_is(tmp_path: Path, name: str) -> None:
    """Between two $ matplotlib would read a formula, and fail where there is none."""

    @figure("figure_name", name, "Ours.")
    def named(subject: dict) -> Figure:
        drawn, axes = drawing.grid(1, 1, name)
        drawing.legend(drawn, axes[0, 0].plot([0, 1], label=name))
        return drawn

    assert publish(Page("T", "Q", ""), WHOLE, (named,), (), tmp_path, ReportSpec(formats=("svg",))).exists()
    svg = (tmp_path / "figures" / "figure_name.svg").read_text()
    assert svg.count(f"<!-- {escape(name)} -->") == 2, "matplotlib writes every text that it draws beside its outlines"


def test_configuration_and_environment_can_be_opened(tmp_path: Path) -> None:
    html = write(tmp_path, WHOLE, details={"Configuration": {"b": 1, "a": [2]}})
    (text,) = re.findall(r"<details><summary>Configuration</summary><pre>(.*?)</pre>", html, flags=re.S)
    assert json.loads(text.replace("&#34;", '"')) == {"a": [2], "b": 1}


def test_writing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}

    spec = ReportSpec(formats=("png", "pdf", "svg"))
    write(tmp_path, WHOLE, spec)
    first = files()
    assert {"figure_line.svg", "figure_spec.pdf", "table_values.md", "report.html"} <= first.keys()
    write(tmp_path, WHOLE, spec)
    assert files() == first


def full_disk(plain: Callable[..., int]) -> Callable[..., int]:
    def write_text(path: Path, text: str, **options) -> int:
        plain(path, text[:100], **options)
        raise OSError("No space left on device")

    return write_text


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = write(tmp_path, WHOLE)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(Path, "write_text", full_disk(Path.write_text))
        write(tmp_path, {})
    assert (tmp_path / "report.html").read_text() == before
    assert write(tmp_path, {}) != before, "the two pages differ, so the old one was really kept"
