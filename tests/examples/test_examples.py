"""The examples run, and say what they should; so do the lines in README.md."""

from __future__ import annotations

import json
import re
import runpy

from tests.command_line import ROOT

EXAMPLES = ROOT / "examples"


def test_own_states(capsys):
    """The planted layer is found: clusters by task above their null, across wordings too."""
    runpy.run_path(str(EXAMPLES / "own_states.py"), run_name="__main__")
    header, *lines = capsys.readouterr().out.splitlines()
    values = [[float(number) for number in re.findall(r"\d\.\d\d", line)] for line in lines]
    assert header.startswith("layer") and len(values) == 3
    f1, null, across, chance, probe = values[-1]
    assert min(f1, across, probe) > 0.95 and max(null, chance) < 0.7
    assert max(values[0][0], values[0][2]) < 0.5


def test_own_flax_model(capsys):
    """The last token explains all of the embedding; the task more and more of what the blocks make of it."""
    runpy.run_path(str(EXAMPLES / "own_flax_model.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    share = {
        (name, label): float(value)
        for name, value, label in (
            re.fullmatch(r"(\w+): (\S+) of the variance by (.+)", line).groups() for line in lines
        )
    }
    assert share["embed", "last token"] == 1
    assert share["block_2", "task"] > share["block_0", "task"] > share["embed", "task"]
    assert {name for name, _ in share} == {"embed", "block_0", "block_1", "block_2"}


def test_the_lines_in_the_readme(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(block.splitlines()) <= 12
    names: dict = {}
    exec(block, names)
    assert "layer" in capsys.readouterr().out
    assert {row.layer for row in names["rows"]} == {"0", "1", "2"}


def test_every_example_is_tested():
    tested = {"own_states.py", "own_flax_model.py", "pytorch_hidden_states.py", "from_run_to_figure.ipynb"}
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == tested
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    assert all(name.partition(".")[0] in sources for name in tested)


def test_the_notebook_is_one():
    """What Jupyter asks of version 4; its cells are run on a trained run in `experiments/emergence/test_stages.py`."""
    notebook = json.loads((EXAMPLES / "from_run_to_figure.ipynb").read_text())
    assert notebook["nbformat"] == 4 and notebook["metadata"]["kernelspec"]["language"] == "python"
    cells = notebook["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells) > 2
    assert {cell["cell_type"] for cell in cells} == {"code", "markdown"}
    for cell in cells:
        assert ("outputs" in cell) == (cell["cell_type"] == "code")
        if cell["cell_type"] == "code":
            compile("".join(cell["source"]), cell["id"], "exec")
            assert all(output["output_type"] != "error" for output in cell["outputs"])
