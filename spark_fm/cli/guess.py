"""What a config for a table says: the label, the task, the fields and the split, as the rows suggest them.

A draft is held against what training checks before it trains: what ``init`` writes, ``train`` takes.
"""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, NumericType, StringType

from spark_fm.cli.cells import NUMBERS, is_empty, is_number
from spark_fm.cli.checks import check_settings
from spark_fm.cli.config import Config, Input, Split, parse, toml
from spark_fm.cli.draft import Draft, Glance, drafted
from spark_fm.cli.libffm import LIBFFM
from spark_fm.cli.read import check_columns, check_new_columns, read
from spark_fm.cli.score import output_columns
from spark_fm.cli.split import marked, not_hashed
from spark_fm.cli.stages import INTERNAL, estimator_of
from spark_fm.cli.survey import survey
from spark_fm.engine.cluster.execute import collect, persist, unpersist
from spark_fm.engine.encoding.infer import Inferred, inferred
from spark_fm.engine.packing.columns import quoted

# In the order in which they are looked for.
LABELS = (
    "label",
    "rating",
    "stars",
    "score",
    "click",
    "clicked",
    "target",
    "y",
    "liked",
    "purchased",
    "converted",
)
WEIGHTS = ("sample_weight", "row_weight", "case_weight", "instance_weight")
VALIDATIONS = ("validation", "is_validation", "is_valid")
TEST = 0.1
ROWS_SHOWN, EXAMPLES, LONGEST = 20, 3, 40
READY = ("libsvm", LIBFFM)


def draft_of(spark: SparkSession, source: Input, label: str | None, sample: int) -> Draft:
    """What a config for a table says.

    Raises
    ------
    ValueError
        When the table can't be read or is empty, the label is not there or has no value, none was given and no column
        has the name of one, no column is left to make a field of, or training would refuse the rows.
    """
    rows = read(spark, source, "TABLE").limit(sample)
    _check_names(rows)
    chosen = _label(rows, label)
    rows = persist(rows)
    try:
        return _drafted(rows, source, chosen, label is None)
    finally:
        unpersist(rows)


def _drafted(rows: DataFrame, source: Input, label: str, is_guess: bool) -> Draft:
    glances, count = _glances(rows)
    if not count:
        raise ValueError(
            f"TABLE: there are no rows in {source.path or source.table}, expected some to look at"
        )
    if source.format == "libsvm":
        size = rows.schema["features"].metadata["numFeatures"]
        source = replace(source, options={"numFeatures": size} | source.options)
    labelled = rows.where(~F.expr(is_empty(label)))
    task, positive = _task(labelled, label)
    weight, validation = _guessed(rows, WEIGHTS, label), _guessed(rows, VALIDATIONS, label)
    found, features = Inferred(), ""
    if source.format in READY and not source.table:
        features = "features"
    else:
        found = inferred(labelled, exclude=[name for name in (label, weight, validation) if name])
        if not found.specs:
            why = "; ".join(f"{name!r}: {why}" for name, why in found.left_out.items())
            raise ValueError(f"TABLE: found no column to make a field of ({why or 'there is no other'})")
    draft = Draft(
        source=source,
        schema=rows.schema,
        label=label,
        is_guess=is_guess,
        task=task,
        positive=positive,
        inferred=found,
        split=Split(test=TEST),
        params=_params(rows, task),
        glances=glances,
        rows=count,
        weight=weight,
        validation=validation,
        unlabelled=count - labelled.count(),
        features=features,
    )
    return _checked(draft, labelled)


def _checked(draft: Draft, rows: DataFrame) -> Draft:
    """The draft with the first split by which training takes the rows.

    Raises
    ------
    ValueError, TypeError
        What training would raise, whatever the split.
    """
    refused: Exception | None = None
    for split in _splits(draft):
        tried = replace(draft, split=split)
        config = parse(Config, toml(drafted(tried)))
        check_settings(config)
        check_columns(rows, config)
        check_new_columns(rows, output_columns(estimator_of(config)))
        try:
            divided = marked(rows, config.split, not_hashed(config.columns))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                survey(divided.rows, config, divided.held_out, divided.drawn)
            return tried
        except (ValueError, TypeError) as error:
            refused = error
    assert refused is not None
    raise refused


def _splits(draft: Draft) -> Iterator[Split]:
    """By time where there is one, else at random, else none."""
    for time in draft.inferred.times:
        yield Split(kind="time", time=time, test=TEST)
    yield Split(test=TEST)
    yield Split(test=0.0)


