"""ConfigDict -> frozen, checked specs. Each room declares its own spec; this file only builds them.

Alone with `main`, it knows ml_collections.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
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
        if len(self.seeds) != 1 or self.seeds[0] < 0:
            raise UserError(f"config.seeds is {self.seeds!r}; it must hold one seed, at least 0.")
        if self.data.longest_instruction + 2 > self.model.positions:
            raise UserError(
                f"data.longest_instruction is {self.data.longest_instruction}: with input and output it needs "
                f"{self.data.longest_instruction + 2} positions, but model.positions is {self.model.positions}."
            )
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
    return config_dict.ConfigDict({"experiment": experiment, "stages": STAGES, "seeds": (0,), **sections})


def build(config: config_dict.ConfigDict) -> Config:
    """The checked form of a configuration.

    Raises:
      UserError: naming the key, what was given, and what is allowed.
    """
    given = config.to_dict()
    sections = {name: _section(name, spec, given.pop(name, {})) for name, spec in SECTIONS.items()}
    names = [field.name for field in dataclasses.fields(Config) if field.name not in SECTIONS]
    _refuse_unknown("config", given, names)
    return Config(**{name: _checked(f"config.{name}", Config, name, given[name]) for name in names}, **sections)


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
    return ["experiment", "stages", "seeds"] + [
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
