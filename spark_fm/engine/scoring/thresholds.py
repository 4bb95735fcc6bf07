"""How many rows of each class a threshold of the probability takes in."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame

from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.cluster.worker_process import task

DoubleArray = npt.NDArray[np.float64]
THRESHOLDS = 1000
COUNTS_DDL = "positive array<double>, negative array<double>"


def counts_by_threshold(rows: DataFrame) -> tuple[DoubleArray, DoubleArray, DoubleArray]:
    """Thresholds of the probability, descending, and the weights of the rows of label 1 and 0 at or above each.

    The thresholds are all probabilities that occur, or a thousand quantiles of them.

    Parameters
    ----------
    rows : the columns p, a probability, y, the label 0 or 1, and w, the weight: all double
    """
    some = np.array(rows.approxQuantile("p", np.linspace(0.0, 1.0, THRESHOLDS + 1).tolist(), 1e-4))
    thresholds = np.unique(some)
    found = collect(rows.mapInArrow(partial(_count, thresholds=thresholds), COUNTS_DDL))
    positive, negative = (
        np.sum([row[name] for row in found], axis=0)[::-1].cumsum() for name in ("positive", "negative")
    )
    return thresholds[::-1], positive, negative


@task
def _count(
    batches: Iterator[pa.RecordBatch], thresholds: npt.NDArray[np.float64]
) -> Iterator[pa.RecordBatch]:
    """The weights of rows of label 1 and of label 0, added up by the largest threshold that a row reaches."""
    for batch in batches:
        p, y, w = (batch.column(name).to_numpy(zero_copy_only=False) for name in ("p", "y", "w"))
        place = np.maximum(np.searchsorted(thresholds, p, side="right") - 1, 0)
        yield pa.RecordBatch.from_pylist(
            [
                {
                    "positive": np.bincount(place, w * y, thresholds.size).tolist(),
                    "negative": np.bincount(place, w * (1.0 - y), thresholds.size).tolist(),
                }
            ]
        )
