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
from typing import Any, NamedTuple

from ml_collections import config_dict

from clusterlm_jax.records import UserError
from clusterlm_jax.settings import EXPERIMENTS, Settings

NO_AXIS = ("grid", "experiment", "stages")  # what all points of a grid share

POINT_NAME = re.compile(r"\s*(\w[\w.+-]*):(?=[^&]*=)")  # `run_01:` before the first setting of a point


class AxisPoint(NamedTuple):
    """A point of an axis: what it sets, key in full -> value as written, and its name, empty where none is given."""

    settings: dict[str, str]
    name: str


def default(experiment: str) -> config_dict.ConfigDict:
    """Every key of an experiment's configuration, at its default: the paper's.

    Raises:
      UserError: naming the experiments there are.
    """
    kind = _kind(experiment)
    declared = {field.name: _declared(kind, field.name, field.default) for field in dataclasses.fields(kind)}
    for name, spec in _sections(kind).items():
        section = declared[name]
        declared[name] = {
            field.name: _declared(spec, field.name, getattr(section, field.name)) for field in dataclasses.fields(spec)
        }
    return config_dict.ConfigDict(declared | {"grid": ()})


def from_file(path: Path, argument: str = "") -> config_dict.ConfigDict:
    """What another configuration file gives, to build upon; `argument` is what would follow the colon."""
    return runpy.run_path(str(path))["get_config"](argument)


def build(config: config_dict.ConfigDict) -> Settings:
    """The checked form of a configuration, whatever its grid.

    Raises:
      UserError: naming the key, what was given, and what is allowed.
    """
    given = config.to_dict()
    given.pop("grid", None)
    kind = _kind(given.get("experiment", ""))
    sections = {name: _section(name, spec, given.pop(name, {})) for name, spec in _sections(kind).items()}
    names = [field.name for field in dataclasses.fields(kind) if field.name not in sections]
    _refuse_unknown("config", given, names)
    return kind(**{name: _checked(f"config.{name}", kind, name, value) for name, value in given.items()}, **sections)


def points(config: config_dict.ConfigDict) -> dict[str, Settings]:
    """The checked configurations of a grid: the product of its axes, by name.

    An axis is a string, `point|point|...`; a point is `key=value`, or several of them joined by `&`. The first key of
    later points may be left out: `model.hidden_dim=32&train.epochs=500|256|768`. A point is named after its settings:
    `hidden_dim=32,epochs=500`. Where they are many, it may begin with a name of its own: `run_01: a.b=1&c.d=2&...`.

    Raises:
      UserError: naming the axis or the point, what was given, and what is allowed.
    """
    if not all(isinstance(text, str) for text in config.grid):
        raise UserError(f"config.grid is {config.grid!r}; it must hold one string for each axis.")
    allowed = every_key(config.experiment)
    parsed = [_axis(text, allowed) for text in config.grid]
    keys = [{key for point in axis for key in point.settings} for axis in parsed]
    for key, times in Counter(itertools.chain(*keys)).items():
        if times > 1:
            raise UserError(f"{key} is on {times} axes of config.grid; it may be on one.")
    short = Counter(key.split(".")[-1] for key in set().union(*keys))
    found: dict[str, Settings] = {}
    for combination in itertools.product(*parsed):
        settings = {key: value for point in combination for key, value in point.settings.items()}
        name = ",".join(
            point.name or ",".join(_named(key, value, short) for key, value in point.settings.items())
            for point in combination
        )
        built = _point(config, name, settings)
        if name in found or built in found.values():
            raise UserError(f"config.grid has the point {name} twice.")
        found[name] = built
    return found


def shared(config: config_dict.ConfigDict) -> dict[str, Any]:
    """What goes into `config.json` of a grid: its common settings, and of its axes the names. They may get more points.

    Only after `points` has found no fault.
    """
    allowed = every_key(config.experiment)
    return config.to_dict() | {"grid": [next(iter(_axis(text, allowed)[0].settings)) for text in config.grid]}


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


def every_key(experiment: str) -> list[str]:
    """Every key of an experiment's configuration, in full."""
    kind = _kind(experiment)
    sections = _sections(kind)
    return [
        "grid",
        *(field.name for field in dataclasses.fields(kind) if field.name not in sections),
        *(f"{section}.{field.name}" for section, spec in sections.items() for field in dataclasses.fields(spec)),
    ]


def _kind(experiment: str) -> type[Settings]:
    if experiment not in EXPERIMENTS:
        raise UserError(f"config.experiment is {experiment!r}; allowed: {', '.join(EXPERIMENTS)}.")
    return EXPERIMENTS[experiment]


def _sections(kind: type[Settings]) -> dict[str, type]:
    """The sections of an experiment's configuration, each with its spec."""
    return {name: spec for name, spec in typing.get_type_hints(kind).items() if dataclasses.is_dataclass(spec)}


def _declared(spec: type, name: str, value: Any) -> Any:
    """A default with its type: ml_collections takes anything for a bare None."""
    return config_dict.placeholder(_types(spec, name)[0]) if value is None else value


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


def _axis(text: str, allowed: list[str]) -> list[AxisPoint]:
    """`a.b=1&c.d=2|3` -> its points."""
    axis: list[AxisPoint] = []
    for point in text.split("|"):
        settings: dict[str, str] = {}
        name = POINT_NAME.match(point)
        for setting in point[name.end() if name else 0 :].split("&"):
            key, equals, value = setting.rpartition("=")
            if not equals and axis and not settings:  # left out: the axis's first key
                key = next(iter(axis[0].settings))
            key, value = key.strip(), value.strip()
            if not key or not value or key in settings:
                raise UserError(
                    f"The axis {text!r} of config.grid has {setting!r}; allowed is KEY=VALUE, each key once."
                )
            if key not in allowed or key in NO_AXIS:
                raise UserError(
                    f"The axis {text!r} of config.grid sets {key}, "
                    + ("which all points share." if key in NO_AXIS else f"which is no key: {nearest(key, allowed)}")
                )
            settings[key] = value
        axis.append(AxisPoint(settings, name[1] if name else ""))
    return axis


def _named(key: str, value: str, short: Mapping[str, int]) -> str:
    """`hidden_dim=32`, the key in full where another ends alike; fit for the name of a directory."""
    last = key.split(".")[-1]
    return f"{last if short[last] == 1 else key}=" + re.sub(r"[^\w.+-]+", "_", value).strip("_")


def _point(config: config_dict.ConfigDict, name: str, settings: Mapping[str, str]) -> Settings:
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
