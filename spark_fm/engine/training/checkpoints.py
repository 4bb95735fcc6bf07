"""Checkpoints of a fit: what a driver that is started anew needs to go on, in a folder of any file system of Spark's.

There are two at most, ``even`` and ``odd``, Parquet each, written in turn: while one is written the other is whole. A
checkpoint has a row for its head, JSON, and rows for the pieces of its arrays; the head says how many bytes there must
be and their CRC-32, so that one that was half written is known as such.
"""

import json
import logging
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_fm.engine.cluster.broadcast import Shipped, context_of, ship
from spark_fm.engine.cluster.driver_limits import check_collected, driver_limits
from spark_fm.engine.cluster.execute import JOB_ERRORS, collect, stoppable
from spark_fm.engine.cluster.folders import drop, exists, told
from spark_fm.engine.cluster.worker_process import task

logger = logging.getLogger("spark_fm")

Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]

# Another number wherever a training loop that is run again would go another way.
FORMAT = 2
SLOTS = ("even", "odd")
BYTES_A_PIECE = 2**24
HEAD = ""
DDL = "name string, number int, data binary"
SCHEMA = pa.schema([("name", pa.string()), ("number", pa.int32()), ("data", pa.binary())])


@dataclass(frozen=True)
class Checkpoint:
    """What a solver wrote down: ``numbers`` that JSON takes, and ``arrays`` by name."""

    numbers: dict[str, Any]
    arrays: Arrays


@dataclass(frozen=True)
class _Head:
    """What comes first: of which fit it is, its place in the order of all, and what the arrays are."""

    key: dict[str, Any]
    written: int
    numbers: dict[str, Any]
    arrays: dict[str, dict[str, Any]]

    @classmethod
    def of_json(cls, text: str) -> "_Head":
        found = json.loads(text)
        return cls(found["key"], found["written"], found["numbers"], found["arrays"])


@task
def _write_pieces(
    batches: Iterator[pa.RecordBatch], arrays: Shipped[dict[str, npt.NDArray[Any]]], head: str
) -> Iterator[pa.RecordBatch]:
    pieces = _pieces(arrays.get())
    for batch in batches:
        for number in batch.column("id").to_pylist():
            if number == len(pieces):
                row: dict[str, Any] = {"name": HEAD, "number": 0, "data": head.encode()}
            else:
                name, nth = pieces[number]
                flat = arrays.get()[name].reshape(-1).view(np.uint8)
                data = flat[nth * BYTES_A_PIECE : (nth + 1) * BYTES_A_PIECE].tobytes()
                row = {"name": name, "number": nth, "data": data}
            yield pa.RecordBatch.from_pylist([row], schema=SCHEMA)


