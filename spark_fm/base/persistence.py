"""Models and estimators on disk: JSON metadata and Parquet, written and read by Spark.

A model's folder holds ``metadata`` (lines of JSON as pyspark.ml writes them, with the intercept, the number of
features, the fields, the training summary and a format version) and ``data-<save>`` (Parquet with the columns
``feature`` bigint, ``linear`` float and ``factors`` array<float>, where features have names ``label`` string, and of
their values ``mean`` and ``root_mean_square`` float, readable with SQL), where the metadata say which ``save``. There
is no pickle. Saving over a model replaces it as a whole: until the last step the old one is there, afterwards the new
one.
"""

import uuid
from contextlib import suppress
from typing import Any

from pyspark.ml.param import Params
from pyspark.ml.util import (
    DefaultParamsReader,
    DefaultParamsWriter,
    MLReadable,
    MLReader,
    MLWritable,
    MLWriter,
)

from spark_fm.base.summary import FMTrainingSummary
from spark_fm.core.fm.fields import FieldLayout
from spark_fm.engine.cluster.driver_limits import check_collected, driver_limits
from spark_fm.engine.cluster.folders import exists, files, holds_something, remove, told
from spark_fm.engine.cluster.said import said
from spark_fm.engine.cluster.saved import (
    add_line,
    check_numbers,
    check_seal,
    folders_of,
    read_lines,
    readable,
    sealed,
)
from spark_fm.engine.scoring.model_table import (
    COLUMNS,
    ModelTable,
    bytes_of,
    checksum,
    ddl_of,
    names_checksum,
    read_table,
    write_table,
)

