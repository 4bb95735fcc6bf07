"""PackedData: a DataFrame checked and packed once, and what its statistics say."""

import math
import uuid
import warnings
from dataclasses import dataclass, field
from functools import cached_property, partial
from types import TracebackType
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from spark_fm.core.settings import Scale, Settings
from spark_fm.engine.columns import training_columns
from spark_fm.engine.features import FeatureCounts, occurring_features
from spark_fm.engine.jobs import collect, persist
from spark_fm.engine.pack import COUNTS_ROW, NOT_STATISTICS, PACKED_DDL, pack
from spark_fm.engine.partition import Deal, Union, dealt_rows, partition_keys
from spark_fm.engine.request import Columns, FeaturesKind
from spark_fm.engine.transport import Shipped, is_connect, ship
from spark_fm.engine.units import FrameUnits, RddUnits, Units

# With this many non-zeros for each feature that occurs, a unit uses most of them: it needs no dictionary of its own.
NONZEROS_OF_THE_WHOLE_UNION = 2.0


@dataclass(frozen=True)
class Statistics:
    """Sums over the packed rows; label and weight sums are over the training rows."""

    rows: int
    nonzeros: int
    training_rows: int
    weight_sum: float
    label_mean: float
    label_variance: float
    label_min: float
    label_max: float
    has_values: bool
    num_features: int
    sources: int
    features: int

    @property
    def validation_rows(self) -> int:
        """Rows marked by the validation indicator."""
        return self.rows - self.training_rows

    @property
    def active(self) -> float:
        """Mean number of non-zeros of a row."""
        return self.nonzeros / self.rows

    def scale(self, settings: Settings) -> Scale:
        """The units of training."""
        weight_mean = self.weight_sum / self.training_rows
        return Scale.of(settings, weight_mean, self.label_mean, self.label_variance, self.active)


@dataclass
class PackedData:
    """Packed, persisted blocks of one DataFrame. A context manager: its end releases them."""

    spark: SparkSession
    blocks: DataFrame
    kind: FeaturesKind
    statistics: Statistics
    _units: dict[tuple[int, int, float, int, bool], Units] = field(default_factory=dict)
    _shipped: list[Shipped[Union]] = field(default_factory=list)

    @classmethod
    def of(cls, dataset: DataFrame, columns: Columns) -> "PackedData":
        """Check and pack a DataFrame.

        Raises
        ------
        ValueError, TypeError
            Naming the column, what was found and what was expected.
        RuntimeError
            When the workers' Python lacks a package.
        """
        selected, kind = training_columns(dataset, columns)
        blocks = persist(selected.mapInArrow(partial(pack, columns=columns, kind=kind), PACKED_DDL))
        try:
            statistics = _statistics(collect(blocks.drop(*NOT_STATISTICS)), columns)
        except BaseException:
            blocks.unpersist()
            raise
        return cls(dataset.sparkSession, blocks, kind, statistics)

    @cached_property
    def features(self) -> FeatureCounts:
        """The features that occur, popular ones first."""
        return occurring_features(self.blocks, self.statistics.sources, self.statistics.features)

    def units(
        self, partitions: int, parts: int, held_out: float, seed: int, on_executors: bool = False
    ) -> Units:
        """The rows dealt to ``partitions`` x ``parts`` units, persisted until :meth:`release`.

        ``on_executors`` asks for the updates to be summed there.
        """
        key = (partitions, parts, held_out, seed, on_executors)
        if key not in self._units:
            self._units[key] = self._dealt(*key)
        return self._units[key]

    def _dealt(self, partitions: int, parts: int, held_out: float, seed: int, on_executors: bool) -> Units:
        if not self._shipped:
            self._shipped.append(ship(self.spark, Union(uuid.uuid4().hex, self.features.ids)))
        as_frame = on_executors or is_connect(self.spark)
        if as_frame:
            keys = [key for key in partition_keys(self.spark, partitions) for _ in range(parts)]
        else:
            keys = partition_keys(self.spark, partitions * parts)
        dealt = dealt_rows(self.blocks, Deal(keys, parts, held_out, seed, self._shipped[0]))
        each = self.statistics.nonzeros / (partitions * parts)
        own_dictionaries = each < self.features.ids.size * NONZEROS_OF_THE_WHOLE_UNION
        if as_frame:
            return FrameUnits.of(dealt, own_dictionaries, on_executors)
        return RddUnits.of(dealt, partitions, parts, own_dictionaries)

    def release(self) -> None:
        """Give back the memory of everything persisted."""
        for units in self._units.values():
            units.release()
        self._units.clear()
        for shipped in self._shipped:
            shipped.release()
        self._shipped.clear()
        self.blocks.unpersist()

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
    features = sum(row["features"] for row in rows if row["number"] == COUNTS_ROW)
    rows = [row for row in rows if row["number"] != COUNTS_ROW]
    total = sum(row["rows"] for row in rows)
    if total == 0:
        raise ValueError("the DataFrame is empty, expected at least one row to train on")
    training_rows = sum(row["training_rows"] for row in rows)
    if training_rows == 0:
        raise ValueError(
            f"validationIndicatorCol: column {columns.validation!r} is true in all {total} rows, "
            "so no row is left to train on"
        )
    weight_sum = math.fsum(row["weight_sum"] for row in rows)
    if weight_sum == 0.0:
        raise ValueError(
            f"weightCol: column {columns.weight!r} is 0 in all training rows, expected a positive weight"
        )
    sizes = sorted({row["vector_size"] for row in rows})
    if len(sizes) > 1:
        raise ValueError(
            f"column {columns.features!r}: vectors of different sizes: {sizes[0]} and {sizes[1]}, "
            "expected one size"
        )
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
        if row["weight_sum"] > 0.0
    )
    return Statistics(
        rows=total,
        nonzeros=sum(row["nonzeros"] for row in rows),
        training_rows=training_rows,
        weight_sum=weight_sum,
        label_mean=mean,
        label_variance=spread / weight_sum,
        label_min=label_min,
        label_max=label_max,
        has_values=any(row["has_values"] for row in rows),
        num_features=sizes[0] if sizes[0] >= 0 else 1 + max(row["largest_id"] for row in rows),
        sources=len({row["source"] for row in rows}),
        features=features,
    )
