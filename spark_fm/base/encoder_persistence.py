"""An encoder on disk: metadata as models have them, with its fields, and Parquet with the values of these.

The Parquet of a fitted encoder has the columns ``field`` int, ``position`` int, ``key`` bigint (the hash), ``count``
bigint and ``value`` string (null where the name was not kept).
"""

import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.ml.param import Params
from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLReadable, MLWritable
from pyspark.sql import SparkSession

from spark_fm.base.persistence import FMReader, FMWriter
from spark_fm.engine.cluster.execute import collect_batches
from spark_fm.engine.cluster.saved import folders_of, readable
from spark_fm.engine.encoding.fields import FORMAT, EncodedField, Vocabulary

VALUES_DDL = "field int, position int, key bigint, count bigint, value string"
ROWS_A_FRAME = 1_000_000


class EncoderWriter(FMWriter):
    """Writes an encoder or its model."""

    def _written(self, path: str, save: str) -> str:
        instance = self.instance
        extra: dict[str, Any] = {"formatVersion": FORMAT, "save": save}
        if hasattr(instance, "encoded"):
            # An encoder of an earlier format keeps its rules, however often it is saved.
            extra["formatVersion"] = min((one.format for one in instance.encoded), default=FORMAT)
            write_values(self.sparkSession, instance.encoded, f"{path}/{folders_of(save)[0]}")
            extra |= {
                "salt": instance.salt,
                "encoded": [_plain(one) for one in instance.encoded],
                "checksum": checksum(instance.encoded),
            }
        made: str = DefaultParamsWriter._get_metadata_to_save(instance, self.sparkSession, extra)
        return made


class EncoderReader(FMReader):
    """Reads what :class:`EncoderWriter` wrote."""

    newest = FORMAT

    def _read(self, path: str, metadata: dict[str, Any]) -> Any:
        instance: Any = self.cls()
        with readable(path, "its metadata"):
            folder, _ = folders_of(metadata.get("save"))
            instance._resetUid(metadata["uid"])
            DefaultParamsReader.getAndSetParams(instance, metadata)
            if not hasattr(instance, "encoded"):
                return instance
            fields = [_of_plain(one, metadata["formatVersion"]) for one in metadata["encoded"]]
            instance.salt = int(metadata["salt"])
        with readable(path, "its values"):
            instance.encoded = read_values(self.sparkSession, fields, metadata["encoded"], f"{path}/{folder}")
            if checksum(instance.encoded) != metadata.get("checksum"):
                raise ValueError("found other values than those that were saved")
        return instance


def _plain(one: EncodedField) -> dict[str, Any]:
    return {
        "name": one.name, "kind": one.kind, "columns": list(one.columns), "options": dict(one.options),
        "sorts": list(one.sorts), "first": one.first, "size": one.size, "edges": list(one.edges),
        "kept": one.vocabulary.kept, "values": one.vocabulary.keys.size,
    }  # fmt: skip


def _of_plain(one: dict[str, Any], version: int) -> EncodedField:
    return EncodedField(
        one["name"], one["kind"], tuple(one["columns"]), one["options"], tuple(one.get("sorts", ())),
        int(one["first"]), int(one["size"]), edges=tuple(one["edges"]), format=version,
    )  # fmt: skip


def checksum(fields: tuple[EncodedField, ...]) -> int:
    """CRC-32 of all values."""
    total = 0
    for one in fields:
        vocabulary = one.vocabulary
        for array in (vocabulary.keys, vocabulary.counts):
            total = zlib.crc32(array.tobytes(), total)
        total = zlib.crc32("\0".join(vocabulary.values).encode(), total)
    return total


def write_values(spark: SparkSession, fields: tuple[EncodedField, ...], path: str) -> None:
    """Write the values of all fields, some at a time."""
    spark.createDataFrame([], VALUES_DDL).write.parquet(path)
    for number, one in enumerate(fields):
        vocabulary = one.vocabulary
        for first in range(0, vocabulary.keys.size, ROWS_A_FRAME):
            some = slice(first, first + ROWS_A_FRAME)
            keys, names = vocabulary.keys[some], list(vocabulary.values[some])
            frame = pd.DataFrame(
                {
                    "field": np.full(keys.size, number, np.int32),
                    "position": np.arange(first, first + keys.size, dtype=np.int32),
                    "key": keys,
                    "count": vocabulary.counts[some],
                    "value": pd.Series([*names, *[None] * (keys.size - len(names))], dtype=object),
                }
            )
            spark.createDataFrame(frame, VALUES_DDL).coalesce(1).write.mode("append").parquet(path)


def read_values(
    spark: SparkSession, fields: list[EncodedField], metadata: list[dict[str, Any]], path: str
) -> tuple[EncodedField, ...]:
    """The fields with their values.

    Raises
    ------
    ValueError
        When there are not as many as the metadata say.
    """
    batches = collect_batches(spark.read.schema(VALUES_DDL).parquet(path))
    table = pa.Table.from_batches(batches) if batches else None
    made = []
    for number, (one, said) in enumerate(zip(fields, metadata, strict=True)):
        frame = pd.DataFrame({name: [] for name in ("position", "key", "count", "value")})
        if table is not None:
            here = table.filter(pa.compute.equal(table["field"], number)).sort_by("position")
            frame = here.to_pandas()
        if not np.array_equal(frame["position"].to_numpy(np.int64), np.arange(said["values"])):
            raise ValueError(f"field {one.name!r}: found {len(frame)} values, expected {said['values']}")
        names = tuple(str(value) for value in frame["value"] if value is not None)
        vocabulary = Vocabulary(
            frame["key"].to_numpy(np.int64), frame["count"].to_numpy(np.int64), int(said["kept"]), names
        )
        made.append(replace(one, vocabulary=vocabulary))
    return tuple(made)


class EncoderPersistable(Params, MLWritable, MLReadable[Any]):
    """Gives an encoder ``write()``, ``save(path)``, ``read()`` and ``load(path)``."""

    def write(self) -> EncoderWriter:
        """A writer: ``write().overwrite().save(path)``."""
        return EncoderWriter(self)

    @classmethod
    def read(cls) -> EncoderReader:
        """A reader: ``read().load(path)``."""
        return EncoderReader(cls)