FORMAT_VERSION = 3
OWN_CLASSES = "spark_fm."


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
        OSError
            When the file system refuses.
        """
        if holds_something(self.sparkSession, path) and not self.shouldOverwrite:
            raise FileExistsError(
                f"there is already something at {path}; write().overwrite().save(...) replaces it"
            )
        self.saveImpl(path)

    def saveImpl(self, path: str) -> None:
        """Write the weights of a model, and metadata."""
        spark, save = self.sparkSession, uuid.uuid4().hex
        before = self._made_ready(path)
        try:
            with told(path):
                add_line(spark, path, sealed(self._written(path, save)), save)
        except BaseException:
            with suppress(OSError):
                for name in folders_of(save):
                    remove(spark, f"{path}/{name}")
            raise
        with suppress(OSError):
            for found in before:
                remove(spark, found)

    def _made_ready(self, path: str) -> list[str]:
        """What to remove when the save is done: the files and folders of earlier saves. Anything else goes at once."""
        spark = self.sparkSession
        if not holds_something(spark, path):
            return []
        lines = []
        if exists(spark, f"{path}/metadata"):
            # Metadata that are none may be removed; what can't be read at the moment may not.
            with told(path), suppress(ValueError):
                lines = read_lines(spark, path)
        if not lines or not all(str(line.get("class")).startswith(OWN_CLASSES) for line in lines):
            remove(spark, path)
            return []
        folders: set[str] = set()
        for line in lines:
            with suppress(ValueError):
                folders.update(folders_of(line.get("save")))
        return [*files(spark, f"{path}/metadata"), *(f"{path}/{name}" for name in folders)]

    def _written(self, path: str, save: str) -> str:
        """Write all but the metadata; gives these."""
        instance, spark = self.instance, self.sparkSession
        data, beside = folders_of(save)
        param_map = {p.name: v for p, v in instance._paramMap.items()}
        initial = param_map.pop("initialModel", None)
        extra: dict[str, Any] = {"formatVersion": FORMAT_VERSION, "save": save}
        if hasattr(instance, "weights"):
            weights, table = instance.weights, instance._table()
            write_table(spark, table, f"{path}/{data}")
            extra |= {
                "intercept": weights.intercept,
                "numFeatures": instance.numFeatures,
                "factorSize": weights.factors.shape[1],
                "parameterRows": weights.features.size,
                "checksum": checksum(weights, table.posterior),
                "namesChecksum": names_checksum(table),
                "columns": table.columns,
                "labelBytes": sum(len(label or "") for label in table.labels or ()),
                "fields": instance.fields.to_json() if instance.fields is not None else None,
                "summary": instance.summary.to_json() if instance.hasSummary else None,
            }
            if weights.optimizer is not None:
                extra["interceptGradient"] = weights.optimizer.intercept
            if table.posterior is not None:
                extra["sampledNumbers"] = table.posterior.samples[0].size if weights.features.size else 0
                extra["sampleIntercepts"] = table.posterior.intercepts.tolist()
                extra["sampleVariances"] = table.posterior.variances.tolist()
        extra["hasInitialModel"] = initial is not None
        if initial is not None:
            initial.write().session(spark).save(f"{path}/{beside}")
            extra["initialModelChecksum"] = checksum(initial.weights)
        made: str = DefaultParamsWriter._get_metadata_to_save(instance, spark, extra, param_map)
        return made


class FMReader(MLReader[Any]):
    """Reads what :class:`FMWriter` wrote."""

    newest = FORMAT_VERSION

    def __init__(self, cls: type[Params]) -> None:
        super().__init__()
        self.cls = cls

    def load(self, path: str) -> Any:
        """Read from a path.

        Raises
        ------
        ValueError
            When the folder is damaged, of another class, or of a newer format; when its parameters are more than
            Spark's settings let the driver collect.
        """
        metadata = self._metadata(path)
        try:
            return self._read(path, metadata)
        except ValueError:
            # Somebody may have saved over it in the meantime.
            again = self._metadata(path)
            if again.get("save") == metadata.get("save"):
                raise
            return self._read(path, again)

    def _metadata(self, path: str) -> dict[str, Any]:
        expected = f"{self.cls.__module__}.{self.cls.__name__}"
        try:
            metadata = read_lines(self.sparkSession, path)[0]
        except Exception as error:
            raise ValueError(
                f"{path} is not a saved {expected}: its metadata folder can't be read: {said(error)}"
            ) from None
        found = metadata.get("class")
        if found != expected:
            raise ValueError(f"{path} holds a {found}, expected a {expected}")
        version = metadata.get("formatVersion")
        if type(version) is not int or not 1 <= version <= self.newest:
            raise ValueError(
                f"{path} has the format version {version}, expected 1 to {self.newest}; "
                "a newer spark_fm may read it"
            )
        check_seal(path, metadata)
        return metadata

    def _read(self, path: str, metadata: dict[str, Any]) -> Any:
        instance: Any = self.cls()
        with readable(path, "its metadata"):
            data, beside = folders_of(metadata.get("save"))
            instance._resetUid(metadata["uid"])
            DefaultParamsReader.getAndSetParams(instance, metadata)
            if metadata.get("summary") is not None:
                instance._summary = FMTrainingSummary.from_json(metadata["summary"])
        if hasattr(instance, "weights"):
            table = self._table(path, data, metadata)
            instance._weights, instance._moments = table.weights, table.moments
            instance._posterior = table.posterior
            instance._num_features = metadata["numFeatures"]
            with readable(path, "its fields"):
                instance._fields = _fields(metadata, table)
        elif metadata.get("hasInitialModel"):
            initial = FMReader(instance._model_class()).session(self.sparkSession).load(f"{path}/{beside}")
            if metadata.get("initialModelChecksum", checksum(initial.weights)) != checksum(initial.weights):
                raise ValueError(
                    f"{path} is damaged: found another initial model than the one that was saved"
                )
            instance._set(initialModel=initial)
        return instance

    def _table(self, path: str, folder: str, metadata: dict[str, Any]) -> ModelTable:
        with readable(path, "its metadata"):
            check_numbers(metadata)
        rows, size = metadata["parameterRows"], metadata["factorSize"]
        collected = bytes_of(rows, size, metadata.get("sampledNumbers", 0)) + metadata.get("labelBytes", 0)
        check_collected(driver_limits(self.sparkSession), collected, f"the model at {path}")
        with readable(path, "its parameters"):
            columns = ddl_of(metadata.get("columns", COLUMNS))
            data = self.sparkSession.read.schema(columns).parquet(f"{path}/{folder}")
            noise = metadata.get("sampleIntercepts", []), metadata.get("sampleVariances", [])
            gradient = float(metadata.get("interceptGradient", 0.0))
            table = read_table(data, size, metadata["intercept"], noise, gradient)
            _check_table(metadata, table)
        return table


def _check_table(metadata: dict[str, Any], table: ModelTable) -> None:
    """Whether a table is the one that was saved with the metadata.

    Raises
    ------
    ValueError
        When it is not.
    """
    features, rows = table.weights.features, metadata["parameterRows"]
    if features.size != rows:
        raise ValueError(f"found the parameters of {features.size} features, expected {rows}")
    if rows and features[-1] >= metadata["numFeatures"]:
        raise ValueError(
            f"found the feature {features[-1]}, expected less than numFeatures, {metadata['numFeatures']}"
        )
    if "checksum" in metadata and checksum(table.weights, table.posterior) != metadata["checksum"]:
        raise ValueError("found other parameters than those that were saved")
    if "namesChecksum" in metadata and names_checksum(table) != metadata["namesChecksum"]:
        raise ValueError("found other names or moments of features than those that were saved")


def _fields(metadata: dict[str, Any], table: ModelTable) -> FieldLayout | None:
    """The fields and names of a model; models of formats 1 and 2 have none."""
    if metadata.get("fields") is None:
        return None
    ids, labels = table.weights.features.tolist(), table.labels or []
    fields = FieldLayout.of_json(metadata["fields"], {}).fields
    return FieldLayout.of_labels(
        fields, {i: label for i, label in zip(ids, labels, strict=True) if label is not None}
    )


class FMPersistable(Params, MLWritable, MLReadable[Any]):
    """Gives an estimator or a model ``write()``, ``save(path)``, ``read()`` and ``load(path)``."""

    def write(self) -> FMWriter:
        """A writer: ``write().overwrite().save(path)``."""
        return FMWriter(self)

    @classmethod
    def read(cls) -> FMReader:
        """A reader: ``read().load(path)``."""
        return FMReader(cls)
