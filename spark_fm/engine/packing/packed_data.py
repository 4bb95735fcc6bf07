"""PackedData: a DataFrame checked and packed once, and what its statistics say."""

import math
import uuid
import warnings
from dataclasses import dataclass, field
from functools import partial
from threading import RLock
from types import TracebackType
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from spark_fm.core.fm.scaling import FeatureCounts, FeatureScaling, evenness
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.engine.cluster.broadcast import Shipped, is_connect, ship
from spark_fm.engine.cluster.execute import collect, persist, unpersist
from spark_fm.engine.packing.census import Census
from spark_fm.engine.packing.columns import training_columns
from spark_fm.engine.packing.dealing import Deal, Places, Vocabulary, dealt_rows, partition_keys
from spark_fm.engine.packing.input_columns import Columns, FeaturesKind
from spark_fm.engine.packing.pack import COUNTS_ROW, NOT_STATISTICS, PACKED_DDL, pack
from spark_fm.engine.packing.vocabulary import occurring_features
from spark_fm.engine.training.store import ChunkStore, FrameStore, RddStore

ROWS_OF_A_VALIDATION_CHUNK = 8192
# With this many non-zeros for each feature that occurs, a chunk uses most of them: it needs no dictionary of its own.
NONZEROS_OF_THE_WHOLE_VOCABULARY = 2.0


class _NamelessSourcesError(RuntimeError):
    """Two source partitions have the same number."""


