"""Objects to the workers: a broadcast on classic Spark; on Spark Connect the task's closure, or where they are large a
file of the session (an artifact).

Spark writes a broadcast into a file of each executor, which all its Python workers read. What is shipped lies
there in a form that they map instead (:mod:`spark_fm.engine.cluster.mapped`): they share its arrays, and none
waits for a copy of its own. An artifact has the same form.
"""

import os
import pickle
import uuid
import weakref
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from weakref import WeakKeyDictionary

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from spark_fm.engine.cluster.mapped import map_pickled, of_bytes, to_bytes

if TYPE_CHECKING:
    from pyspark import Broadcast, SparkContext

# A message of Spark Connect holds 128 MiB, and a task may have three objects.
MOST_IN_A_MESSAGE = 40 * 2**20
# As large as was tried.
MOST_OF_AN_ARTIFACT = 2 * 2**30
# A round has two: the parameters, new ones each time, and what stays the same.
ARTIFACTS_KEPT = 4
T = TypeVar("T")

# What a process has read, for as long as Spark keeps its broadcast there.
_read: "WeakKeyDictionary[Broadcast[bytearray], Any]" = WeakKeyDictionary()

# Of broadcasts that Python has dropped, the driver's file and Java's weak reference to the broadcast.
_dropped: "deque[tuple[str, Any]]" = deque()


def is_connect(spark: SparkSession) -> bool:
    """Whether a session talks to a Spark Connect server (which has no SparkContext)."""
    return "connect" in type(spark).__module__


def context_of(spark: SparkSession) -> "SparkContext | None":
    """The SparkContext of a session; None on Spark Connect."""
    return None if is_connect(spark) else spark.sparkContext


def application_of(spark: SparkSession) -> object:
    """What the life of shipped objects hangs on: the SparkContext, or the session on Spark Connect."""
    return context_of(spark) or spark


@dataclass
class Shipped(Generic[T]):
    """Something that workers can read with :meth:`get`; the driver releases it when no job needs it."""

    _broadcast: "Broadcast[bytearray] | None"
    _value: T | None
    _artifact: str = ""

    def get(self) -> T:
        """The object. Tasks share it, and its arrays the processes of an executor: never change it in place."""
        if self._broadcast is not None:
            return cast("T", _value_of(self._broadcast))
        if self._artifact:
            return cast("T", _value_of_artifact(self._artifact))
        assert self._value is not None
        return self._value

    def release(self) -> None:
        """Free the executors' copies; the object can't be read afterwards. An artifact stays until the session ends."""
        if self._broadcast is not None:
            self._broadcast.destroy()
            self._broadcast = None
        self._value, self._artifact = None, ""

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__


def ship(spark: SparkSession, value: T, mentions: int = 1) -> Shipped[T]:
    """Make an object readable on the workers, of so many functions within one query.

    Raises
    ------
    ValueError
        When it is too large for Spark Connect.
    """
    data = to_bytes(value)
    if not is_connect(spark):
        return Shipped(_broadcast(spark, data), None)
    if len(data) * mentions <= MOST_IN_A_MESSAGE:
        return Shipped(None, value)
    return Shipped(None, None, _added(spark, data))


def _broadcast(spark: SparkSession, data: bytearray) -> "Broadcast[bytearray]":
    _remove_files()
    broadcast: Broadcast[bytearray] = spark.sparkContext.broadcast(data)
    jvm: Any = spark.sparkContext._jvm
    in_the_jvm = jvm.java.lang.ref.WeakReference(broadcast._jbroadcast)
    weakref.finalize(broadcast, _dropped.append, (broadcast._path, in_the_jvm)).atexit = False
    return broadcast


def _remove_files() -> None:
    """Remove the driver's files of broadcasts that Python has dropped, with the models that they were made for.

    Spark removes all else of them, but not these before the application ends. A DataFrame that is still to be
    computed needs its broadcasts: that of none is one which the JVM has collected as garbage.
    """
    for _ in range(len(_dropped)):
        try:
            path, in_the_jvm = _dropped.popleft()
        except IndexError:  # Another thread is at it too.
            return
        if not os.path.exists(path):  # It was released.
            continue
        if in_the_jvm.get() is not None:
            _dropped.append((path, in_the_jvm))
            continue
        with suppress(OSError):
            os.unlink(path)


def _added(spark: SparkSession, data: bytearray) -> str:
    """The name of the session's file that has these bytes."""
    name = f"spark_fm-{uuid.uuid4().hex}"
    refusal = ""
    if len(data) > MOST_OF_AN_ARTIFACT:
        refusal = f"the most for Spark Connect is {MOST_OF_AN_ARTIFACT // 2**20}"
    else:
        with TemporaryDirectory() as folder:
            path = Path(folder, name)
            with path.open("wb") as file:
                pickle.dump(data, file, protocol=pickle.HIGHEST_PROTOCOL)
            try:
                spark.addArtifacts(str(path), file=True)
            except PySparkException as error:
                refusal = (
                    f"the Spark Connect server took no such file: {str(error).strip().partition(chr(10))[0]}"
                )
    if refusal:
        raise ValueError(
            f"the model takes {len(data) / 2**20:.0f} MiB, {refusal}; choose a smaller factorSize, hash into fewer "
            "features, or use classic Spark"
        )
    return name


@lru_cache(ARTIFACTS_KEPT)
def _value_of_artifact(name: str) -> Any:
    from pyspark import SparkFiles

    return map_pickled(SparkFiles.get(name))


def _value_of(broadcast: "Broadcast[bytearray]") -> Any:
    found = _read.get(broadcast, _read)
    if found is _read:
        found = _read[broadcast] = _mapped_or_loaded(broadcast)
    return found


def _mapped_or_loaded(broadcast: "Broadcast[bytearray]") -> Any:
    path = getattr(broadcast, "_path", None)
    if path is not None:
        # With spark.io.encryption the driver's file says nothing; a worker has no file.
        with suppress(OSError, ValueError):
            return map_pickled(path)
    return of_bytes(broadcast.value)
