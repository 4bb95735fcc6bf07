"""Models and estimators on disk: JSON metadata and Parquet, written and read by Spark.

A model's folder holds ``metadata`` (JSON, as pyspark.ml writes it, with the intercept, the number of features and a
format version) and ``data`` (Parquet with the columns ``feature`` bigint, ``linear`` float and ``factors``
array<float>), readable with SQL. There is no pickle.
"""

from typing import Any

from pyspark.errors import PySparkException
from pyspark.ml.param import Params
from pyspark.ml.util import (
    DefaultParamsReader,
    DefaultParamsWriter,
    MLReadable,
    MLReader,
    MLWritable,
    MLWriter,
)
from pyspark.sql import SparkSession

from spark_fm.core.weights import Weights
from spark_fm.engine.table import DATA_DDL, read_weights, write_weights
from spark_fm.engine.transport import is_connect

FORMAT_VERSION = 1


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
        except RuntimeError:
            raise
        except Exception as error:  # What a damaged file raises depends on where Spark notices it.
            raise ValueError(f"{path} is damaged: its parameters can't be read") from error
        if weights.features.size != metadata["parameterRows"]:
            raise ValueError(
                f"{path} is damaged: found the parameters of {weights.features.size} features, "
                f"expected {metadata['parameterRows']}"
            )
        return weights


class FMPersistable(Params, MLWritable, MLReadable[Any]):
    """Gives an estimator or a model ``write()``, ``save(path)``, ``read()`` and ``load(path)``."""

    def write(self) -> FMWriter:
        """A writer: ``write().overwrite().save(path)``."""
        return FMWriter(self)

    @classmethod
    def read(cls) -> FMReader:
        """A reader: ``read().load(path)``."""
        return FMReader(cls)
