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
from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.cluster.kept import Kept, keep, warn_not_kept
from spark_fm.engine.packing.census import what_changed
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
    """Packed blocks of one DataFrame, kept for ``shared`` use by several fits or for one, in Spark's cache or below the
    folder ``cache_dir``. A context manager: its end releases them.
    """

    spark: SparkSession
    kept: Kept
    kind: FeaturesKind
    statistics: Statistics
    shared: bool = False
    cache_dir: str = ""
    _leases: dict[Hashable, _Lease] = field(default_factory=dict)
    _vocabularies: dict[bool, Shipped[Vocabulary]] = field(default_factory=dict)
    _features: FeatureCounts | None = None
    _lock: RLock = field(default_factory=RLock)

    @classmethod
    def of(
        cls, dataset: DataFrame, columns: InputColumns, shared: bool = False, cache_dir: str = ""
    ) -> "PackedData":
        """Check and pack a DataFrame.

        Raises
        ------
        ValueError, TypeError
            Naming the column, what was found and what was expected.
        RuntimeError
            When the workers' Python lacks a package.
        OSError
            When ``cache_dir`` can't be written to.
        """
        try:
            return cls._packed(dataset, columns, shared, cache_dir)
        except NamelessSourcesError:
            # The rows lie in the query itself, as those of a pandas DataFrame or on Spark Connect do, and Spark has
            # computed the number of their partition beforehand, 0 for all: it can't below a coalesce.
            return cls._packed(dataset.coalesce(1), columns, shared, cache_dir)

    @classmethod
    def _packed(cls, dataset: DataFrame, columns: InputColumns, shared: bool, cache_dir: str) -> "PackedData":
        selected, kind = training_columns(dataset, columns)
        function = partial(pack, columns=columns, kind=kind, run=uuid.uuid4().hex)
        kept = keep(selected.mapInArrow(function, PACKED_DDL), PACKED_DDL, cache_dir)
        if shared and not kept.lasts:
            warn_not_kept("every fit of the same rows reads")
        try:
            statistics = statistics_of(collect(kept.frame.drop(*NOT_STATISTICS)), columns)
        except BaseException:
            kept.release()
            raise
        return cls(dataset.sparkSession, kept, kind, statistics, shared, cache_dir)

    @property
    def blocks(self) -> DataFrame:
        """The blocks, without the rows that count: source, number, data. A source may be in several partitions."""
        return self.kept.frame.where(F.col("data").isNotNull()).select("source", "number", "data")

    @property
    def blocks_in_order(self) -> DataFrame:
        """The blocks, those of a source in one partition and in their order."""
        if not self.kept.folder:
            return self.blocks
        # Spark reads a large file in pieces, each in a task of its own.
        by_source = self.blocks.repartition(len(self.statistics.sources), "source")
        return by_source.sortWithinPartitions("source", "number")

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Within it, where training does not find the rows that were counted, the sentence names what has changed: the
        input, or what lies below ``cache_dir``.
        """
        try:
            yield
        except RuntimeError as error:
            what = what_changed(str(error))
            if not self.cache_dir or what is None:
                raise
            raise RuntimeError(
                f"cacheDir: what this fit keeps below {self.cache_dir} changed: {what}"
            ) from None

    @property
    def features(self) -> FeatureCounts:
        """The features that occur, popular ones first."""
        with self._lock:
            if self._features is None:
                statistics = self.statistics
                self._features = occurring_features(
                    self.kept.frame, len(statistics.sources), statistics.features
                )
            return self._features

    def checksum(self) -> int:
        """CRC-32 of all that was packed, in its order: other rows, or rows in another order, have another one."""
        data = self.blocks
        rows = collect(data.select("source", "number", F.crc32("data").alias("crc")))
        told = sorted((row["source"], row["number"], row["crc"]) for row in rows)
        return zlib.crc32(repr(told).encode())

    def scaling(self, settings: Settings) -> FeatureScaling:
        """The features' units of training."""
        statistics = self.statistics
        return FeatureScaling.of(self.features, statistics.weight_sum, settings.centres, statistics.evenness)

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

        Should chunks be lost from Spark's cache, they are computed from the input again.
        """
        if not self.shared:
            self.kept.release()

    def release(self) -> None:
        """Give back the memory of everything persisted."""
        with self._lock:
            for lease in self._leases.values():
                lease.made.release()
            self._leases.clear()
            for shipped in self._vocabularies.values():
                shipped.release()
            self._vocabularies.clear()
            self.kept.release()

    def __enter__(self) -> "PackedData":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
