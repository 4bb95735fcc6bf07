"""Objects to the workers: a broadcast on classic Spark, the task's closure on Spark Connect."""

import pickle
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pyspark.sql import SparkSession

if TYPE_CHECKING:
    from pyspark import Broadcast, SparkContext

MOST_OF_A_MESSAGE = 128 * 2**20
T = TypeVar("T")


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

    _broadcast: "Broadcast[T] | None"
    _value: T | None

    def get(self) -> T:
        """The object. Workers share it between tasks: never change it in place."""
        if self._broadcast is not None:
            return self._broadcast.value
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
        _check_message(pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL) * mentions)
        return Shipped(None, value)
    return Shipped(spark.sparkContext.broadcast(value), None)


def _check_message(data: bytes) -> None:
    # The message is compressed on its way; that of random numbers is hardly shorter.
    if len(data) > MOST_OF_A_MESSAGE and len(zlib.compress(data, level=1)) > MOST_OF_A_MESSAGE:
        raise ValueError(
            f"the model takes {len(data) / 2**20:.0f} MiB, a message of Spark Connect holds "
            f"{MOST_OF_A_MESSAGE // 2**20} MiB: choose a smaller factorSize, hash into fewer features, or use "
            "classic Spark"
        )
