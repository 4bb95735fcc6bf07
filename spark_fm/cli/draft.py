"""The text of a config that a user goes on from."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyspark.sql.types import StructType

from spark_fm.cli.config import Input, Split
from spark_fm.engine.encoding.infer import Inferred

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
# Where whole numbers were told by their values alone.
UNSURE = {
    "categorical": '# LOOK AT THIS: numbers that repeat, told by nothing else. If they are amounts: kind = "buckets"',
    "buckets": '# LOOK AT THIS: rounded numbers or some below 0. If they are names: kind = "categorical"',
}
TAIL = """\
[params]
# Params of {estimator}; docs/params.md lists them. What is not here has its default.
{params}

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
    weight, validation : columns, "" where there is none; guessed by their names
    unlabelled : how many of the rows have no label
    features : a ready column of features; there are then no fields
    inferred : fields, and what has none
    split : which rows are kept from training
    params : those of the estimator that are not its defaults
    glances : by column
    rows : how many were looked at
    """

    source: Input
    schema: StructType
    label: str
    is_guess: bool
    task: str
    positive: str
    inferred: Inferred
    split: Split
    params: Mapping[str, Any]
    glances: Mapping[str, Glance]
    rows: int
    weight: str = ""
    validation: str = ""
    unlabelled: int = 0
    features: str = ""


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
    if draft.unlabelled:
        lines += [
            f"# {draft.unlabelled:,} rows have no label: training and evaluation leave these out.",
            'unlabelled = "skip"',
        ]
    for key, name in (("weight", draft.weight), ("validation", draft.validation)):
        if name:
            lines += [f"# GUESSED by its name. {_told(draft, name)}", f"{key} = {toml_of(name)}"]
    if draft.features:
        lines += [f"# {_told(draft, draft.features)}", f"features = {toml_of(draft.features)}"]
    lines += ["", *_fields(draft), *_split(draft.split), ""]
    estimator = "FMClassifier" if draft.task == "classification" else "FMRegressor"
    params = "\n".join(f"{name} = {toml_of(value)}" for name, value in draft.params.items())
    return "\n".join(lines) + "\n" + TAIL.format(estimator=estimator, params=params)


def _fields(draft: Draft) -> list[str]:
    """A table for each field, and which columns have none."""
    found = draft.inferred
    lines = []
    if found.specs:
        lines += [
            "# What the features are made of: a table for each field, kinds GUESSED by names and values.",
            "",
        ]
    for spec in found.specs:
        name = spec.columns[0]
        lines += [f"# {_told(draft, name)}", "[[fields]]"]
        lines += [f"{key} = {toml_of(value)}" for key, value in spec.to_dict().items()]
        lines += [*([UNSURE[spec.kind]] if name in found.unsure else []), HINTS[spec.kind], ""]
    if found.left_out:
        lines += ["# Left out:"]
        lines += [f"#   {_told(draft, name)}: {why}" for name, why in found.left_out.items()] + [""]
    return lines


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
    if source.schema:
        lines += ["# GUESSED from the values.", f"schema = {toml_of(source.schema)}"]
    if source.options:
        told = ", ".join(f"{_key(name)} = {toml_of(value)}" for name, value in source.options.items())
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


def _split(split: Split) -> list[str]:
    lines = ["[split]", "# Kept from training, to measure on."]
    if split.kind == "time":
        lines += [
            "# GUESSED: the last tenth in time, because later rows are what a model will meet.",
            'kind = "time"',
            f"time = {toml_of(split.time)}",
        ]
    if not split.test:
        lines += ["# None: there are too few rows, or no two that differ."]
    return [*lines, f"test = {split.test}"]


def _key(name: str) -> str:
    """A key, quoted where it must be."""
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else toml_of(name)
