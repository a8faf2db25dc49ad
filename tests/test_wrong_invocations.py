"""300 command lines that are wrong: each is refused in one sentence that names what is wrong, and changes no file."""

from __future__ import annotations

import collections
import itertools
import random
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from clusterlm_jax import config, experiments, main
from clusterlm_jax.experiments import stages
from clusterlm_jax.workdir import WorkDir

CONFIGS = Path(__file__).parents[1] / "configs"
PAGES = {
    "emergence": CONFIGS / "synthetic.py",
    "pretraining": CONFIGS / "pretraining.py",
    "alignment": CONFIGS / "alignment.py",
    "probing": CONFIGS / "probing.py",
}
COUNT = 300
FOREIGN = "work directory of another configuration"
HUGE = "1" + "0" * 23


class Wrong(NamedTuple):
    """A command line, and a word that its sentence must have; `kind` says why it is known to be wrong."""

    kind: str
    flags: tuple[str, ...]
    word: str


# Why a value is wrong follows from the declared type of its key alone: a number here is a size, a share or a rate, so
# none is negative, endless or of 23 digits; a word names something that exists; a tuple holds what its type says.
VALUES: dict[type, dict[str, tuple[str, ...]]] = {
    int: {"type": ("1.5", "many", "", "True", "(3,)"), "range": ("-1",), "size": (HUGE, f"-{HUGE}", "4294967296")},
    float: {
        "type": ("fast", "", "(0.1,)"),
        "range": ("-1.0", "-1e-9"),
        "size": ("inf", "-inf", "nan", "1e300", "1e-320"),
    },
    bool: {"type": ("maybe", "3", "")},
    str: {"name": ("/no/such/place",)},
}
MEMBERS = {int: ("'a'", "-1", HUGE, "1.5", "None", "True"), str: ("'nonsense'", "3", "None", "''")}
MAY_BE_EMPTY = {"report.formats", "report.scatter_epochs"}

# What each key allows by itself, but not together.
IMPOSSIBLE = {
    "emergence": (
        ("longest_instruction", "data.longest_instruction=63"),
        ("longest_instruction", "data.shortest_instruction=63"),
        ("positions", "model.positions=32"),
        ("heads", "model.heads=7"),
        ("heads", "model.hidden_dim=769"),
        ("weights", "model.hidden_dim=100000", "model.layers=6"),
        ("layers", "model.layers=1000000"),
        ("dropout", "model.dropout=0.999999"),
        ("dropout", "model.dropout=1.0"),
        ("initial_scale", "model.initial_scale=0.0"),
        ("learning_rate", "train.learning_rate=0.0"),
        ("epochs", "eval.every=9", "train.epochs=8"),
        ("batch_size", "train.batch_size=15001"),
        ("neighbours", "eval.neighbours=100000"),
        ("tsne_perplexity", "eval.tsne_perplexity=901.0"),
        ("tsne_components", "eval.tsne_components=9", "model.hidden_dim=8"),
        ("validation_tasks", "data.validation_tasks=46"),
        ("validation_tasks", "data.validation_tasks=0", "data.validation_distributions=0"),
        ("hard_tasks", "data.hard_tasks=26"),
        ("hard_instructions_per_distribution", "data.hard_instructions_per_distribution=8"),
        ("validation_instructions_per_distribution", "data.validation_instructions_per_distribution=10"),
        ("mappings_per_task", "data.mappings_per_task=26"),
        ("task_vocabulary_size", "data.number_of_tasks=126", "data.number_of_distributions=300"),
        ("shared_mappings", "data.shared_mappings=5"),
        ("min_distributions_per_task", "data.min_distributions_per_task=7"),
        ("min_characters", "data.min_characters=11"),
        ("min_metacharacters", "data.min_metacharacters=4"),
        ("max_characters", "data.max_characters=36"),
        ("instruction_vocabulary_size", "data.instruction_vocabulary_size=1000"),
        ("number_of_distributions", "data.number_of_distributions=301"),
        ("validation_distributions", "data.validation_distributions=61"),
        ("hard_distributions", "data.hard_distributions=0"),
        ("source_target_pairs", "data.source_target_pairs=3"),
        ("stages", "stages=('train',)", "report.formats=()"),
        ("grid", "grid=({'model.hiden_dim': [8]},)"),
        ("grid", "grid=({'stages': [('data',)]},)"),
        ("grid", "grid=({'train.epochs': [0]},)"),
        ("grid", "grid=({'train.epochs': [3, 3]},)"),
        ("grid", "grid=({'train.epochs': [3]}, {'train.epochs': [4]})"),
    ),
    "pretraining": (
        ("pretrain.batch_size", "pretrain.batch_size=3001"),
        ("train.batch_size", "train.batch_size=15001"),
        ("pretrain.loss", "pretrain.loss=output"),
        ("pretrain.epochs", "eval.every=201"),
        ("jobs", "eval.jobs=('knn',)"),
        ("labels", "eval.labels=('mapping',)"),
    ),
    "alignment": (
        ("finetune.batch_size", "finetune.batch_size=901"),
        ("source_target_pairs", "data.source_target_pairs=10"),
        ("source_target_pairs", "data.hard_tasks=1"),
        ("switch.layer", "switch.layer=7"),
        ("model.tied", "model.tied=False"),
        ("switch.examples", "switch.examples=(1, 1)"),
    ),
    "probing": (
        ("seeds", "seeds=(0, 1)"),
        ("jobs", "eval.jobs=('knn',)"),
        ("labels", "eval.labels=('task', 'task')"),
        ("tsne_perplexity", "eval.tsne_perplexity=8800.0"),
        ("wordings", "data.wordings_per_task=99999"),
        ("checkpoint", "checkpoint="),
    ),
}


