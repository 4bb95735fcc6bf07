"""The text of a config that a user goes on from."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql.types import StructType

from spark_fm.cli.config import Input
from spark_fm.engine.encoding.specs import FieldSpec
from spark_fm.engine.packing.columns import quoted

HEAD = """\
# Written by `spark-fm init` after a look at {rows}. Look through it: what it guessed is marked with GUESSED.
# conf/ratings.toml and conf/movies.toml of spark_fm explain all keys.
#
#   spark-fm train --config job.toml      spark-fm evaluate --config job.toml      spark-fm score --config job.toml
"""
# What else a field of a kind takes, for the reader to uncomment.
HINTS = {
    "categorical": "# minCount = 5          # values of fewer rows share one feature",
    "set": "# minCount = 5          # elements of fewer rows have no feature",
    "weighted": "# minCount = 5          # keys of fewer rows have no feature",
    "numeric": '# transform = "log1p"   # for amounts and counts',
    "buckets": "# n = 20                # ranges; 10 unless told",
    "date_parts": "# cyclic = true         # sine and cosine instead of a feature for each hour",
}
TAIL = """\
[params]
# Params of {estimator}; docs/params.md lists them. What is not here has its default.
factorSize = 16
seed = 1
verbose = true

[model]
path = "output/model"
# true replaces a model that is there.
overwrite = false

[report]
folder = "output"

# score and recommend write here.
[output]
path = "output/scored"

[compare]
# train: also measure the mean of the labels and a model with biases only.
baselines = true
"""


@dataclass(frozen=True)
class Glance:
    """What a column holds: its type, cells that are not null, some number of different values, and a few of them."""

    type: str
    known: int
    values: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Draft:
    """What a config for a table says.

    Attributes
    ----------
    is_guess : whether the label was guessed by its name
    positive : the label's value that counts as 1; empty where it is 1
    glances : by column
    rows : how many were looked at
    times : columns of dates or timestamps
    """

    source: Input
    schema: StructType
    label: str
    is_guess: bool
    task: str
    positive: str
    specs: Sequence[FieldSpec]
    glances: Mapping[str, Glance]
    rows: int
    times: Sequence[str]


def drafted(draft: Draft) -> str:
    """The config as commented TOML."""
    lines = [HEAD.format(rows=f"{draft.rows:,} rows"), f"task = {toml_of(draft.task)}", ""]
    lines += [*_input(draft), "", "[columns]"]
    guess = (
        "# GUESSED by its name: what is to be predicted. "
        if draft.is_guess
        else "# What is to be predicted. "
    )
    lines += [guess + _told(draft, draft.label), f"label = {toml_of(draft.label)}"]
    if draft.positive:
        lines += [
            "# GUESSED: the label that counts as 1; all others are 0.",
            f"positive = {toml_of(draft.positive)}",
        ]
    lines += [
        "",
        "# What the features are made of: a table for each field, kinds GUESSED by types and values.",
        "",
    ]
    for spec in draft.specs:
        lines += [f"# {_told(draft, spec.columns[0])}", "[[fields]]"]
        lines += [f"{key} = {toml_of(value)}" for key, value in spec.to_dict().items()]
        lines += [HINTS[spec.kind], ""]
    read = {column for spec in draft.specs for column in spec.columns}
    left = [name for name in draft.schema.names if name not in read and name != draft.label]
    if left:
        lines += ["# Left out: they have one value, nearly as many as rows, or a type that no field reads."]
        lines += [f"#   {_told(draft, name)}" for name in left] + [""]
    lines += [*_split(draft.times), ""]
    estimator = "FMClassifier" if draft.task == "classification" else "FMRegressor"
    return "\n".join(lines) + "\n" + TAIL.format(estimator=estimator)


def toml_of(value: Any) -> str:
    """A string, a boolean, a number or a list of these as TOML writes it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_of, value))}]"
    # JSON's strings are TOML's, but for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _input(draft: Draft) -> list[str]:
    source = draft.source
    lines = ["[input]"]
    if source.table:
        lines += [f"table = {toml_of(source.table)}"]
    else:
        lines += [f"format = {toml_of(source.format)}", f"path = {toml_of(source.path)}"]
    if source.format in ("csv", "json") and not source.table:
        schema = ", ".join(f"{quoted(one.name)} {one.dataType.simpleString()}" for one in draft.schema)
        lines += ["# GUESSED by Spark from the values.", f"schema = {toml_of(schema)}"]
    options = {name: value for name, value in source.options.items() if name != "inferSchema"}
    if options:
        told = ", ".join(f"{_key(name)} = {toml_of(value)}" for name, value in options.items())
        lines += [f"options = {{ {told} }}"]
    return lines


def _told(draft: Draft, name: str) -> str:
    """A column on one line: its name and type, how many values it has, and some of them."""
    seen = draft.glances[name]
    parts = [f"{toml_of(name)}: {' '.join(seen.type.split())}", f"some {seen.values:,} values"]
    if seen.known < draft.rows:
        parts.append(f"empty in {draft.rows - seen.known:,} rows")
    if seen.examples:
        parts.append("such as " + ", ".join(toml_of(text) for text in seen.examples))
    return ", ".join(parts)


def _split(times: Sequence[str]) -> list[str]:
    lines = ["[split]", "# Kept from training, to measure on."]
    if times:
        lines += [
            "# GUESSED: the last tenth in time, because later rows are what a model will meet.",
            'kind = "time"',
            f"time = {toml_of(times[0])}",
        ]
    return [*lines, "test = 0.1"]


def _key(name: str) -> str:
    """A key, quoted where it must be."""
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else toml_of(name)
