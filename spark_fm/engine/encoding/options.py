"""The kinds of fields and their options, with defaults and checks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from spark_fm.engine.encoding.parts import PARTS, UNITS

LARGEST_WIDTH = 2**40


@dataclass(frozen=True)
class Option:
    """A default, and what values are allowed."""

    default: Any
    allowed: Callable[[Any], bool]
    expected: str


def _integer(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _whole(default: int | None, least: int, most: int = LARGEST_WIDTH) -> Option:
    return Option(default, lambda value: _integer(value, least, most), f"an integer from {least} to {most}")


def _one_of(default: str | None, *choices: str) -> Option:
    return Option(default, lambda value: value in choices, f"one of: {', '.join(choices)}")


def _place(default: str | None) -> Option:
    return _one_of(default, "other", "nothing")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _parts(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(p, str) and p in PARTS for p in value)
        and len({*value}) == len(value)
    )


NAME = Option(None, lambda value: isinstance(value, str) and bool(value), "a name")
BY_FREQUENCY = {"minCount": _whole(1, 1)}
WIDTH = {"width": _whole(2**18, 1)}
MANY = {
    **BY_FREQUENCY,
    "width": _whole(None, 1),
    **{name: _place("nothing") for name in ("unseen", "rare", "null")},
}

KINDS: dict[str, dict[str, Option]] = {
    "categorical": {
        "name": NAME,
        **BY_FREQUENCY,
        **{name: _place("other") for name in ("unseen", "rare", "null")},
    },
    "hashed": {"name": NAME, **WIDTH, "null": _place("other")},
    "numeric": {
        "name": NAME,
        "transform": _one_of("none", "none", "log1p"),
        "fill": Option(None, _number, "a finite number"),
        "null": _place("nothing"),
    },
    "buckets": {"name": NAME, "n": _whole(10, 2, 10_000), "null": _place("other")},
    "set": {
        "name": NAME,
        "value": _one_of("1", "1", "1/n", "1/sqrt(n)"),
        "separator": Option(None, lambda value: isinstance(value, str) and bool(value), "a text, such as |"),
        **MANY,
    },
    "weighted": {"name": NAME, **MANY},
    "date_parts": {
        "name": NAME,
        "parts": Option(None, _parts, f"a list of some of: {', '.join(PARTS)}"),
        "unit": _one_of(None, *UNITS),
        "cyclic": Option(False, lambda value: isinstance(value, bool), "true or false"),
        "null": _place(None),
    },
    "cross": {"name": NAME, **WIDTH, "null": _place("other")},
}


def checked_options(kind: str, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The options of a field of a kind; None stands for an option that is not given.

    Raises
    ------
    ValueError
        Naming the field (``where``) and the option, what was found and what was expected.
    """
    known, options = KINDS[kind], {}
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"{where}: there is no option {name!r}, expected some of: {', '.join(known)}")
        if value is None:
            continue
        if name == "value" and value == 1:
            value = "1"
        if not known[name].allowed(value):
            raise ValueError(f"{where}: {name}: found {value!r}, expected {known[name].expected}")
        options[name] = value
    if "width" in options and any(name in options for name in ("minCount", "unseen", "rare")):
        raise ValueError(
            f"{where}: found width beside minCount, unseen or rare, expected one way: by hash or by frequency"
        )
    return options