def types_of(experiment: str) -> Iterator[tuple[str, type, type | None]]:
    """Every declared key of an experiment with its type, and with the type of the members if it is a tuple."""
    kind = experiments.part(experiment, "settings").SETTINGS
    sections = {name: spec for name, spec in typing.get_type_hints(kind).items() if hasattr(spec, "__post_init__")}
    for key in config.every_key(experiment):
        section, _, name = key.rpartition(".")
        if key == "grid":
            continue
        hint = typing.get_type_hints(sections[section] if section else kind)[name]
        hint = typing.get_args(hint)[0] if isinstance(hint, types.UnionType) else hint
        members = typing.get_args(hint)
        yield key, typing.get_origin(hint) or hint, members[0] if members else None


def wrong_values(experiment: str) -> Iterator[Wrong]:
    for key, kind, member in types_of(experiment):
        name = key.rpartition(".")[2]
        if kind is tuple:
            # A number alone is taken for a tuple with this number.
            given = {"type": ("word", "(", "1.5"), "member": tuple(f"({value},)" for value in MEMBERS[member])}
            given |= {} if key in MAY_BE_EMPTY else {"empty": ("()",)}
        else:
            given = VALUES[kind]
        for why, values in given.items():
            for value in values:
                yield Wrong(f"{why} of a {kind.__name__}", (f"--config.{key}={value}",), value if kind is str else name)


def misspelt(experiment: str, rng: random.Random) -> Iterator[Wrong]:
    """A letter more, a letter less, two letters swapped: no such key is declared."""
    keys = config.every_key(experiment)
    for key in keys:
        at = rng.randrange(key.rfind(".") + 1, len(key))
        for wrong in (key + "s", key[:at] + key[at + 1 :], key[:at] + key[at : at + 2][::-1] + key[at + 2 :]):
            if wrong not in {*keys, *(each.partition(".")[0] for each in keys)}:
                yield Wrong("misspelt key", (f"--config.{wrong}=3",), wrong)


def impossible(experiment: str) -> Iterator[Wrong]:
    for word, *settings in IMPOSSIBLE[experiment]:
        yield Wrong("impossible together", tuple(f"--config.{setting}" for setting in settings), word)


def foreign_files(folder: Path) -> Iterator[Wrong]:
    """Configurations and work directories that are none."""
    texts = {"syntax": "def get_config(:", "nothing": "", "raises": "def get_config(form=''): return 1 / 0"}
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
        yield Wrong("wrong file", (f"--config={folder}/{name}.py",), name)
    for given in ("configs/none.py", str(folder), f"{PAGES['emergence']}:slow"):
        yield Wrong("wrong file", (f"--config={given}",), given.rpartition(":")[2])
    for word in ("epochs=3", "train"):
        yield Wrong("no flag", (word,), word)
    yield Wrong("unknown flag", ("--epochs=3",), "epochs")
    (folder / "file").write_text("in the way")
    for given in (folder / "file", folder / "file" / "run"):
        yield Wrong("wrong work directory", (f"--workdir={given}",), str(given))
    results = folder / "results"
    results.mkdir()
    (results / "metrics.jsonl").write_text("")
    yield Wrong("wrong work directory", (f"--workdir={results}",), "config.json")
    for number, text in enumerate((b"", b"[]", b"{", b"\xff", b'{"model": 3}', b'{"experiment": "other"}')):
        damaged = folder / f"damaged{number}"
        damaged.mkdir()
        (damaged / "config.json").write_bytes(text)
        (damaged / "metrics.jsonl").write_text("")
        kind = FOREIGN if b"other" in text else "damaged file"
        yield Wrong(kind, (f"--workdir={damaged}",), str(damaged))


