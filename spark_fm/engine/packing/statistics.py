"""Statistics: what the rows of a packed DataFrame say in sum."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

from spark_fm.core.fm.scaling import evenness
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.engine.packing.census import Census
from spark_fm.engine.packing.input_columns import InputColumns
from spark_fm.engine.packing.pack import COUNTS_ROW


class NamelessSourcesError(RuntimeError):
    """Two source partitions have the same number."""


@dataclass(frozen=True)
class Statistics:
    """Sums over the packed rows; label and weight sums are over the training rows."""

    rows: int
    nonzeros: int
    training_rows: int
    weight_sum: float
    weight_squares: float
    weight_max: float
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
        return self.weight_mean / self.usual_weight

    @property
    def usual_weight(self) -> float:
        """(Sum of c^2) / (sum of c): divided by it, the weights sum to as many rows as they are worth."""
        return self.weight_squares / self.weight_sum if self.weighted else self.weight_mean

    @property
    def weight_mean(self) -> float:
        """The mean weight of the training rows."""
        return self.weight_sum / self.training_rows

    def scale(self, settings: Settings, squared_norm: float = 0.0) -> Scale:
        """The units of training; ``squared_norm`` is that of the features' scaling."""
        return Scale.of(
            settings, self.weight_mean, self.label_mean, self.label_variance, squared_norm, self.weighted,
            self.usual_weight,
        )  # fmt: skip


def statistics_of(rows: list[dict[str, Any]], columns: InputColumns) -> Statistics:
    """The sums of what each packed block and source says.

    Raises
    ------
    ValueError
        Of the first row that is refused, or where nothing is left to train on.
    NamelessSourcesError
        When two sources have one number.
    """
    rows = sorted(rows, key=lambda row: (row["source"], row["number"]))
    for row in rows:
        if row["error"] is not None:
            raise ValueError(row["error"])
    ends = [row for row in rows if row["number"] == COUNTS_ROW]
    if len({row["source"] for row in ends}) < len(ends):
        raise NamelessSourcesError
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
        weight_max=weights[1],
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
