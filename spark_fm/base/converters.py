"""Params' converters, which check the values that users give."""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from pyspark.ml.param import TypeConverters

from spark_fm.engine.training.fit import SOLVERS

DEFAULT_SOLVER = "adagrad"
SPARKS_SOLVERS = ("gd", "adamW")
T = TypeVar("T")


def _checked(
    value: Any, name: str, convert: Callable[[Any], T], valid: Callable[[T], bool], expected: str
) -> T:
    converted = convert(value)
    if not valid(converted):
        raise ValueError(f"{name}: found {value!r}, expected {expected}")
    return converted


def checked(
    name: str, convert: Callable[[Any], T], valid: Callable[[T], bool], expected: str
) -> Callable[[Any], T]:
    """The converter ``convert`` of a param, with a check of the range.

    Raises
    ------
    ValueError
        Naming the param, what was found and what was expected.
    """
    return partial(_checked, name=name, convert=convert, valid=valid, expected=expected)


def _at_least(least: int) -> Callable[[Any], bool]:
    return lambda value: value >= least


def whole(name: str, least: int) -> Callable[[Any], int]:
    """A converter of integers that are at least ``least``."""
    return checked(name, TypeConverters.toInt, _at_least(least), f"an integer >= {least}")


def not_negative(name: str) -> Callable[[Any], float]:
    """A converter of finite numbers >= 0."""
    return checked(
        name,
        TypeConverters.toFloat,
        lambda value: 0.0 <= value < float("inf"),
        "a finite number >= 0",
    )


def one_of(name: str, choices: Sequence[str]) -> Callable[[Any], str]:
    """A converter of strings that are one of the ``choices``."""
    return checked(
        name, TypeConverters.toString, lambda value: value in choices, f"one of: {', '.join(choices)}"
    )


def solver_of(value: Any) -> str:
    """The name of a solver; pyspark.ml's names stand for ours, with a warning."""
    if value in SPARKS_SOLVERS:
        warnings.warn(
            f"solver: {value!r} is one of pyspark.ml's; spark_fm trains with {DEFAULT_SOLVER!r} instead",
            stacklevel=2,
        )
        return DEFAULT_SOLVER
    return one_of("solver", list(SOLVERS))(value)


def factors_of(value: Any) -> dict[str, float]:
    """Finite numbers >= 0 by name.

    Raises
    ------
    TypeError, ValueError
        When it is anything else.
    """
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise TypeError(
            f"regParamByField: found {value!r}, expected a dict from the names of fields to numbers"
        )
    return {name: not_negative(f"regParamByField[{name!r}]")(found) for name, found in value.items()}


def model_of(value: Any) -> Any:
    """A fitted model.

    Raises
    ------
    TypeError
        When the value is anything else.
    """
    if hasattr(value, "weights"):
        return value
    raise TypeError(
        f"initialModel: found {type(value).__name__}, expected a fitted Factorization Machine model"
    )


def two_thresholds(found: Sequence[Any]) -> tuple[float, float]:
    """The thresholds of labels 0 and 1.

    Raises
    ------
    ValueError
        Unless they are two numbers >= 0, at most one of them 0.
    """
    numbers = [t for t in found if isinstance(t, (int, float)) and t >= 0.0]
    if len(found) != 2 or len(numbers) != 2 or not any(numbers):
        raise ValueError(f"thresholds: found {found}, expected two numbers >= 0, at most one of them 0")
    return numbers[0], numbers[1]
