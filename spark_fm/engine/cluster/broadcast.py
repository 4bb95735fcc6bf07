"""Objects to the workers: a broadcast on classic Spark, the task's closure on Spark Connect.

Spark writes a broadcast into a file of each executor, which all its Python workers read. What is shipped lies
there in a form that they map instead (:mod:`spark_fm.engine.cluster.mapped`): they share its arrays, and none
waits for a copy of its own.
"""

import os
import pickle
import weakref
import zlib
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from weakref import WeakKeyDictionary

from pyspark.sql import SparkSession

from spark_fm.engine.cluster.mapped import map_pickled, of_bytes, to_bytes

if TYPE_CHECKING:
    from pyspark import Broadcast, SparkContext

MOST_OF_A_MESSAGE = 128 * 2**20
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

    def get(self) -> T:
        """The object. Tasks share it, and its arrays the processes of an executor: never change it in place."""
        if self._broadcast is not None:
            return cast("T", _value_of(self._broadcast))
        assert self._value is not None
        return self._value

    def release(self) -> None:
        """Free the executors' copies; the object can't be read afterwards."""
        if self._broadcast is not None:
            self._broadcast.destroy()
            self._broadcast = None
        self._value = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__


def ship(spark: SparkSession, value: T, mentions: int = 1) -> Shipped[T]:
    """Make an object readable on the workers, of so many functions within one query.

    Raises
    ------
    ValueError
        When it does not fit into a message of Spark Connect.
    """
    if is_connect(spark):
        _check_message(pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL), mentions)
        return Shipped(None, value)
    _remove_files()
    broadcast: Broadcast[bytearray] = spark.sparkContext.broadcast(to_bytes(value))
    jvm: Any = spark.sparkContext._jvm
    in_the_jvm = jvm.java.lang.ref.WeakReference(broadcast._jbroadcast)
    weakref.finalize(broadcast, _dropped.append, (broadcast._path, in_the_jvm)).atexit = False
    return Shipped(broadcast, None)


def _remove_files() -> None:
    """Remove the driver's files of broadcasts that Python has dropped, with the models that they were made for.

    Spark removes all else of them, but not these before the application ends. A DataFrame that is still to be
    computed needs its broadcasts: that of none is one which the JVM has collected as garbage.
    """
    for _ in range(len(_dropped)):
        path, in_the_jvm = _dropped.popleft()
        if not os.path.exists(path):  # It was released.
            continue
        if in_the_jvm.get() is not None:
            _dropped.append((path, in_the_jvm))
            continue
        with suppress(OSError):
            os.unlink(path)


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


def _check_message(data: bytes, mentions: int) -> None:
    # The message is compressed on its way; that of random numbers is hardly shorter.
    most = MOST_OF_A_MESSAGE // mentions
    if len(data) > most and len(zlib.compress(data, level=1)) > most:
        often = "" if mentions == 1 else f" in each of {mentions} functions"
        raise ValueError(
            f"the model takes {len(data) / 2**20:.0f} MiB{often}, a message of Spark Connect holds "
            f"{MOST_OF_A_MESSAGE // 2**20} MiB: choose a smaller factorSize, hash into fewer features, or use "
            "classic Spark"
        )
