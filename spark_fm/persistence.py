"""Models and estimators on disk: JSON metadata and Parquet, written and read by Spark.

A model's folder holds ``metadata`` (JSON, as pyspark.ml writes it, with the intercept, the number of features and a
format version) and ``data`` (Parquet with the columns ``feature`` bigint, ``linear`` float and ``factors``
array<float>), readable with SQL. There is no pickle.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.ml.param import Params
from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLReader, MLWriter
from pyspark.sql import DataFrame, SparkSession

from spark_fm.core.weights import Weights
from spark_fm.engine.jobs import collect
from spark_fm.engine.process import task
from spark_fm.engine.transport import Shipped, is_connect, ship

FORMAT_VERSION = 1
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


def write_weights(spark: SparkSession, weights: Weights, path: str, mode: str) -> None:
    """Write a model's weights as Parquet; the workers write, the driver's model is shipped to them."""
    files = max(1, -(-weights.features.size // ROWS_A_FILE))
    shipped = ship(spark, weights)
    try:
        starts = spark.range(0, files * ROWS_A_FILE, ROWS_A_FILE, files)
        rows = starts.mapInArrow(partial(_write_rows, weights=shipped), DATA_DDL)
        rows.write.mode(mode).parquet(path)
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


def _session(spark: SparkSession) -> Any:
    """What DefaultParamsWriter and -Reader take: the session from Spark 4, before it the context."""
    return spark if is_connect(spark) or spark.version >= "4" else spark.sparkContext


def path_exists(spark: SparkSession, path: str) -> bool:
    """Whether there is something at a path of any file system that Spark knows."""
    try:
        spark.read.text(path).schema  # noqa: B018  reading the schema lists the folder
    except PySparkException:
        return False
    return True


class FMWriter(MLWriter):
    """Writes an estimator or a model."""

    def __init__(self, instance: Any) -> None:
        super().__init__()
        self.instance = instance

    def save(self, path: str) -> None:
        """Write to a path of any file system that Spark knows.

        Raises
        ------
        FileExistsError
            When there is something at the path and ``overwrite()`` was not called.
        """
        exists = path_exists(self.sparkSession, path)
        if exists and not self.shouldOverwrite:
            raise FileExistsError(
                f"there is already something at {path}; write().overwrite().save(...) replaces it"
            )
        if exists and not is_connect(self.sparkSession):
            self._handleOverwrite(path)
        self.saveImpl(path)

    def saveImpl(self, path: str) -> None:
        """Write metadata, and the weights of a model."""
        instance, spark = self.instance, self.sparkSession
        initial = None
        param_map = {p.name: v for p, v in instance._paramMap.items()}
        if "initialModel" in param_map:
            initial = param_map.pop("initialModel")
        extra: dict[str, Any] = {"formatVersion": FORMAT_VERSION}
        if hasattr(instance, "weights"):
            extra |= {
                "intercept": instance.weights.intercept,
                "numFeatures": instance.numFeatures,
                "factorSize": instance.weights.factors.shape[1],
                "parameterRows": instance.weights.features.size,
            }
        extra["hasInitialModel"] = initial is not None
        mode = "overwrite" if self.shouldOverwrite else "errorifexists"
        metadata = DefaultParamsWriter._get_metadata_to_save(instance, spark, extra, param_map)
        line = spark.createDataFrame([(metadata,)], "value string").coalesce(1)
        line.write.mode(mode).text(f"{path}/metadata")
        if hasattr(instance, "weights"):
            write_weights(spark, instance.weights, f"{path}/data", mode)
        if initial is not None:
            writer = initial.write().session(spark)
            (writer.overwrite() if self.shouldOverwrite else writer).save(f"{path}/initialModel")


class FMReader(MLReader[Any]):
    """Reads what :class:`FMWriter` wrote."""

    def __init__(self, cls: type[Params]) -> None:
        super().__init__()
        self.cls = cls

    def load(self, path: str) -> Any:
        """Read from a path.

        Raises
        ------
        ValueError
            When the folder is damaged, of another class, or of a newer format.
        """
        spark = self.sparkSession
        expected = f"{self.cls.__module__}.{self.cls.__name__}"
        try:
            metadata = DefaultParamsReader.loadMetadata(path, _session(spark))
        except Exception as error:
            raise ValueError(
                f"{path} is not a saved {expected}: its metadata folder can't be read"
            ) from error
        found = metadata.get("class")
        if found != expected:
            raise ValueError(f"{path} holds a {found}, expected a {expected}")
        version = metadata.get("formatVersion")
        if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
            raise ValueError(
                f"{path} has the format version {version}, expected 1 to {FORMAT_VERSION}; "
                "a newer spark_fm may read it"
            )
        instance: Any = self.cls()
        instance._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(instance, metadata)
        if hasattr(instance, "weights"):
            instance._weights = self._weights(path, metadata)
            instance._num_features = int(metadata["numFeatures"])
        if metadata.get("hasInitialModel"):
            model_class = instance._model_class()
            instance._set(initialModel=FMReader(model_class).session(spark).load(f"{path}/initialModel"))
        return instance

    def _weights(self, path: str, metadata: dict[str, Any]) -> Weights:
        try:
            data = self.sparkSession.read.schema(DATA_DDL).parquet(f"{path}/data")
            weights = read_weights(data, int(metadata["factorSize"]), float(metadata["intercept"]))
        except (PySparkException, KeyError, ValueError) as error:
            raise ValueError(f"{path} is damaged: its parameters can't be read") from error
        if weights.features.size != metadata["parameterRows"]:
            raise ValueError(
                f"{path} is damaged: found the parameters of {weights.features.size} features, "
                f"expected {metadata['parameterRows']}"
            )
        return weights
