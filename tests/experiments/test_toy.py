"""A new experiment is one folder with three modules and one page in configs/; nothing else names it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from clusterlm_jax import experiments
from tests.command_line import ROOT, environment

FILES = {
    "toy/__init__.py": "",
    "toy/settings.py": """
import dataclasses

from clusterlm_jax.settings import Settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Toy(Settings):
    experiment: str = "toy"
    stages: tuple[str, ...] = ("count", "report")
    limit: int = 3


SETTINGS = Toy
""",
    "toy/stages.py": """
from clusterlm_jax.experiments.stages import Stage, report


def count(config, work):
    work.dir.write_json("numbers.json", list(range(config.limit)))


STAGES = {"count": Stage(count), "report": report("count")}
""",
    "toy/page.py": """
def write(workdir, spec):
    page = workdir / "report.html"
    page.write_text((workdir / "numbers.json").read_text())
    return page


def compare(workdirs, into, spec):
    page = into / "report.html"
    page.write_text(" ".join(name for name, path in workdirs.items() if (path / "report.html").exists()))
    return page
""",
    "page.py": """
from clusterlm_jax import config as configuration


def get_config(argument=""):
    return configuration.default("toy")
""",
}
# What the program does, with one more folder where experiments are looked for.
PROGRAM = """
import sys
from clusterlm_jax import experiments, main

experiments.__path__.append(sys.argv.pop(1))
sys.exit(main.main(sys.argv))
"""


def run_toy(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, str(folder), f"--config={folder}/page.py", *flags]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_a_folder_and_a_page_are_a_new_experiment(tmp_path):
    """Its keys, its stages, its page and its grid; breaks if any list of experiments is written out somewhere."""
    folder, one, many = tmp_path / "experiments", tmp_path / "one", tmp_path / "many"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    result = run_toy(folder, f"--workdir={one}", "--config.limit=2")
    assert result.returncode == 0, result.stderr
    assert json.loads((one / "config.json").read_text())["limit"] == 2
    assert json.loads((one / "report.html").read_text()) == [0, 1]
    assert files(one) == {".lock", "config.json", "numbers.json", "report.html", "timings.jsonl"}

    result = run_toy(folder, f"--workdir={many}", "--config.grid=({'limit': [1, 2]},)")
    assert result.returncode == 0, result.stderr
    assert (many / "report.html").read_text() == "limit=1 limit=2"
    assert "toy" not in experiments.names()

    refused = run_toy(folder, f"--workdir={tmp_path}/none", "--config.limt=2")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "did you mean limit?" in refused.stderr
