"""A model as a Parquet table, a row for each feature, written and read by the workers."""

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from spark_fm.core.fm.interactions import Moments
from spark_fm.core.fm.optimizer_state import OptimizerState
from spark_fm.core.fm.posterior import Posterior
from spark_fm.core.fm.weights import Weights
from spark_fm.engine.cluster.broadcast import Shipped, ship
from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.cluster.worker_process import task

ROWS_A_FILE = 2**20
ROWS_A_BATCH = 2**16

COLUMNS = {"feature": "bigint", "linear": "float", "factors": "array<float>"}
LABEL = {"label": "string"}
MOMENTS = {"mean": "float", "root_mean_square": "float"}
SAMPLES = {"samples": "array<float>"}
# Roots of AdaGrad's sums of squared gradients.
OPTIMIZER = {"linear_gradient": "float", "factors_gradient": "float"}
NUMBERS = (*MOMENTS, *OPTIMIZER)
CHUNK_COLUMNS = ("features", "linear", "factors", "labels", *NUMBERS, *SAMPLES)
CHUNK_DDL = ", ".join(f"{name} binary" for name in CHUNK_COLUMNS)
CHUNK = pa.schema([(name, pa.binary()) for name in CHUNK_COLUMNS])


@dataclass(frozen=True)
class ModelTable:
    """What a model says of each feature.

    Attributes
    ----------
    weights : the parameters
    labels : in the order of the features, None where one has no name; or None where none has
    moments : of the features' values, where they are known
    posterior : samples, where they were kept
    """

    weights: Weights
    labels: list[str | None] | None = None
    moments: Moments | None = None
    posterior: Posterior | None = None

    @property
    def columns(self) -> list[str]:
        """The names of the table's columns."""
        return [
            *COLUMNS,
            *(LABEL if self.labels is not None else ()),
            *(MOMENTS if self.moments else ()),
            *(OPTIMIZER if self.weights.optimizer else ()),
            *(SAMPLES if self.posterior else ()),
        ]

    def rows(self, some: slice) -> pa.RecordBatch:
        """Some of its rows."""
        weights, size = self.weights, self.weights.factors.shape[1]
        features = weights.features[some]
        offsets = np.arange(features.size + 1, dtype=np.int32) * size
        factors = pa.ListArray.from_arrays(pa.array(offsets), pa.array(weights.factors[some].ravel()))
        arrays = [pa.array(features), pa.array(weights.linear[some]), factors]
        if self.labels is not None:
            arrays.append(pa.array(self.labels[some], pa.string()))
        if self.moments is not None:
            arrays += [pa.array(a[some]) for a in (self.moments.mean, self.moments.root_mean_square)]
        if weights.optimizer is not None:
            arrays += [pa.array(column) for column in weights.optimizer.roots[some].T]
        if self.posterior is not None:
            samples = self.posterior.samples[some].reshape(features.size, -1)
            ends = np.arange(features.size + 1, dtype=np.int32) * samples.shape[1]
            arrays.append(pa.ListArray.from_arrays(pa.array(ends), pa.array(samples.ravel())))
        return pa.RecordBatch.from_arrays(arrays, self.columns)


@task
def _write_rows(batches: Iterator[pa.RecordBatch], table: Shipped[ModelTable]) -> Iterator[pa.RecordBatch]:
    model = table.get()
    for batch in batches:
        for first in batch.column("id").to_pylist():
            last = min(first + ROWS_A_FILE, model.weights.features.size)
            for start in range(first, last, ROWS_A_BATCH):
                yield model.rows(slice(start, min(start + ROWS_A_BATCH, last)))


@task
def _read_rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if any(batch.column(name).null_count for name in batch.schema.names if name not in LABEL):
            raise ValueError("found a null, expected the parameters of a feature in each row")
        row = {
            "features": batch.column("feature").to_numpy(zero_copy_only=False).tobytes(),
            "linear": batch.column("linear").to_numpy(zero_copy_only=False).tobytes(),
            "factors": batch.column("factors").flatten().to_numpy(zero_copy_only=False).tobytes(),
        }
        names = batch.schema.names
        if "label" in names:
            row["labels"] = json.dumps(batch.column("label").to_pylist()).encode()
        row |= {name: batch.column(name).to_numpy().tobytes() for name in NUMBERS if name in names}
        if "samples" in names:
            row["samples"] = batch.column("samples").flatten().to_numpy(zero_copy_only=False).tobytes()
        yield pa.RecordBatch.from_pylist([row], schema=CHUNK)


def bytes_of(features: int, factor_size: int, sampled: int = 0) -> int:
    """How many bytes the numbers of so many features take on their way to the driver, at most; each has so many
    ``sampled`` ones.
    """
    return features * (28 + 4 * factor_size + 4 * sampled)


