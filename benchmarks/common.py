"""What the benchmarks share: a Spark session, and results as JSON that says how, where and when they came about."""

import argparse
import json
import os
import platform
import shlex
import sys
from collections.abc import Callable, Iterable
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from benchmarks.load import OthersLoad

T = TypeVar("T")
OTHERS = OthersLoad()


def spark_session(cores: int = 2, memory: str = "6g", connect: bool = False) -> Any:
    """A local Spark session on 127.0.0.1 whose workers run this Python; ``connect``: by a Spark Connect server."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    builder, where = SparkSession.builder, f"local[{cores}]"
    spark = (
        (builder.remote(where) if connect else builder.master(where).appName("spark_fm benchmark"))
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", memory)
        .getOrCreate()
    )
    if not connect:
        spark.sparkContext.setLogLevel("ERROR")
    return spark


def timed(function: Callable[[], T]) -> tuple[T, float]:
    """The function's result and the seconds it took."""
    begun = perf_counter()
    return function(), perf_counter() - begun


def parser(description: str) -> argparse.ArgumentParser:
    """The options of every benchmark."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--memory", default="6g", help="of the JVM")
    made.add_argument("--output", default="benchmarks/results", help="folder for the .json files")
    return made


def show(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def shortened(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def cell(value: object) -> str:
    """A table cell: floats with five significant digits."""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def markdown(rows: list[dict[str, object]]) -> str:
    """Rows as a Markdown table; the columns are those of all rows, in the order in which they first appear."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names), *([cell(row.get(n, "")) for n in names] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


# Their values are folders of the machine at hand, which say nothing to others.
FOLDERS = {"--data": "FOLDER", "--cache": "", "--output": ""}
PACKAGES = ("spark_fm", "pyspark", "numpy", "numba", "pyarrow", "modern-fm", "myfm")


def command() -> str:
    """The command line of this run, as somebody else would type it."""
    module = getattr(sys.modules["__main__"].__spec__, "name", sys.argv[0])
    words, given = ["python", "-m", str(module)], iter(sys.argv[1:])
    for word in given:
        if word in FOLDERS:
            next(given)
            words += [word, FOLDERS[word]] if FOLDERS[word] else []
        else:
            words.append(word)
    return shlex.join(words)


def processor() -> str:
    """The name of the processor, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.machine()
    )


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that take part."""
    from spark_fm import __version__

    found = {"Python": platform.python_version(), "spark_fm": __version__}
    for package in PACKAGES[1:]:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def publish(
    name: str,
    tables: Iterable[tuple[str, list[dict[str, object]]]],
    folder: str,
    others: float | None = None,
) -> None:
    """Print the tables and write them to ``folder/name.json``, with command, date, machine and versions.

    ``others`` is the part of the processors that others have used, where this process can't tell.

    ``python -m benchmarks.readme`` makes the tables and charts of the documentation from the files in
    benchmarks/results.
    """
    titled = {title: rows for title, rows in tables if rows}
    about = {
        "command": command(),
        "date": date.today().isoformat(),
        "machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": versions(),
        "others' part of the processors": round(OTHERS.share() if others is None else others, 3),
    }
    path = Path(folder) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**about, "tables": titled}, indent=1) + "\n")
    text = "\n\n".join(f"### {title}\n\n{markdown(rows)}" for title, rows in titled.items())
    show(f"\n{text}\n\n{about['machine']}\nwritten to {path}")
