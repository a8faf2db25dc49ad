"""ConfigDict -> frozen, checked specs, one or a grid of them. Each room declares its own; this file only builds them.

Alone with `main`, it knows ml_collections.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import itertools
import re
import runpy
import types
import typing
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import config_dict

from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.records import UserError
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.training.spec import TrainSpec

SECTIONS = {"data": DataSpec, "model": GPT2Spec, "train": TrainSpec, "eval": AnalysisSpec, "report": ReportSpec}
EXPERIMENTS = ("emergence",)
STAGES = ("data", "train", "analyse", "report")
NO_AXIS = ("grid", "experiment", "stages")  # what all points of a grid share

Settings = dict[str, str]  # key in full -> value as written


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole run, checked: which experiment, on what data, with which model, how trained and analysed."""

    experiment: str
    stages: tuple[str, ...]
    seeds: tuple[int, ...]
    data: DataSpec
    model: GPT2Spec
    train: TrainSpec
    eval: AnalysisSpec
    report: ReportSpec

    def __post_init__(self) -> None:
        if self.experiment not in EXPERIMENTS:
            raise UserError(f"config.experiment is {self.experiment!r}; allowed: {', '.join(EXPERIMENTS)}.")
        if not self.stages or not set(self.stages) <= set(STAGES):
            raise UserError(f"config.stages is {self.stages!r}; allowed is one or more of {', '.join(STAGES)}.")
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"config.seeds is {self.seeds!r}; it must hold one seed or more, each once and at least 0.")
        if self.data.longest_instruction + 2 > self.model.positions:
            raise UserError(
                f"data.longest_instruction is {self.data.longest_instruction}: with input and output it needs "
                f"{self.data.longest_instruction + 2} positions, but model.positions is {self.model.positions}."
            )
        for key in ("validation_tasks", "validation_instructions_per_distribution"):
            if not getattr(self.data, key):
                raise UserError(f"data.{key} is 0; the best epoch is chosen by validation accuracy, so at least 1.")
        if self.train.batch_size > self.data.most_instances:
            raise UserError(
                f"train.batch_size is {self.train.batch_size}, "
                f"but there are at most {self.data.most_instances} instances."
            )
        if self.eval.every > self.train.epochs:
            raise UserError(f"eval.every is {self.eval.every}, above train.epochs = {self.train.epochs}.")

    def as_dict(self) -> dict[str, Any]:
        """As it goes into `config.json`."""
        return dataclasses.asdict(self)


def default(experiment: str) -> config_dict.ConfigDict:
    """Every key of a configuration, at its default: the paper's main experiment."""
    sections = {
        name: {field.name: _declared(field, spec) for field in dataclasses.fields(spec)}
        for name, spec in SECTIONS.items()
    }
    return config_dict.ConfigDict({"experiment": experiment, "stages": STAGES, "seeds": (0,), "grid": (), **sections})


def from_file(path: Path, argument: str = "") -> config_dict.ConfigDict:
    """What another configuration file gives, to build upon; `argument` is what would follow the colon."""
    return runpy.run_path(str(path))["get_config"](argument)


def build(config: config_dict.ConfigDict) -> Config:
    """The checked form of a configuration, whatever its grid.

    Raises:
      UserError: naming the key, what was given, and what is allowed.
    """
    given = config.to_dict()
    given.pop("grid", None)
    sections = {name: _section(name, spec, given.pop(name, {})) for name, spec in SECTIONS.items()}
    names = [field.name for field in dataclasses.fields(Config) if field.name not in SECTIONS]
    _refuse_unknown("config", given, names)
    return Config(**{name: _checked(f"config.{name}", Config, name, given[name]) for name in names}, **sections)


def points(config: config_dict.ConfigDict) -> dict[str, Config]:
    """The checked configurations of a grid: the product of its axes, by name.

    An axis is a string, `point|point|...`; a point is `key=value`, or several of them joined by `&`. The first key of
    later points may be left out: `model.hidden_dim=32&train.epochs=500|256|768`. A point is named after its settings:
    `hidden_dim=32,epochs=500`.

    Raises:
      UserError: naming the axis or the point, what was given, and what is allowed.
    """
    if not all(isinstance(text, str) for text in config.grid):
        raise UserError(f"config.grid is {config.grid!r}; it must hold one string for each axis.")
    parsed = [_axis(text) for text in config.grid]
    keys = [{key for point in axis for key in point} for axis in parsed]
    for key, times in Counter(itertools.chain(*keys)).items():
        if times > 1:
            raise UserError(f"{key} is on {times} axes of config.grid; it may be on one.")
    short = Counter(key.split(".")[-1] for key in set().union(*keys))
    found: dict[str, Config] = {}
    for combination in itertools.product(*parsed):
        settings = {key: value for point in combination for key, value in point.items()}
        name = ",".join(_named(key, value, short) for key, value in settings.items())
        built = _point(config, name, settings)
        if name in found or built in found.values():
            raise UserError(f"config.grid has the point {name} twice.")
        found[name] = built
    return found


