"""Objects to the workers: a broadcast on classic Spark, the task's closure on Spark Connect."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pyspark.sql import SparkSession

if TYPE_CHECKING:
    from pyspark import Broadcast, SparkContext

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


def ship(spark: SparkSession, value: T) -> Shipped[T]:
    """Make an object readable on the workers."""
    if is_connect(spark):
        return Shipped(None, value)
    return Shipped(spark.sparkContext.broadcast(value), None)
