"""The metadata of a saved model or estimator: one line of JSON for each save, of which the latest counts.

A save first writes what is large, into folders with a name of their own, and then adds its line. So a save that fails
leaves what was there, and saves at the same time never mix. The line has a checksum of its entries, a seal.
"""

import json
import math
import random
import re
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_fm.engine.cluster.execute import JOB_ERRORS, collect
from spark_fm.engine.cluster.said import said

ATTEMPTS, LONGEST_WAIT = 8, 0.5
COUNTS, LATER_COUNTS = ("parameterRows", "factorSize", "numFeatures"), ("sampledNumbers", "labelBytes")
SEAL = "metadataChecksum"


@contextmanager
def readable(path: str, what: str) -> Iterator[None]:
    """Whatever reading a damaged part of a folder raises, as a ValueError of one sentence.

    A RuntimeError is none of the folder's: the workers lack a package, or the like.
    """
    try:
        yield
    except RuntimeError:
        raise
    except Exception as error:  # What a damaged file raises depends on where Spark notices it.
        found = said(error)
        if not isinstance(error, ValueError) or not found.startswith("found "):
            kind = "" if isinstance(error, (ValueError, *JOB_ERRORS)) else f"{type(error).__name__}: "
            found = f"{what} can't be read: {kind}{found}"
        raise ValueError(f"{path} is damaged: {found}") from None


def folders_of(save: str | None) -> tuple[str, str]:
    """The folders of a save: a model's parameters, and an estimator's initial model. The first format had no names.

    Raises
    ------
    ValueError
        When it is no name that a save has: it may lead anywhere.
    """
    if save is None:
        return "data", "initialModel"
    if not isinstance(save, str) or not re.fullmatch("[0-9a-f]{32}", save):
        raise ValueError(f"found {save!r} for save, expected 32 hexadecimal digits")
    return f"data-{save}", f"initialModel-{save}"


def sealed(line: str) -> str:
    """Metadata with their seal."""
    entries: dict[str, Any] = json.loads(line)
    return json.dumps(entries | {SEAL: _checksum(entries)})


def check_seal(path: str, metadata: dict[str, Any]) -> None:
    """Whether metadata are those that were saved; those of version 0.2 have no seal.

    Raises
    ------
    ValueError
        When they are not.
    """
    if SEAL in metadata and metadata[SEAL] != _checksum(metadata):
        raise ValueError(f"{path} is damaged: found other metadata than those that were saved")


def _checksum(entries: dict[str, Any]) -> int:
    kept = {name: value for name, value in entries.items() if name != SEAL}
    return zlib.crc32(json.dumps(kept, sort_keys=True).encode())


def read_lines(spark: SparkSession, path: str) -> list[dict[str, Any]]:
    """The metadata of all saves that a folder knows, the latest first.

    Raises
    ------
    ValueError
        When there are none, or they are no JSON objects.
    """
    rows = collect(spark.read.text(f"{path}/metadata").select(F.col("value").alias("line")))
    try:
        lines = [json.loads(row["line"]) for row in rows]
    except (ValueError, RecursionError):
        lines = []
    if not lines or not all(isinstance(line, dict) for line in lines):
        raise ValueError("found no JSON object")
    return sorted(lines, key=lambda line: (line.get("timestamp", 0), str(line.get("save"))), reverse=True)


def add_line(spark: SparkSession, path: str, line: str, save: str) -> None:
    """Add the metadata of a save.

    Raises
    ------
    RuntimeError
        When others save to the same path at the same time, again and again.
    PySparkException
        When it can't be written.
    """
    frame = spark.createDataFrame([(line,)], "value string").coalesce(1)
    for attempt in range(ATTEMPTS):
        # Two that add at once share a temporary folder, which the first to end removes: then it is done again.
        try:
            frame.write.mode("append").text(f"{path}/metadata")
        except JOB_ERRORS:
            if attempt + 1 == ATTEMPTS:
                raise
        with suppress(*JOB_ERRORS, ValueError):
            if any(known.get("save") == save for known in read_lines(spark, path)):
                return
        time.sleep(random.uniform(0.0, LONGEST_WAIT))
    raise RuntimeError(f"{path}: others save to it at the same time, expected one at a time")


def check_numbers(metadata: dict[str, Any]) -> None:
    """Whether a model's metadata have the numbers that its parameters need.

    Raises
    ------
    ValueError
        Naming the entry, what was found and what was expected.
    """
    for name in (*COUNTS, *(later for later in LATER_COUNTS if later in metadata)):
        value = metadata.get(name)
        if type(value) is not int or value < 0:
            raise ValueError(f"found {value!r} for {name}, expected an integer >= 0")
    intercept = metadata.get("intercept")
    if not isinstance(intercept, float) or not math.isfinite(intercept):
        raise ValueError(f"found {intercept!r} for intercept, expected a finite number")
