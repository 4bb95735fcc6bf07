"""``spark-fm init TABLE``: a config for a table, as its schema and some of its rows suggest it."""

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from pyspark.sql import SparkSession

from spark_fm.cli.command import value_of
from spark_fm.cli.config import Input
from spark_fm.cli.draft import drafted
from spark_fm.cli.errors import reason
from spark_fm.cli.guess import draft_of
from spark_fm.cli.schema import GUESSES, with_schema
from spark_fm.cli.session import open_session
from spark_fm.cli.sniff import FORMATS, TEXTS, sniffed, suffix_of
from spark_fm.engine.cluster.broadcast import context_of
from spark_fm.engine.cluster.execute import plain_errors

SAMPLE = 100_000


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
        if arguments.sample < 1:
            raise ValueError(f"--sample: found {arguments.sample}, expected at least 1")
        with open_session("spark-fm-init", arguments.debug) as spark, plain_errors(context_of(spark)):
            text = drafted(draft_of(spark, _source(spark, arguments), arguments.label, arguments.sample))
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
    parser.add_argument(
        "--format", metavar="NAME", help="of the files; guessed by their name and first lines unless given"
    )
    parser.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="of the format: --option sep=::"
    )
    parser.add_argument("--sample", type=int, default=SAMPLE, metavar="N", help=f"rows to look at ({SAMPLE})")
    parser.add_argument("--debug", action="store_true", help="show tracebacks and Spark's own log")
    return parser


def _source(spark: SparkSession, arguments: argparse.Namespace) -> Input:
    """What to read, and how: from the command line, and by a look at the files.

    Raises
    ------
    ValueError
        When an option has no equals sign, or the files can't be read.
    """
    options = {}
    for text in arguments.option:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--option: found {text!r}, expected KEY=VALUE")
        # A tab or a blank may be the value.
        options[key.strip()] = value_of(value.strip() or value)
    name: str = arguments.table
    if (
        not arguments.format
        and "/" not in name
        and suffix_of(name) not in (*FORMATS, *TEXTS)
        and not Path(name).exists()
    ):
        return Input(table=name, options=options)
    form, found = sniffed(spark, name, arguments.format or "")
    source = Input(format=form, path=name, options=found | options)
    return with_schema(spark, source) if any(source.options.get(guess) for guess in GUESSES) else source
