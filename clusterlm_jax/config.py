"""ConfigDict -> frozen, checked settings: one, or a grid of them. Each room declares its own keys in its `spec.py`.

Only this file and `main` import ml_collections.
"""

from __future__ import annotations

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

from clusterlm_jax import experiments
from clusterlm_jax.records import UserError
from clusterlm_jax.settings import Settings

SHARED_KEYS = ("grid", "experiment", "stages")  # all points of a grid have the same
NAME = "name"  # the entry of a point that is no key: what its directory is called
# What values of a type are called, one and several.
WORDS = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("True or False", "True or False"),
    str: ("a text", "texts"),
    types.NoneType: ("unset", "unset"),
}

Point = dict[str, Any]  # key in full -> value


def default(experiment: str) -> config_dict.ConfigDict:
    """The configuration of an experiment with every key at its default, which is the paper's.

    Raises:
      UserError: naming the experiments that exist.
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
    """The configuration that another file gives, as a start; `argument` is what follows the colon on a command line."""
    return runpy.run_path(str(path))["get_config"](argument)


def build(config: config_dict.ConfigDict) -> Settings:
    """The checked form of a configuration. Its grid is not looked at.

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
    """The checked configurations of a grid, by name: the product of its axes.

    An axis is a list of points. A point is a dict of the keys that it sets, in full, to their values:

        config.grid = ([{"model.hidden_dim": 32, "train.epochs": 500}, {"model.hidden_dim": 256}],)

    An axis of one key may be shorter: `{"train.learning_rate": [1e-4, 3e-4]}`. A point is named after what it sets,
    `hidden_dim=32,epochs=500`; if that is long, it may have an entry `name` instead.

    Raises:
      UserError: naming the axis or the point, what was given, and what is allowed.
    """
    allowed = every_key(config.experiment)
    axes = [_axis(axis, allowed) for axis in config.grid]
    on_axes = Counter(key for axis in axes for key in set().union(*axis) - {NAME})
    for key, times in on_axes.items():
        if times > 1:
            raise UserError(f"{key} is on {times} axes of config.grid; it may be on one.")
    short = Counter(key.split(".")[-1] for key in on_axes)
    found: dict[str, Settings] = {}
    for combination in itertools.product(*axes):
        name = ",".join(_name(point, short) for point in combination)
        settings = {key: value for point in combination for key, value in point.items() if key != NAME}
        built = _point(config, name, settings)
        if name in found or built in found.values():
            raise UserError(f"config.grid has the point {name} twice.")
        found[name] = built
    return found


def shared(config: config_dict.ConfigDict) -> dict[str, Any]:
    """What `config.json` of a grid says: the common settings, and the first key of each axis.

    The points are left out, so that an axis may get more of them later. Call `points` first: it checks the grid.
    """
    axes = [_axis(axis, every_key(config.experiment)) for axis in config.grid]
    return config.to_dict() | {"grid": [next(key for key in axis[0] if key != NAME) for axis in axes]}


def forms(argument: str, allowed: tuple[str, ...]) -> frozenset[str]:
    """The forms asked for after the colon of `--config=configs/x.py:a,b`.

    Raises:
      UserError: naming the forms that the file has.
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


def specs(experiment: str) -> dict[str, type]:
    """The class that declares the keys of each section; under "" that of the keys of no section."""
    return {"": (kind := _kind(experiment)), **_sections(kind)}


def kinds(experiment: str, key: str) -> tuple[type, ...]:
    """The types that a key may have."""
    section, _, name = key.rpartition(".")
    return (tuple,) if key == "grid" else _types(specs(experiment)[section], name)


def refusal(experiment: str, key: str, given: str) -> str:
    """The sentence for a value, as it was given on a command line, that has none of these types."""
    full = key if "." in key else f"config.{key}"
    return f"{full} is {given!r}; it must be {_in_words(kinds(experiment, key))}."


def _kind(experiment: str) -> type[Settings]:
    return experiments.part(experiment, "settings").SETTINGS


def _sections(kind: type[Settings]) -> dict[str, type]:
    """The sections of an experiment's configuration, each with its spec."""
    return {name: spec for name, spec in typing.get_type_hints(kind).items() if dataclasses.is_dataclass(spec)}


def _declared(spec: type, name: str, value: Any) -> Any:
    """A default with its type: for a bare None, ml_collections would accept a value of any type."""
    return config_dict.placeholder(_types(spec, name)[0]) if value is None else value