@pytest.fixture
def invoke(monkeypatch, capsys) -> Callable[..., tuple[int, str]]:
    """Runs the program in this process: exit code and standard error. What is not refused fails the test at once."""

    def accepted(*_) -> None:
        raise AssertionError("the command line was accepted")

    monkeypatch.setattr(stages, "Work", accepted)

    def run(*argv: str) -> tuple[int, str]:
        return main.main(["main", *argv]), capsys.readouterr().err

    return run


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file and directory there, except locks, which have no content."""
    paths = (path for path in folder.rglob("*") if path.name != ".lock")
    return {str(path): path.read_bytes() if path.is_file() else None for path in paths}


def work_directories(folder: Path) -> tuple[Path, ...]:
    """One that does not exist, an empty one, one with foreign files, and one with results of another configuration."""
    absent, empty, foreign, other = (folder / name for name in ("runs/absent", "empty", "foreign", "other"))
    for path in (empty, foreign / "dataset", other):
        path.mkdir(parents=True)
    (foreign / "dataset" / "notes.txt").write_text("not of a run")
    (other / "metrics.jsonl").write_text('{"run": "main", "seed": 0, "epoch": 0, "step": 0}\n')
    WorkDir(other).write_json("config.json", {"experiment": "another"})
    return absent, empty, foreign, other


def command_lines(folder: Path) -> list[Wrong]:
    """Everything handwritten, and of what follows from the declarations as many as are missing."""
    rng = random.Random(0)
    (folder / "files").mkdir()
    by_hand, drawn = list(foreign_files(folder / "files")), []
    for experiment, page in PAGES.items():
        of = [*wrong_values(experiment), *misspelt(experiment, rng)]
        drawn += [wrong._replace(flags=(f"--config={page}", *wrong.flags)) for wrong in of]
        by_hand += [w._replace(flags=(f"--config={page}", *w.flags)) for w in impossible(experiment)]
    given = [*by_hand, *rng.sample(drawn, COUNT - len(by_hand))]
    return [
        w if w.flags[0].startswith("--config=") else w._replace(flags=(f"--config={PAGES['emergence']}", *w.flags))
        for w in given
    ]


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # of ml_collections
def test_a_wrong_command_line_is_refused_in_one_sentence_and_changes_no_file(tmp_path, invoke, capsys):
    """Breaks if any value that cannot work is let through, or any refusal leaves something behind."""
    places = itertools.cycle(work_directories(tmp_path))
    given = command_lines(tmp_path)
    before = contents(tmp_path)
    failed, kinds = [], collections.Counter()
    for wrong in given:
        where = () if any(flag.startswith("--workdir") for flag in wrong.flags) else (f"--workdir={next(places)}",)
        try:
            code, sentence = invoke(*wrong.flags, *where)
        except Exception as error:
            code, sentence = 1, f"{type(error).__name__}: {error}"
        fine = code == 2 and sentence.startswith("clusterlm_jax: ") and sentence.count("\n") == 1
        # The directory is asked last: a sentence about it would hide what was let through.
        asked = "belongs to another configuration" in sentence
        if not fine or asked != (wrong.kind == FOREIGN) or wrong.word not in sentence or contents(tmp_path) != before:
            failed.append((wrong, code, sentence))
            before = contents(tmp_path)
        kinds[wrong.kind] += 1
    with capsys.disabled():
        print(f"\n{len(given)} wrong command lines: {', '.join(f'{n} {kind}' for kind, n in kinds.most_common())}")
    assert len(given) == len(set(given)) == COUNT
    assert not failed, "\n".join(f"{' '.join(wrong.flags)} -> {code}: {sentence}" for wrong, code, sentence in failed)
