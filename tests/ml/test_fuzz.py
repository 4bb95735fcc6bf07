"""Any fit ends in a finite model whose predictions of its rows are finite, or in one sentence; and it ends.

The same examples every time. `make test-exhaustive` tries more; to search for new ones: HYPOTHESIS_PROFILE=thorough.
"""

import math
import re
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from pyspark.ml.linalg import VectorUDT
from pyspark.sql.types import BooleanType, DoubleType, StructField, StructType, _parse_datatype_string

from spark_fm import FMClassifier, FMRegressor
from tests.ml.fuzzed import TYPES, cases

RAW = re.compile(
    r"\n|\bat (java|org)\.|Traceback|py4j|JavaError|Exception\b"
    # What Python says of values that nobody checked.
    r"|unhashable|has no attribute|not subscriptable|unexpected keyword|not supported between|unsupported operand"
    r"|object is not|argument must be|out of range|invalid literal|could not broadcast|zip\(\)"
)
SECONDS = 120


@contextmanager
def ended_after(seconds: int) -> Iterator[None]:
    def late(*_: Any) -> None:
        raise AssertionError(f"not ended after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def frame_of(spark, case):
    kind = VectorUDT() if TYPES[case["kind"]] is None else _parse_datatype_string(TYPES[case["kind"]])
    schema = StructType(
        [
            StructField("features", kind),
            StructField("label", DoubleType()),
            StructField("w", DoubleType()),
            StructField("held", BooleanType()),
        ]
    )
    rows = spark.sparkContext.parallelize(case["rows"], case["slices"])
    return spark.createDataFrame(rows, schema)


def check(spark, case) -> None:
    with ended_after(SECONDS), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        frame = frame_of(spark, case)
        try:
            model = (FMClassifier if case["binary"] else FMRegressor)(**case["params"]).fit(frame)
        except (ValueError, TypeError) as error:
            said = str(error)
        else:
            said = ""
            check_model(model, frame, len(case["rows"]))
        assert not RAW.search(said), said


def check_model(model, frame, rows) -> None:
    weights = model.weights
    assert math.isfinite(weights.intercept)
    assert np.isfinite(weights.linear).all()
    assert np.isfinite(weights.factors).all()
    scored = model.transform(frame).collect()
    assert len(scored) == rows
    assert all(math.isfinite(row.prediction) for row in scored)


@given(case=cases())
@settings(max_examples=40)
def test_fits(spark, case):
    check(spark, case)


@pytest.mark.exhaustive
@pytest.mark.timeout(3000)
@given(case=cases())
@settings(max_examples=500)
def test_many_fits(spark, case):
    check(spark, case)
