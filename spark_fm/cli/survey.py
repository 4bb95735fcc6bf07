"""One pass over the input before training, which finds what training or measuring would stumble over."""

import logging
import warnings
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_fm.cli.cells import EMPTY_CATEGORY, TYPES_HINT, category, is_empty, is_number, label_number
from spark_fm.cli.config import Config
from spark_fm.engine.packing.columns import field_of, quoted

logger = logging.getLogger("spark_fm.cli")

# Where a combination of values has two rows or more on average, most held-out rows are of combinations that training
# can't have met, while new rows would mostly be of those that it has.
LEAST_DISTINCT = 0.5


@dataclass(frozen=True)
class Survey:
    """Numbers of rows: all, and those held out of training."""

    rows: int
    held_out: int


def survey(data: DataFrame, config: Config, held_out: Column | None, distinct: Column | None) -> Survey:
    """Count the rows, and check their cells.

    Parameters
    ----------
    held_out : whether a row is held out; None when none is
    distinct : what a fraction was drawn by; None when no fraction was

    Raises
    ------
    ValueError
        In one sentence that names the key and the column: when there are no rows, none to train on or none held
        out although some should be; when a label, a weight or a number is missing or none.
    """
    columns = config.columns
    terms = {"rows": F.count(F.lit(1)), "held_out": _count(F.lit(False) if held_out is None else held_out)}
    if distinct is not None:
        terms["distinct"] = F.approx_count_distinct(distinct)
    terms |= _cells("label", columns.label)
    if config.task == "classification":
        label = _label(data, config)
        terms |= {"positive": _count(label == 1.0), "other": _count(~label.isin(0.0, 1.0))}
    if columns.weight:
        weight = F.expr(f"try_cast({quoted(columns.weight)} AS DOUBLE)")
        terms |= _cells("weight", columns.weight) | {"negative": _count(weight < 0.0)}
        kept = F.lit(True) if held_out is None else ~held_out
        terms |= {"kept_weight": F.sum(F.when(kept, weight)), "held_weight": F.sum(F.when(~kept, weight))}
    for i, name in enumerate(columns.numeric):
        terms |= _cells(f"numeric_{i}", name)
    for i, name in enumerate(columns.categorical):
        value = category(name, field_of(data, name, "columns.categorical").dataType)
        terms[f"categorical_{i}_empty"] = _count(F.expr(value) == EMPTY_CATEGORY)
    row = data.agg(*(term.alias(name) for name, term in terms.items())).collect()[0]
    found: dict[str, Any] = row.asDict()
    _check_rows(found, config, held_out is not None)
    _check_label(found, config)
    if columns.weight:
        _check_weight(found, columns.weight, held_out is not None)
    for i, name in enumerate(columns.numeric):
        _check_number(found, f"numeric_{i}", name, columns.fill)
    for i, name in enumerate(columns.categorical):
        if found[f"categorical_{i}_empty"] == found["rows"]:
            warnings.warn(f"columns.categorical: column {name!r} is empty in all rows", stacklevel=2)
    return Survey(found["rows"], found["held_out"])


def labelled(data: DataFrame, config: Config) -> DataFrame:
    """The rows to train or to measure on; columns.unlabelled may leave out those that have no label."""
    columns = config.columns
    if columns.unlabelled == "error":
        return data
    empty = F.expr(is_empty(columns.label))
    rows = data.where(~empty)
    logger.info("rows without a label, which are left out: %d", data.where(empty).count())
    return rows


def typed(data: DataFrame, config: Config) -> DataFrame:
    """The rows with the label as a number, and the weight too."""
    columns = config.columns
    rows = data.withColumn(columns.label, _label(data, config))
    if columns.weight:
        rows = rows.withColumn(columns.weight, F.expr(f"try_cast({quoted(columns.weight)} AS DOUBLE)"))
    return rows


def _label(data: DataFrame, config: Config) -> Column:
    columns = config.columns
    data_type = field_of(data, columns.label, "columns.label").dataType
    return F.expr(label_number(columns.label, data_type, columns.positive))


def _count(condition: Column) -> Column:
    return F.count(F.when(condition, 1))