def checksum(weights: Weights, posterior: Posterior | None = None) -> int:
    """CRC-32 of a model's parameters, so that they are known again."""
    found = zlib.crc32(np.float64(weights.intercept).tobytes())
    for array in (weights.features, weights.linear, weights.factors):
        found = zlib.crc32(array.tobytes(), found)
    if weights.optimizer is not None:
        found = zlib.crc32(np.float64(weights.optimizer.intercept).tobytes(), found)
        found = zlib.crc32(weights.optimizer.roots.tobytes(), found)
    if posterior is not None:
        found = zlib.crc32(posterior.samples.tobytes(), found)
    return found


def names_checksum(table: ModelTable) -> int:
    """CRC-32 of what a table says of features beside their parameters: names, and what is known of their values."""
    found = zlib.crc32(json.dumps(table.labels).encode())
    for array in (table.moments.mean, table.moments.root_mean_square) if table.moments else ():
        found = zlib.crc32(array.tobytes(), found)
    return found


def ddl_of(columns: Iterable[str]) -> str:
    """The schema of a table's columns, as Spark reads it."""
    kinds = COLUMNS | LABEL | MOMENTS | OPTIMIZER | SAMPLES
    return ", ".join(f"{name} {kinds[name]}" for name in columns)


def write_table(spark: SparkSession, table: ModelTable, path: str) -> None:
    """Write a model as Parquet; the workers write, the driver's model is shipped to them."""
    files = max(1, -(-table.weights.features.size // ROWS_A_FILE))
    shipped = ship(spark, table)
    try:
        starts = spark.range(0, files * ROWS_A_FILE, ROWS_A_FILE, files)
        rows = starts.mapInArrow(partial(_write_rows, table=shipped), ddl_of(table.columns))
        rows.write.parquet(path)
    finally:
        shipped.release()


def read_table(
    data: DataFrame,
    factor_size: int,
    intercept: float,
    noise: tuple[Sequence[float], Sequence[float]] = ((), ()),
    intercept_gradient: float = 0.0,
) -> ModelTable:
    """The model of the rows that :func:`write_table` wrote; what ``data`` has no column for is None.

    ``noise`` has the samples' intercepts and variances, ``intercept_gradient`` is of the optimizer's state.

    Raises
    ------
    ValueError
        When a feature is there twice or below 0, or a number is not finite.
    """
    rows = collect(data.mapInArrow(_read_rows, CHUNK_DDL))
    features = np.frombuffer(b"".join(row["features"] for row in rows), np.int64)
    order = np.argsort(features)

    def numbers(name: str, columns: int) -> npt.NDArray[np.float32]:
        found = np.frombuffer(b"".join(row[name] for row in rows), np.float32)
        if not np.isfinite(found).all():
            raise ValueError("found a parameter that is not finite")
        return found.reshape(features.size, columns)[order]

    if np.unique(features).size != features.size or (features < 0).any():
        raise ValueError("found a feature twice or below 0")
    if not np.isfinite(intercept):
        raise ValueError("found a parameter that is not finite")
    optimizer = None
    if set(OPTIMIZER) <= set(data.columns):
        roots = np.concatenate([numbers(name, 1) for name in OPTIMIZER], axis=1)
        if not (np.isfinite(intercept_gradient) and (roots >= 0.0).all()):
            raise ValueError("found a state of the optimizer that is below 0 or not finite")
        optimizer = OptimizerState(roots, intercept_gradient)
    weights = Weights(
        features[order], numbers("linear", 1)[:, 0], numbers("factors", factor_size), intercept, optimizer
    )
    labels, moments = None, None
    if "label" in data.columns:
        found = [label for row in rows for label in json.loads(row["labels"])]
        labels = [found[i] for i in order.tolist()]
    if "mean" in data.columns:
        moments = Moments(*(numbers(name, 1)[:, 0] for name in MOMENTS))
    posterior = None
    if "samples" in data.columns:
        intercepts, variances = (np.array(one, np.float64) for one in noise)
        if not (
            np.isfinite(intercepts).all() and (variances > 0.0).all() and intercepts.size == variances.size
        ):
            raise ValueError("found samples without finite intercepts and variances above 0")
        found_samples = np.frombuffer(b"".join(row["samples"] for row in rows), np.float32)
        if not np.isfinite(found_samples).all():
            raise ValueError("found a parameter that is not finite")
        posterior = Posterior(
            found_samples.reshape(features.size, intercepts.size, -1)[order], intercepts, variances
        )
    return ModelTable(weights, labels, moments, posterior)
