"""PackedData: a DataFrame checked and packed once, and what is made of it."""

import uuid
import zlib
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import RLock
from types import TracebackType
from typing import Protocol, TypeVar, cast

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_fm.core.fm.scaling import FeatureCounts, FeatureScaling
from spark_fm.core.fm.settings import Settings
from spark_fm.engine.cluster.broadcast import Shipped, ship
from spark_fm.engine.cluster.execute import collect, persist, unpersist
from spark_fm.engine.packing.columns import training_columns
from spark_fm.engine.packing.dealing import Vocabulary
from spark_fm.engine.packing.input_columns import FeaturesKind, InputColumns
from spark_fm.engine.packing.pack import NOT_STATISTICS, PACKED_DDL, pack
from spark_fm.engine.packing.statistics import NamelessSourcesError, Statistics, statistics_of
from spark_fm.engine.packing.vocabulary import occurring_features

Leased = TypeVar("Leased", bound="Releasable")


class Releasable(Protocol):
    """What holds memory until it is released."""

    def release(self) -> None:
        """Give back the memory."""


@dataclass
class _Lease:
    made: Releasable
    users: int = 0


@dataclass
class PackedData:
    """Packed, persisted blocks of one DataFrame, ``shared`` by several fits or for one. A context manager: its end
    releases them.
    """

    spark: SparkSession
    blocks: DataFrame
    kind: FeaturesKind
    statistics: Statistics
    shared: bool = False
    _leases: dict[Hashable, _Lease] = field(default_factory=dict)
    _vocabularies: dict[bool, Shipped[Vocabulary]] = field(default_factory=dict)
    _features: FeatureCounts | None = None
    _released: bool = False
    _lock: RLock = field(default_factory=RLock)

    @classmethod
    def of(cls, dataset: DataFrame, columns: InputColumns, shared: bool = False) -> "PackedData":
        """Check and pack a DataFrame.

        Raises
        ------
        ValueError, TypeError
            Naming the column, what was found and what was expected.
        RuntimeError
            When the workers' Python lacks a package.
        """
        try:
            return cls._packed(dataset, columns, shared)
        except NamelessSourcesError:
            # The rows lie in the query itself, as those of a pandas DataFrame or on Spark Connect do, and Spark has
            # computed the number of their partition beforehand, 0 for all: it can't below a coalesce.
            return cls._packed(dataset.coalesce(1), columns, shared)

    @classmethod
    def _packed(cls, dataset: DataFrame, columns: InputColumns, shared: bool) -> "PackedData":
        selected, kind = training_columns(dataset, columns)
        function = partial(pack, columns=columns, kind=kind, run=uuid.uuid4().hex)
        blocks = persist(selected.mapInArrow(function, PACKED_DDL))
        try:
            statistics = statistics_of(collect(blocks.drop(*NOT_STATISTICS)), columns)
        except BaseException:
            unpersist(blocks)
            raise
        return cls(dataset.sparkSession, blocks, kind, statistics, shared)

    @property
    def features(self) -> FeatureCounts:
        """The features that occur, popular ones first."""
        with self._lock:
            if self._features is None:
                statistics = self.statistics
                self._features = occurring_features(self.blocks, len(statistics.sources), statistics.features)
            return self._features

    def checksum(self) -> int:
        """CRC-32 of all that was packed, in its order: other rows, or rows in another order, have another one."""
        data = self.blocks.where(F.col("data").isNotNull())
        rows = collect(data.select("source", "number", F.crc32("data").alias("crc")))
        told = sorted((row["source"], row["number"], row["crc"]) for row in rows)
        return zlib.crc32(repr(told).encode())

    def scaling(self, settings: Settings) -> FeatureScaling:
        """The features' units of training."""
        statistics = self.statistics
        return FeatureScaling.of(
            self.features, statistics.training_rows, settings.centres, statistics.evenness
        )

    @contextmanager
    def lease(self, key: Hashable, make: Callable[[], Leased]) -> Iterator[Leased]:
        """What is made of the blocks once, for all fits that ask for the same ``key``.

        It stays until :meth:`release`, or until another is made while no fit uses it.
        """
        with self._lock:
            if key not in self._leases:
                for idle in [other for other, lease in self._leases.items() if not lease.users]:
                    self._leases.pop(idle).made.release()
                self._leases[key] = _Lease(make())
            lease = self._leases[key]
            lease.users += 1
        try:
            yield cast("Leased", lease.made)
        finally:
            with self._lock:
                lease.users -= 1

    def vocabulary(self, settings: Settings) -> Shipped[Vocabulary]:
        """The features that occur and their units of training, for the workers."""
        with self._lock:
            if settings.centres not in self._vocabularies:
                vocabulary = Vocabulary(
                    uuid.uuid4().hex, self.features.ids, self.scaling(settings), self.statistics.sources
                )
                self._vocabularies[settings.centres] = ship(self.spark, vocabulary)
            return self._vocabularies[settings.centres]

    def release_blocks(self) -> None:
        """Give back the memory of the blocks when they have been dealt for the last time: the chunks are enough then.

        Should chunks be lost, they are computed from the input again.
        """
        if not self.shared and not self._released:
            self._released = True
            unpersist(self.blocks)

    def release(self) -> None:
        """Give back the memory of everything persisted."""
        with self._lock:
            for lease in self._leases.values():
                lease.made.release()
            self._leases.clear()
            for shipped in self._vocabularies.values():
                shipped.release()
            self._vocabularies.clear()
            unpersist(self.blocks)

    def __enter__(self) -> "PackedData":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
