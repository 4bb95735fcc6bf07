"""``spark-fm init TABLE``: a config for a table, as its schema and some of its rows suggest it."""

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DateType, NumericType, StringType, TimestampNTZType, TimestampType

from spark_fm.cli.command import value_of
from spark_fm.cli.config import Input
from spark_fm.cli.draft import Draft, Glance, drafted
from spark_fm.cli.errors import reason
from spark_fm.cli.read import read
from spark_fm.cli.session import open_session
from spark_fm.engine.cluster.broadcast import context_of
from spark_fm.engine.cluster.execute import collect, plain_errors
from spark_fm.engine.packing.columns import quoted
from spark_fm.feature import infer_fields

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
FORMATS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".json": "json", ".jsonl": "json", ".orc": "orc"}
TEXTS = {"csv": {"header": True, "inferSchema": True}}
SAMPLE = 100_000
ROWS_SHOWN, EXAMPLES, LONGEST = 20, 3, 40


def init_main(argv: Sequence[str] | None = None) -> int:
    """Write a commented config for a table.

    Parameters
    ----------
    argv : the command line without the program's name; by default that of this process

    Returns
    -------
    The exit status: 0, or 1 after one line on stderr that says what went wrong.
    """
    arguments = _parser().parse_args(argv)
    try:
        target = Path(arguments.out)
        if target.exists():
            raise FileExistsError(f"--out: there is something at {target}, expected a new file")
        with open_session("spark-fm-init", arguments.debug) as spark, plain_errors(context_of(spark)):
            text = drafted(draft_of(spark, _source(arguments), arguments.label, arguments.sample))
        target.parent.mkdir(parents=True, exist_ok=True)
        # Whatever came there meanwhile is not replaced either.
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except Exception as error:
        if arguments.debug:
            traceback.print_exc()
        sys.stderr.write(f"spark_fm: error: {reason(error)}\n")
        return 1
    sys.stdout.write(f"written: {target}; look through it, then: spark-fm train --config {target}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "spark-fm init",
        description="Write a commented config for a table, as its schema and some rows suggest it.",
    )
    parser.add_argument("table", metavar="TABLE", help="the name of a table, or the path of files")
    parser.add_argument("--label", metavar="COLUMN", help="what to predict; guessed by its name unless given")
    parser.add_argument(
        "--out", metavar="FILE", default="job.toml", help="where to write (job.toml); must not exist"
    )
    parser.add_argument("--format", metavar="NAME", help="of the files; guessed by the path unless given")
    parser.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="of the format: --option sep=::"
    )
    parser.add_argument("--sample", type=int, default=SAMPLE, metavar="N", help=f"rows to look at ({SAMPLE})")
    parser.add_argument("--debug", action="store_true", help="show tracebacks and Spark's own log")
    return parser


def _source(arguments: argparse.Namespace) -> Input:
    """What to read, from the command line.

    Raises
    ------
    ValueError
        When an option has no equals sign.
    """
    options = {}
    for text in arguments.option:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--option: found {text!r}, expected KEY=VALUE")
        options[key.strip()] = value_of(value.strip())
    name: str = arguments.table
    suffix = PurePosixPath(name).suffix.lower()
    if (
        not arguments.format
        and "/" not in name
        and suffix not in (*FORMATS, ".parquet")
        and not Path(name).exists()
    ):
        return Input(table=name, options=options)
    form = arguments.format or FORMATS.get(suffix, "parquet")
    tabs = {"sep": "\t"} if suffix == ".tsv" else {}
    return Input(format=form, path=name, options=TEXTS.get(form, {}) | tabs | options)


def draft_of(spark: SparkSession, source: Input, label: str | None, sample: int) -> Draft:
    """What a config for a table says.

    Raises
    ------
    ValueError
        When the table can't be read or is empty, the label is not there, or none was given and no column has the name
        of one.
    """
    if sample < 1:
        raise ValueError(f"--sample: found {sample}, expected at least 1")
    rows = read(spark, source, "TABLE").limit(sample)
    chosen = _label(rows, label)
    glances, count = _glances(rows)
    if not count:
        raise ValueError(
            f"TABLE: there are no rows in {source.path or source.table}, expected some to look at"
        )
    task, positive = _task(rows, chosen)
    times = [
        f.name for f in rows.schema if isinstance(f.dataType, DateType | TimestampType | TimestampNTZType)
    ]
    specs = infer_fields(rows, exclude=[chosen])
    return Draft(source, rows.schema, chosen, label is None, task, positive, specs, glances, count, times)


def _label(rows: DataFrame, given: str | None) -> str:
    if given is not None:
        if given not in rows.columns:
            raise ValueError(
                f"--label: there is no column {given!r}; the columns are: {', '.join(rows.columns)}"
            )
        return given
    names = {name.lower(): name for name in reversed(rows.columns)}
    for name in LABELS:
        if name in names:
            return names[name]
    raise ValueError(
        f"--label: missing, and no column has the name of a label; expected one of: {', '.join(rows.columns)}"
    )


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
    shown = collect(rows.limit(ROWS_SHOWN))
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
        When it is neither a number nor one of two values.
    """
    kind, x = rows.schema[label].dataType, quoted(label)
    values = sorted(
        row[label] for row in collect(rows.select(x).where(f"{x} IS NOT NULL").distinct().limit(3))
    )
    if isinstance(kind, BooleanType) or (isinstance(kind, NumericType) and values == [0, 1]):
        return "classification", ""
    if len(values) == 2 and isinstance(kind, NumericType | StringType):
        return "classification", str(values[1])
    if isinstance(kind, NumericType):
        return "regression", ""
    raise ValueError(
        f"--label: column {label!r} has type {kind.simpleString()} and {len(values)} values or more, expected a "
        "number, or one of two values"
    )