def _section(section: str, spec: type, given: dict[str, Any]) -> Any:
    names = [field.name for field in dataclasses.fields(spec)]
    _refuse_unknown(section, given, names)
    return spec(**{name: _checked(f"{section}.{name}", spec, name, value) for name, value in given.items()})


def _refuse_unknown(where: str, given: dict[str, Any], allowed: list[str]) -> None:
    for key in given.keys() - set(allowed):
        raise UserError(f"There is no {where}.{key}: {nearest(key, allowed)}")


def _checked(key: str, spec: type, name: str, value: Any) -> Any:
    """A value of the declared type. An int is accepted for a float, and a list for a tuple."""
    allowed = _types(spec, name)
    for number in value if isinstance(value, list | tuple) else (value,):
        # Whole numbers become int32 and others float32, on the device at the latest.
        if isinstance(number, int) and abs(number) >= 2**31:
            raise UserError(f"{key} is {value!r}; a whole number must be below {2**31} in size.")
        if isinstance(number, float) and not (number == 0 or 1e-30 <= abs(number) <= 1e30):
            raise UserError(f"{key} is {value!r}; it must be a finite number of at most 1e30, and 0 or at least 1e-30.")
    if float in allowed and type(value) is int:
        return float(value)
    origins = [typing.get_origin(kind) or kind for kind in allowed]
    item = ""
    if tuple in origins and isinstance(value, list | tuple):
        (inner,) = {arg for kind in allowed for arg in typing.get_args(kind) if arg is not ...}
        wrong = [item for item in value if type(item) is not inner]
        if not wrong:
            return tuple(value)
        item = f", with the item {wrong[0]!r}"
    elif type(value) in origins:
        return value
    raise UserError(f"{key} is {value!r}{item}; it must be {_in_words(allowed)}.")


def _in_words(allowed: tuple[type, ...]) -> str:
    """(int, None) -> "a whole number or unset"."""
    items = {kind: args[0] for kind in allowed if (args := typing.get_args(kind))}
    return " or ".join(f"a tuple of {WORDS[items[kind]][1]}" if kind in items else WORDS[kind][0] for kind in allowed)


def _types(spec: type, name: str) -> tuple[type, ...]:
    hint = typing.get_type_hints(spec)[name]
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


def _axis(axis: Any, allowed: list[str]) -> list[Point]:
    """The points of one axis of `config.grid`, in either of its two forms."""
    points = axis
    if isinstance(axis, dict) and len(axis) == 1:
        ((key, values),) = axis.items()
        points = [{key: value} for value in values] if isinstance(values, list | tuple) else []
    well_formed = isinstance(points, list | tuple) and all(isinstance(point, dict) for point in points)
    if not well_formed or not points or not all(point.keys() - {NAME} for point in points):
        raise UserError(
            f"config.grid has the axis {axis!r}; allowed: [{{KEY: VALUE, ...}}, ...], or {{KEY: [VALUE, ...]}}."
        )
    for key in (key for point in points for key in point if key != NAME):
        if key in SHARED_KEYS:
            raise UserError(f"config.grid sets {key}, which all points share.")
        if key not in allowed:
            raise UserError(f"config.grid sets {key}, which is no key: {nearest(str(key), allowed)}")
    return list(points)


def _name(point: Point, short: Mapping[str, int]) -> str:
    """`hidden_dim=32`, with the key in full where another key ends alike; or the point's own name."""
    if NAME in point:
        if not re.fullmatch(r"\w[\w.+-]*", str(point[NAME])):
            raise UserError(f"config.grid names a point {point[NAME]!r}; a name is of letters, digits and any of _.+-")
        return str(point[NAME])
    last = {key: key.split(".")[-1] for key in point}
    values = {key: re.sub(r"[^\w.+-]+", "_", str(value)).strip("_") for key, value in point.items()}
    return ",".join(f"{last[key] if short[last[key]] == 1 else key}={values[key]}" for key in point)


def _point(config: config_dict.ConfigDict, name: str, settings: Point) -> Settings:
    given = config.to_dict()
    for key, value in settings.items():
        section, _, last = key.rpartition(".")
        (given[section] if section else given)[last] = value
    try:
        return build(config_dict.ConfigDict(given))
    except UserError as error:
        raise UserError(f"The point {name} of config.grid: {error}") from error