@dataclass(frozen=True)
class Statistics:
    """Sums over the packed rows; label and weight sums are over the training rows."""

    rows: int
    nonzeros: int
    training_rows: int
    weight_sum: float
    weight_squares: float
    weighted: bool
    label_mean: float
    label_variance: float
    label_min: float
    label_max: float
    num_features: int
    features: int
    evenness: float
    sources: dict[int, Census]

    @property
    def validation_rows(self) -> int:
        """Rows marked by the validation indicator."""
        return self.rows - self.training_rows

    @property
    def census(self) -> Census:
        """All that was counted."""
        return sum(self.sources.values(), Census())

    @property
    def effective(self) -> float:
        """The part of as many rows of equal weights that says as much as the training rows (L. Kish, Survey Sampling,
        1965): (sum of c)^2 / (rows * sum of c^2).
        """
        return self.weight_sum**2 / (self.training_rows * self.weight_squares)

    def scale(self, settings: Settings, squared_norm: float = 0.0) -> Scale:
        """The units of training; ``squared_norm`` is that of the features' scaling."""
        weight_mean = self.weight_sum / self.training_rows
        return Scale.of(
            settings, weight_mean, self.label_mean, self.label_variance, squared_norm, self.weighted
        )


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
    _chunks: dict[tuple[int, int, int, int, bool, bool], ChunkStore] = field(default_factory=dict)
    _vocabularies: dict[bool, Shipped[Vocabulary]] = field(default_factory=dict)
    _features: FeatureCounts | None = None
    _lock: RLock = field(default_factory=RLock)

    @classmethod
    def of(cls, dataset: DataFrame, columns: Columns, shared: bool = False) -> "PackedData":
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
        except _NamelessSourcesError:
            # The rows lie in the query itself, as those of a pandas DataFrame or on Spark Connect do, and Spark has
            # computed the number of their partition beforehand, 0 for all: it can't below a coalesce.
            return cls._packed(dataset.coalesce(1), columns, shared)

    @classmethod
    def _packed(cls, dataset: DataFrame, columns: Columns, shared: bool) -> "PackedData":
        selected, kind = training_columns(dataset, columns)
        function = partial(pack, columns=columns, kind=kind, run=uuid.uuid4().hex)
        blocks = persist(selected.mapInArrow(function, PACKED_DDL))
        try:
            statistics = _statistics(collect(blocks.drop(*NOT_STATISTICS)), columns)
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

    def scaling(self, settings: Settings) -> FeatureScaling:
        """The features' units of training."""
        statistics = self.statistics
        return FeatureScaling.of(
            self.features, statistics.training_rows, settings.centres, statistics.evenness
        )

    def chunks(
        self, partitions: int, parts: int, held_out: int, settings: Settings, on_executors: bool = False
    ) -> ChunkStore:
        """The rows dealt to ``partitions`` x ``parts`` chunks, persisted until :meth:`release`.

        So many rows are ``held_out``: they are validation rows. ``on_executors`` asks for the updates to be summed
        there. Fits that share the data share the chunks.
        """
        key = (partitions, parts, held_out, settings.seed, settings.centres, on_executors)
        with self._lock:
            if key not in self._chunks:
                self._chunks[key] = self._dealt(partitions, parts, held_out, settings, on_executors)
            return self._chunks[key]

    def _vocabulary(self, settings: Settings) -> Shipped[Vocabulary]:
        if settings.centres not in self._vocabularies:
            vocabulary = Vocabulary(
                uuid.uuid4().hex, self.features.ids, self.scaling(settings), self.statistics.sources
            )
            self._vocabularies[settings.centres] = ship(self.spark, vocabulary)
        return self._vocabularies[settings.centres]

    def _dealt(
        self, partitions: int, parts: int, held_out: int, settings: Settings, on_executors: bool
    ) -> ChunkStore:
        validation = held_out or self.statistics.validation_rows
        places = Places(partitions, parts, min(partitions, -(-validation // ROWS_OF_A_VALIDATION_CHUNK)))
        as_frame = on_executors or is_connect(self.spark)
        if as_frame:
            of_partitions = partition_keys(self.spark, partitions)
            keys = [of_partitions[partition % partitions] for partition, _ in places.all()]
        else:
            keys = partition_keys(self.spark, len(places.all()))
        orders = Deal.of(
            keys, places, held_out, settings.seed, self.statistics.sources, self._vocabulary(settings)
        )
        dealt = dealt_rows(self.blocks, orders)
        each = self.statistics.nonzeros / (partitions * parts)
        own_dictionaries = each < self.features.ids.size * NONZEROS_OF_THE_WHOLE_VOCABULARY
        if as_frame:
            return FrameStore.of(dealt, places, own_dictionaries, on_executors)
        return RddStore.of(dealt, places, own_dictionaries)

    def release_blocks(self) -> None:
        """Give back the memory of the blocks when they have been dealt for the last time: the chunks are enough then.

        Should chunks be lost, they are computed from the input again.
        """
        if not self.shared:
            unpersist(self.blocks)

    def release(self) -> None:
        """Give back the memory of everything persisted."""
        with self._lock:
            for chunks in self._chunks.values():
                chunks.release()
            self._chunks.clear()
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


def _statistics(rows: list[dict[str, Any]], columns: Columns) -> Statistics:
    rows = sorted(rows, key=lambda row: (row["source"], row["number"]))
    for row in rows:
        if row["error"] is not None:
            raise ValueError(row["error"])
    ends = [row for row in rows if row["number"] == COUNTS_ROW]
    if len({row["source"] for row in ends}) < len(ends):
        raise _NamelessSourcesError
    rows = [row for row in rows if row["number"] != COUNTS_ROW]
    total = sum(row["rows"] for row in rows)
    absent = sum(row["absent_rows"] for row in ends)
    if total == 0 and absent:
        raise ValueError(
            f"weightCol: column {columns.weight!r} is 0 in all {absent} rows, expected a positive weight"
        )
    if total == 0:
        raise ValueError("the DataFrame is empty, expected at least one row to train on")
    training_rows = sum(row["training_rows"] for row in rows)
    if training_rows == 0:
        raise ValueError(
            f"validationIndicatorCol: column {columns.validation!r} is true in all {total} rows, "
            "so no row is left to train on"
        )
    weight_sum = math.fsum(row["weight_sum"] for row in rows)
    ends = [row for row in ends if row["rows"] or row["features"] or row["vector_size"] >= 0]
    sizes = sorted({row["vector_size"] for row in ends})
    if len(sizes) > 1:
        raise ValueError(
            f"column {columns.features!r}: vectors of different sizes: {sizes[0]} and {sizes[1]}, "
            "expected one size"
        )
    size = sizes[0] if sizes else -1
    label_min = min(row["label_min"] for row in rows)
    label_max = max(row["label_max"] for row in rows)
    if columns.binary and label_min == label_max:
        warnings.warn(
            f"labelCol: all {training_rows} training rows of column {columns.label!r} have the label "
            f"{label_min:g}; the model can only learn to predict that class",
            stacklevel=2,
        )
    mean = math.fsum(row["label_sum"] for row in rows) / weight_sum
    # Within blocks plus between blocks: a sum of squares would cancel when labels are far from 0.
    spread = math.fsum(
        row["label_spread"] + row["weight_sum"] * (row["label_sum"] / row["weight_sum"] - mean) ** 2
        for row in rows
        if row["training_rows"]
    )
    sources: dict[int, Census] = {}
    for row in rows:
        here = Census(row["rows"], row["nonzeros"], row["fingerprint"], row["features_fingerprint"])
        sources[row["source"]] = sources.get(row["source"], Census()) + here
    weights = min(row["weight_min"] for row in rows), max(row["weight_max"] for row in rows)
    return Statistics(
        rows=total,
        nonzeros=sum(row["nonzeros"] for row in rows),
        training_rows=training_rows,
        weight_sum=weight_sum,
        weight_squares=math.fsum(row["weight_squares"] for row in rows),
        weighted=weights[0] < weights[1],
        label_mean=mean,
        label_variance=spread / weight_sum,
        label_min=label_min,
        label_max=label_max,
        num_features=size if size >= 0 else 1 + max((row["largest_id"] for row in ends), default=-1),
        features=sum(row["features"] for row in ends),
        evenness=evenness(
            total, sum(row["nonzeros"] for row in rows), math.fsum(row["roots"] for row in rows)
        ),
        sources=sources,
    )
