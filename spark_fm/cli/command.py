"""The command line that the jobs share: flags, log lines, and one sentence when a job fails."""

import argparse
import logging
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pyspark.sql import SparkSession

from spark_fm.cli.config import Config, load, toml
from spark_fm.cli.errors import reason
from spark_fm.cli.session import open_session
from spark_fm.engine.cluster.broadcast import context_of
from spark_fm.engine.cluster.execute import plain_errors

logger = logging.getLogger("spark_fm.cli")

Job = Callable[[SparkSession, Config], None]


def run(job: Job, name: str, description: str, argv: Sequence[str] | None) -> int:
    """Run a job; the exit status: 0, or 1 after one line on stderr that says what went wrong."""
    arguments = _parser(name, description).parse_args(argv)
    with _log_lines(), warnings.catch_warnings():
        warnings.showwarning = _log_warning
        try:
            config = load(arguments.config, _overrides(arguments))
            with open_session(name, arguments.debug) as spark, plain_errors(context_of(spark)):
                job(spark, config)
        except Exception as error:
            if arguments.debug:
                traceback.print_exc()
            sys.stderr.write(f"spark_fm: error: {reason(error)}\n")
            return 1
    return 0


class Steps:
    """Times the steps of a job and writes a log line for each."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One step; the line is written when it is done."""
        begun = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begun
        logger.info("%s: %.1f s", name, self.seconds[name])


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(name, description=description)
    parser.add_argument("--config", required=True, metavar="FILE", help="TOML file; see conf/ for examples")
    parser.add_argument("--input", metavar="PATH", help="rows to read (input.path)")
    parser.add_argument("--model", metavar="PATH", help="folder of the model (model.path)")
    parser.add_argument("--report", metavar="FOLDER", help="local folder for the report (report.folder)")
    parser.add_argument("--output", metavar="PATH", help="where scored rows go (output.path)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any other key, as in TOML: --set params.maxIter=20 --set split.column=is_test",
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks and Spark's own log")
    return parser


def _overrides(arguments: argparse.Namespace) -> list[tuple[str, Any]]:
    """Dotted keys and values of the flags that were given.

    Raises
    ------
    ValueError
        When --set has no equals sign.
    """
    flags = {
        "input.path": arguments.input,
        "model.path": arguments.model,
        "report.folder": arguments.report,
        "output.path": arguments.output,
    }
    overrides = [(key, value) for key, value in flags.items() if value is not None]
    # A path on the command line takes the place of a table in the file.
    overrides += [
        (key.split(".")[0] + ".table", "") for key, _ in overrides if key in ("input.path", "output.path")
    ]
    for text in arguments.set:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--set: found {text!r}, expected KEY=VALUE")
        overrides.append((key.strip(), value_of(value.strip())))
    return overrides


def value_of(text: str) -> Any:
    """A TOML value; what is none, such as a bare word, is a string."""
    try:
        return toml(f"value = {text}")["value"]
    except ValueError:
        return text


@contextmanager
def _log_lines() -> Iterator[None]:
    """Log lines of this package on stderr while a job runs."""
    parent = logging.getLogger("spark_fm")
    handler, level = logging.StreamHandler(), parent.level
    handler.setFormatter(logging.Formatter("%(asctime)s spark_fm: %(message)s", "%H:%M:%S"))
    parent.addHandler(handler)
    parent.setLevel(logging.INFO)
    try:
        yield
    finally:
        parent.removeHandler(handler)
        parent.setLevel(level)


def _log_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    logger.warning("%s", message)