def shared(config: config_dict.ConfigDict) -> dict[str, Any]:
    """What goes into `config.json` of a grid: its common settings, and of its axes the names. They may get more points.

    Only after `points` has found no fault.
    """
    return config.to_dict() | {"grid": [next(iter(_axis(text)[0])) for text in config.grid]}


def forms(argument: str, allowed: tuple[str, ...]) -> frozenset[str]:
    """What follows the colon of `--config=configs/x.py:a,b`.

    Raises:
      UserError: naming the forms the file has.
    """
    given = frozenset(argument.split(",")) if argument else frozenset()
    for form in given - set(allowed):
        raise UserError(f"There is no form {form!r} of this configuration; allowed: {', '.join(allowed)}.")
    return given


def nearest(key: str, allowed: list[str]) -> str:
    """A hint for a misspelt key."""
    close = difflib.get_close_matches(key, allowed, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"allowed: {', '.join(sorted(allowed))}."


def every_key() -> list[str]:
    """Every key there is, in full."""
    return ["experiment", "stages", "seeds", "grid"] + [
        f"{section}.{field.name}" for section, spec in SECTIONS.items() for field in dataclasses.fields(spec)
    ]


def _declared(field: dataclasses.Field, spec: type) -> Any:
    """A default with its type: ml_collections takes anything for a bare None."""
    if field.default is None:
        return config_dict.placeholder(_types(spec, field.name)[0])
    return field.default


def _section(section: str, spec: type, given: dict[str, Any]) -> Any:
    names = [field.name for field in dataclasses.fields(spec)]
    _refuse_unknown(section, given, names)
    return spec(**{name: _checked(f"{section}.{name}", spec, name, value) for name, value in given.items()})


def _refuse_unknown(where: str, given: dict[str, Any], allowed: list[str]) -> None:
    for key in given.keys() - set(allowed):
        raise UserError(f"There is no {where}.{key}: {nearest(key, allowed)}")


def _checked(key: str, spec: type, name: str, value: Any) -> Any:
    """A value of the declared type; whole numbers pass for floats and lists for tuples."""
    allowed = _types(spec, name)
    if float in allowed and type(value) is int:
        return float(value)
    origins = [typing.get_origin(kind) or kind for kind in allowed]
    if tuple in origins and isinstance(value, list | tuple):
        (inner,) = {arg for kind in allowed for arg in typing.get_args(kind) if arg is not ...}
        if all(type(item) is inner for item in value):
            return tuple(value)
    elif type(value) in origins:
        return value
    expected = " or ".join(
        "unset" if kind is types.NoneType else str(getattr(kind, "__name__", kind)) for kind in origins
    )
    raise UserError(f"{key} is {value!r}, a {type(value).__name__}; it must be a {expected}.")


def _types(spec: type, name: str) -> tuple[type, ...]:
    hint = typing.get_type_hints(spec)[name]
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


def _axis(text: str) -> list[Settings]:
    """`a.b=1&c.d=2|3` -> the settings of each point."""
    axis: list[Settings] = []
    for point in text.split("|"):
        settings: Settings = {}
        for setting in point.split("&"):
            key, equals, value = setting.rpartition("=")
            if not equals and axis and not settings:  # left out: the axis's first key
                key = next(iter(axis[0]))
            key, value = key.strip(), value.strip()
            if not key or not value or key in settings:
                raise UserError(
                    f"The axis {text!r} of config.grid has {setting!r}; allowed is KEY=VALUE, each key once."
                )
            if key not in every_key() or key in NO_AXIS:
                raise UserError(
                    f"The axis {text!r} of config.grid sets {key}, "
                    + ("which all points share." if key in NO_AXIS else f"which is no key: {nearest(key, every_key())}")
                )
            settings[key] = value
        axis.append(settings)
    return axis


def _named(key: str, value: str, short: Mapping[str, int]) -> str:
    """`hidden_dim=32`, the key in full where another ends alike; fit for the name of a directory."""
    last = key.split(".")[-1]
    return f"{last if short[last] == 1 else key}=" + re.sub(r"[^\w.+-]+", "_", value).strip("_")


def _point(config: config_dict.ConfigDict, name: str, settings: Settings) -> Config:
    given = config.to_dict()
    for key, text in settings.items():
        section, _, last = key.rpartition(".")
        (given[section] if section else given)[last] = _literal(text)
    try:
        return build(config_dict.ConfigDict(given))
    except UserError as error:
        raise UserError(f"The point {name} of config.grid: {error}") from error


def _literal(text: str) -> Any:
    """A value as the command line reads it: a Python literal where it is one, else text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