def _pieces(arrays: Arrays) -> list[tuple[str, int]]:
    return [(name, nth) for name, array in arrays.items() for nth in range(-(-array.nbytes // BYTES_A_PIECE))]


@dataclass
class Checkpoints:
    """The checkpoints of one fit, which ``key`` describes; one is due each ``interval`` epochs, none where it is -1."""

    spark: SparkSession
    folder: str
    interval: int
    key: dict[str, Any]
    _found: Checkpoint | None = None
    _written: int = 0
    _mine: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, spark: SparkSession, folder: str, interval: int, key: dict[str, Any]) -> "Checkpoints":
        """Look for a checkpoint to go on from; where there is none, see whether one can be written.

        Raises
        ------
        ValueError
            When the folder has the checkpoint of another fit, or the driver has no room for it.
        OSError
            When the file system refuses.
        """
        made = cls(spark, folder.rstrip("/"), interval, {"format": FORMAT} | key)
        heads = {slot: head for slot in SLOTS if (head := made._head(slot)) is not None}
        for slot, head in sorted(heads.items(), key=lambda item: -item[1].written):
            made._found = made._checkpoint(slot, head)
            if made._found is not None:
                # The next one takes the other place, where a damaged one may be.
                made._written = head.written
                logger.info("going on from the checkpoint in %s", made.folder)
                break
        if not heads and interval > 0:
            made._save(spark.range(0, 0, 1, 1), made._next())
        return made

    def resumed(self, solver: str) -> Checkpoint | None:
        """The checkpoint to go on from, if that solver wrote it."""
        if self._found is None or self._found.numbers["solver"] != solver:
            return None
        return self._found

    def due(self, epochs: int) -> bool:
        """Whether one is to be written after so many epochs."""
        return self.interval > 0 and epochs % self.interval == 0

    def write(self, solver: str, numbers: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Write a checkpoint in the place of the last but one; where the file system refuses, a warning says so, and
        the next one takes that place.

        Raises
        ------
        ValueError
            When another fit has written to the folder in the meantime.
        """
        whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        head = {
            "key": self.key,
            "written": self._written + 1,
            "numbers": {"solver": solver} | numbers,
            "arrays": {
                name: {"dtype": array.dtype.str, "shape": array.shape, "crc": zlib.crc32(array.data)}
                for name, array in whole.items()
            },
        }
        slot = self._next()
        try:
            if slot not in self._mine:
                self._head(slot)
                self._mine.add(slot)
            self._write(slot, json.dumps(head), whole)
        except OSError as error:
            warnings.warn(
                f"{error}; expected to write a checkpoint, the fit goes on without it", stacklevel=2
            )
        else:
            self._written += 1

    def clear(self) -> None:
        """Remove what this fit has written, or went on from: it has ended. A warning says what stays."""
        try:
            if self._mine or self._found is not None or all(self._head(slot) is None for slot in SLOTS):
                drop(self.spark, self.folder)
        except OSError as error:
            warnings.warn(f"checkpointDir: expected to remove the checkpoints, found {error}", stacklevel=2)
        except ValueError:
            logger.debug("another fit has written to %s in the meantime", self.folder)

    def _next(self) -> str:
        return SLOTS[(self._written + 1) % len(SLOTS)]

    def _write(self, slot: str, head: str, arrays: dict[str, npt.NDArray[Any]]) -> None:
        shipped = ship(self.spark, arrays)
        rows = len(_pieces(arrays)) + 1
        try:
            numbers = self.spark.range(0, rows, 1, rows)
            self._save(numbers.mapInArrow(partial(_write_pieces, arrays=shipped, head=head), DDL), slot)
        finally:
            shipped.release()

    def _save(self, rows: DataFrame, slot: str) -> None:
        with stoppable(context_of(self.spark)), told(f"checkpointDir: {self.folder}"):
            rows.write.mode("overwrite").parquet(f"{self.folder}/{slot}")

    def _head(self, slot: str) -> _Head | None:
        """The head of a checkpoint of this fit; None where there is none, or one that was half written.

        Raises
        ------
        ValueError
            When it is that of another fit.
        """
        path = f"{self.folder}/{slot}"
        if not exists(self.spark, path):
            return None
        try:
            rows = collect(self.spark.read.schema(DDL).parquet(path).where(F.col("name") == HEAD))
            texts = [row["data"].decode() for row in rows]
            if len(texts) != 1:
                return None
            head = _Head.of_json(texts[0])
        except (ValueError, KeyError, TypeError):
            return None
        except JOB_ERRORS:
            return None
        self._check(head)
        return head

    def _check(self, head: _Head) -> None:
        known = json.loads(json.dumps(self.key))
        for name in dict.fromkeys([*known, *head.key]):
            found, expected = head.key.get(name), known.get(name)
            if found != expected:
                what = f"other {name}" if name in ("rows", "initialModel") else f"{name} {found!r}"
                now = "" if name in ("rows", "initialModel") else f", expected {expected!r}"
                raise ValueError(
                    f"checkpointDir: {self.folder} has the checkpoint of a fit with {what}{now}; fit what was fitted "
                    "then to go on from it, or name another folder, or remove this one"
                )

    def _checkpoint(self, slot: str, head: _Head) -> Checkpoint | None:
        """All of a checkpoint; None where something of it is missing or damaged."""
        sizes = {
            name: int(np.prod(one["shape"])) * np.dtype(one["dtype"]).itemsize
            for name, one in head.arrays.items()
        }
        check_collected(driver_limits(self.spark), sum(sizes.values()), f"the checkpoint in {self.folder}")
        found = dict[str, list[tuple[int, bytes]]]()
        try:
            pieces = self.spark.read.schema(DDL).parquet(f"{self.folder}/{slot}").where(F.col("name") != HEAD)
            for row in collect(pieces):
                found.setdefault(row["name"], []).append((row["number"], row["data"]))
        except JOB_ERRORS:
            found.clear()
        arrays = dict[str, npt.NDArray[Any]]()
        for name, one in head.arrays.items():
            data = b"".join(piece for _, piece in sorted(found.pop(name, [])))
            if len(data) != sizes[name] or zlib.crc32(data) != one["crc"]:
                warnings.warn(
                    f"checkpointDir: a checkpoint in {self.folder} is damaged or was half written; it is ignored",
                    stacklevel=2,
                )
                return None
            arrays[name] = np.frombuffer(data, np.dtype(one["dtype"])).reshape(one["shape"])
        return Checkpoint(head.numbers, arrays)