def _check_names(rows: DataFrame) -> None:
    seen: dict[str, str] = {}
    for name in rows.columns:
        if name.startswith(INTERNAL):
            raise ValueError(
                f"TABLE: found a column whose name begins with {INTERNAL}, expected another name"
            )
        other = seen.setdefault(name.lower(), name)
        if other is not name:
            raise ValueError(
                f"TABLE: found columns {other!r} and {name!r}, expected names that differ in more"
            )


def _params(rows: DataFrame, task: str) -> dict[str, Any]:
    """The estimator's params: columns that it adds get other names where the table has these."""
    params: dict[str, Any] = {"factorSize": 16, "seed": 1, "verbose": True}
    added = ["predictionCol"]
    if task == "classification":
        added += ["probabilityCol", "rawPredictionCol"]
    else:
        params = {"solver": "auto"} | params
    taken = {name.lower() for name in rows.columns}
    for param in added:
        name = usual = param.removesuffix("Col")
        while name.lower() in taken:
            name = f"fm_{name}"
        if name != usual:
            params[param] = name
        taken.add(name.lower())
    return params


def _label(rows: DataFrame, given: str | None) -> str:
    if given is not None:
        if given not in rows.columns:
            raise ValueError(
                f"--label: there is no column {given!r}; the columns are: {', '.join(rows.columns)}"
            )
        kind = rows.schema[given].dataType
        if not isinstance(kind, NUMBERS):
            raise ValueError(
                f"--label: column {given!r} has type {kind.simpleString()}, expected a number, or one of two values"
            )
        return given
    names = {name.lower(): name for name in reversed(rows.columns)}
    for name in LABELS:
        if name in names and isinstance(rows.schema[names[name]].dataType, NUMBERS):
            return names[name]
    raise ValueError(
        f"--label: missing, and no column has the name of a label; expected one of: {', '.join(rows.columns)}"
    )


def _guessed(rows: DataFrame, names: tuple[str, ...], label: str) -> str:
    """A column whose name says that it is no feature: weights are numbers, marks of validation rows booleans."""
    kind = NumericType if names is WEIGHTS else BooleanType
    for one in rows.schema:
        if one.name.lower() in names and one.name != label and isinstance(one.dataType, kind):
            return one.name
    return ""


def _glances(rows: DataFrame) -> tuple[dict[str, Glance], int]:
    """What each column holds, and how many rows there are."""
    totals = [F.count(F.lit(1)).alias("rows")]
    for i, name in enumerate(rows.columns):
        x = F.col(quoted(name))
        totals += [
            F.count(x).alias(f"known{i}"),
            F.approx_count_distinct(F.to_json(F.struct(x))).alias(f"values{i}"),
        ]
    row = collect(rows.agg(*totals))[0]
    # Arrow has no type for vectors of Spark 3.5.
    shown = rows.limit(ROWS_SHOWN).collect()
    found = {}
    for i, field in enumerate(rows.schema):
        texts = dict.fromkeys(str(one[field.name])[:LONGEST] for one in shown if one[field.name] is not None)
        kind = field.dataType.simpleString()
        found[field.name] = Glance(kind, row[f"known{i}"], row[f"values{i}"], tuple(texts)[:EXAMPLES])
    return found, row["rows"]


def _task(rows: DataFrame, label: str) -> tuple[str, str]:
    """The task that a label is for, and the value of it that counts as 1 where that is not 1 itself.

    Raises
    ------
    ValueError
        When it is neither a number nor one of two values, or has none.
    """
    kind, x = rows.schema[label].dataType, F.col(quoted(label))
    values = sorted(row["label"] for row in collect(rows.select(x.alias("label")).distinct().limit(3)))
    if not values:
        raise ValueError(f"--label: column {label!r} is empty in all rows, expected a label in some")
    is_numeric = isinstance(kind, NumericType)
    if isinstance(kind, BooleanType) or (is_numeric and values == [0, 1]):
        return "classification", ""
    if is_numeric and (len(values) != 2 or any(value % 1 for value in values)):
        return "regression", ""
    if len(values) == 2 and isinstance(kind, NumericType | StringType):
        return "classification", str(values[1])
    if isinstance(kind, StringType) and not rows.where(~F.expr(is_number(label))).limit(1).count():
        return "regression", ""
    raise ValueError(
        f"--label: column {label!r} has type {kind.simpleString()} and {len(values)} values or more, expected a "
        "number, or one of two values"
    )
