"""The metadata of a saved model or estimator: one line of JSON for each save, of which the latest counts.

A save first writes what is large, into folders with a name of their own, and then adds its line. So a save that fails
leaves what was there, and saves at the same time never mix.
"""

import json
import math
import random
import time
from contextlib import suppress
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_fm.engine.cluster.execute import JOB_ERRORS, collect

ATTEMPTS, LONGEST_WAIT = 8, 0.5
NUMBERS = {"parameterRows": int, "factorSize": int, "numFeatures": int, "intercept": float}


def read_lines(spark: SparkSession, path: str) -> list[dict[str, Any]]:
    """The metadata of all saves that a folder knows, the latest first.

    Raises
    ------
    ValueError
        When there are none, or they are no JSON objects.
    """
    rows = collect(spark.read.text(f"{path}/metadata").select(F.col("value").alias("line")))
    lines = [json.loads(row["line"]) for row in rows]
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
    for name, kind in NUMBERS.items():
        value = metadata.get(name)
        if kind is int and (type(value) is not int or value < 0):
            raise ValueError(f"found {value!r} for {name}, expected an integer >= 0")
        if kind is float and not (isinstance(value, float) and math.isfinite(value)):
            raise ValueError(f"found {value!r} for {name}, expected a finite number")