def _cells(role: str, name: str) -> dict[str, Column]:
    """How many cells are empty or hold something that is no number, and the first of these in the alphabet."""
    empty, odd = F.expr(is_empty(name)), ~F.expr(is_number(name))
    text = F.col(quoted(name)).cast("string")
    return {
        f"{role}_empty": _count(empty),
        f"{role}_odd": _count(odd & ~empty),
        f"{role}_example": F.min(F.when(odd & ~empty, text)),
    }


def _check_rows(found: dict[str, Any], config: Config, split: bool) -> None:
    rows, held_out, test = found["rows"], found["held_out"], config.split
    if not rows:
        raise ValueError(
            f"input: there are no rows in {config.input.path or config.input.table}, expected some"
        )
    if not split:
        return
    key = f"split.test: the fraction {test.test:g}"
    if test.column:
        key = f"split.column: column {test.column!r}"
    elif test.kind == "last":
        key = f"split.rows: {test.rows} of each user"
    if not held_out:
        hint = "" if test.column else "; split.test = 0 measures on none"
        raise ValueError(f"{key} holds out none of {rows} rows, expected some to measure on{hint}")
    if held_out == rows:
        raise ValueError(f"{key} holds out all of {rows} rows, expected some to train on")
    distinct = found.get("distinct", rows)
    if distinct < LEAST_DISTINCT * rows:
        warnings.warn(
            f"split.test: only some {distinct} of {rows} rows differ in more than label, weight and validation, and "
            "equal ones are held out together, so the metrics are those of combinations that training has not met; "
            "split.column, a boolean column, can hold out others",
            stacklevel=3,
        )


def _check_label(found: dict[str, Any], config: Config) -> None:
    name, positive = config.columns.label, config.columns.positive
    if found["label_empty"]:
        raise ValueError(
            f"columns.label: column {name!r} is empty in {found['label_empty']} of {found['rows']} rows, expected "
            'a label in each; columns.unlabelled = "skip" leaves such rows out'
        )
    if positive:
        if not found["positive"]:
            raise ValueError(f"columns.positive: no row has {positive!r} in column {name!r}, expected some")
    elif found["label_odd"]:
        hint = (
            "columns.positive names the one that counts as 1"
            if config.task == "classification"
            else TYPES_HINT
        )
        expected = "0 or 1" if config.task == "classification" else "a number"
        raise ValueError(
            f"columns.label: found {found['label_example']!r} in column {name!r}, expected {expected}; {hint}"
        )
    elif found.get("other"):
        raise ValueError(
            f"columns.label: column {name!r} has labels that are not 0 or 1 in {found['other']} of {found['rows']} "
            "rows, expected only these; columns.positive names the one that counts as 1"
        )


def _check_weight(found: dict[str, Any], name: str, split: bool) -> None:
    wrong = found["weight_empty"] + found["weight_odd"] + found["negative"]
    if wrong:
        raise ValueError(
            f"columns.weight: column {name!r} is empty, negative or no number in {wrong} of {found['rows']} rows, "
            "expected a number >= 0 in each"
        )
    for part, key in (("train on", "kept_weight"), *([("measure on", "held_weight")] if split else [])):
        if not found[key]:
            raise ValueError(
                f"columns.weight: column {name!r} is 0 in all rows to {part}, expected a weight above 0"
            )


def _check_number(found: dict[str, Any], role: str, name: str, fill: float | None) -> None:
    if found[f"{role}_odd"]:
        raise ValueError(
            f"columns.numeric: found {found[f'{role}_example']!r} in column {name!r}, expected a number; a column of "
            f"names belongs into columns.categorical, and {TYPES_HINT}"
        )
    empty, rows = found[f"{role}_empty"], found["rows"]
    if empty and fill is None:
        raise ValueError(
            f"columns.numeric: column {name!r} is empty (null or NaN) in {empty} of {rows} rows, expected a number; "
            "columns.fill says what an empty cell stands for"
        )
    if empty == rows:
        warnings.warn(f"columns.numeric: column {name!r} is empty in all rows", stacklevel=3)
