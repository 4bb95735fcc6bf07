"""A model's weights as a Parquet table, written and read by the workers."""

import zlib
from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from spark_fm.core.fm.weights import Weights
from spark_fm.engine.cluster.broadcast import Shipped, ship
from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.cluster.worker_process import task

ROWS_A_FILE = 2**20
ROWS_A_BATCH = 2**16

DATA_DDL = "feature bigint, linear float, factors array<float>"
CHUNK_DDL = "features binary, linear binary, factors binary"
CHUNK = pa.schema([("features", pa.binary()), ("linear", pa.binary()), ("factors", pa.binary())])


@task
def _write_rows(batches: Iterator[pa.RecordBatch], weights: Shipped[Weights]) -> Iterator[pa.RecordBatch]:
    model = weights.get()
    size = model.factors.shape[1]
    for batch in batches:
        for first in batch.column("id").to_pylist():
            for start in range(first, min(first + ROWS_A_FILE, model.features.size), ROWS_A_BATCH):
                rows = slice(start, min(start + ROWS_A_BATCH, first + ROWS_A_FILE))
                features = model.features[rows]
                offsets = np.arange(features.size + 1, dtype=np.int32) * size
                factors = pa.ListArray.from_arrays(pa.array(offsets), pa.array(model.factors[rows].ravel()))
                yield pa.RecordBatch.from_arrays(
                    [pa.array(features), pa.array(model.linear[rows]), factors],
                    ["feature", "linear", "factors"],
                )


@task
def _read_rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if any(column.null_count for column in batch.columns):
            raise ValueError("found a null, expected the parameters of a feature in each row")
        row = {
            "features": batch.column("feature").to_numpy(zero_copy_only=False).tobytes(),
            "linear": batch.column("linear").to_numpy(zero_copy_only=False).tobytes(),
            "factors": batch.column("factors").flatten().to_numpy(zero_copy_only=False).tobytes(),
        }
        yield pa.RecordBatch.from_pylist([row], schema=CHUNK)


def bytes_of(features: int, factor_size: int) -> int:
    """How many bytes the parameters of so many features take on their way to the driver."""
    return features * (12 + 4 * factor_size)


def checksum(weights: Weights) -> int:
    """CRC-32 of a model's parameters, so that they are known again."""
    found = zlib.crc32(np.float64(weights.intercept).tobytes())
    for array in (weights.features, weights.linear, weights.factors):
        found = zlib.crc32(array.tobytes(), found)
    return found


def write_weights(spark: SparkSession, weights: Weights, path: str) -> None:
    """Write a model's weights as Parquet; the workers write, the driver's model is shipped to them."""
    files = max(1, -(-weights.features.size // ROWS_A_FILE))
    shipped = ship(spark, weights)
    try:
        starts = spark.range(0, files * ROWS_A_FILE, ROWS_A_FILE, files)
        rows = starts.mapInArrow(partial(_write_rows, weights=shipped), DATA_DDL)
        rows.write.parquet(path)
    finally:
        shipped.release()


def read_weights(data: DataFrame, factor_size: int, intercept: float) -> Weights:
    """The weights from the rows that :func:`write_weights` wrote."""
    rows = collect(data.select("feature", "linear", "factors").mapInArrow(_read_rows, CHUNK_DDL))
    empty = b""
    features = np.frombuffer(empty.join(r["features"] for r in rows), np.int64)
    linear = np.frombuffer(empty.join(r["linear"] for r in rows), np.float32)
    factors = np.frombuffer(empty.join(r["factors"] for r in rows), np.float32)
    order = np.argsort(features)
    factors = factors.reshape(features.size, factor_size)
    if np.unique(features).size != features.size or (features < 0).any():
        raise ValueError("found a feature twice or below 0")
    if not (np.isfinite(linear).all() and np.isfinite(factors).all() and np.isfinite(intercept)):
        raise ValueError("found a parameter that is not finite")
    return Weights(features[order], linear[order], factors[order], intercept)
