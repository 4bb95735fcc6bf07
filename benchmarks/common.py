"""What the benchmarks share: a local Spark session, and results as a table in Markdown and JSON."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

T = TypeVar("T")


def spark_session(cores: int = 2, memory: str = "6g") -> Any:
    """A local Spark session on 127.0.0.1 whose workers run this Python."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    spark = (
        SparkSession.builder.master(f"local[{cores}]")
        .appName("spark_fm benchmark")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", memory)
        .getOrCreate()
    )
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
    made.add_argument("--output", default="benchmarks/results", help="folder for the .md and .json files")
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


def publish(name: str, tables: Iterable[tuple[str, list[dict[str, object]]]], folder: str) -> None:
    """Print the tables and write them to ``folder/name.md`` and ``.json``."""
    titled = [(title, rows) for title, rows in tables if rows]
    text = "\n\n".join(f"### {title}\n\n{markdown(rows)}" for title, rows in titled)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    (path / f"{name}.md").write_text(f"{text}\n\n{machine}\n")
    (path / f"{name}.json").write_text(json.dumps({"machine": machine, **dict(titled)}, indent=1))
    show(f"\n{text}\n\n{machine}\nwritten to {path / name}.md and .json")
