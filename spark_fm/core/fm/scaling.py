"""Features in the units of training: dense ones centred and scaled, sparse ones as the user gave them."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.settings import Scale
from spark_fm.core.sparse.block import NO_FLOATS, Block
from spark_fm.core.sparse.csr import with_dense

DoubleArray = npt.NDArray[np.float64]
LongArray = npt.NDArray[np.int64]

# A feature with a value in so many of the rows is a numeric column, whose zeros are values like any other.
DENSE = 0.8
LARGEST_INVERSE = 1e30
# A spread this far below the mean is the rounding of a constant.
CONSTANT = 1e-12


def evenness(rows: float, nonzeros: float, roots: float) -> float:
    """How many non-zeros a usual row has, the square of the mean root, in means: a few very long rows are not usual.

    ``roots`` is the sum over the rows of the root of their number of non-zeros.
    """
    return (roots / rows) ** 2 / (nonzeros / rows) if nonzeros else 1.0


@dataclass(frozen=True)
class FeatureCounts:
    """What training rows say of each feature.

    Attributes
    ----------
    ids : int64 (m,)
    counts : float64 (m,), how many rows have a non-zero value
    means, spreads : float64 (m,), mean and sum of squared deviations of the non-zero values, weighted
    summed : float64 (m,), the sum of the weights of the rows with a non-zero value; None where all weights are 1
    """

    ids: LongArray
    counts: DoubleArray
    means: DoubleArray
    spreads: DoubleArray
    summed: DoubleArray | None = None

    @property
    def weights(self) -> DoubleArray:
        """How much the rows that have a non-zero value weigh together: float64 (m,)."""
        return self.counts if self.summed is None else self.summed

    def take(self, rows: npt.NDArray[np.intp]) -> "FeatureCounts":
        """The given features, in the given order."""
        summed = None if self.summed is None else self.summed[rows]
        return FeatureCounts(self.ids[rows], self.counts[rows], self.means[rows], self.spreads[rows], summed)

    def popular_first(self) -> "FeatureCounts":
        """The features in descending order of their counts, equal ones in ascending order of their ids.

        Popular features' parameters then lie together, which the processor's caches like, and have
        small numbers, which makes blocks short.
        """
        return self.take(np.lexsort((self.ids, -self.counts)))


@dataclass(frozen=True)
class FeatureScaling:
    """Training computes with x' = (x - mean) * inverse.

    A *dense* feature, a numeric column with a value in more than four fifths of the rows, has its mean and the inverse
    of its standard deviation over all rows. Any other keeps the values that the user gave it, but those whose root mean
    square is above 1 are divided by it: its mean is 0. All of it is weighted, so rows of next to no weight are as if
    absent.

    Attributes
    ----------
    mean, inverse : float64 (m,), in the order of the features
    dense : int32 (d,), positions of the features with a mean
    squared_norm : of a usual row, sum_i x'_i^2
    """

    mean: DoubleArray
    inverse: DoubleArray
    dense: npt.NDArray[np.int32]
    squared_norm: float

    @classmethod
    def identity(cls, features: int) -> "FeatureScaling":
        """All values as they are."""
        return cls(np.zeros(features), np.ones(features), np.empty(0, np.int32), 0.0)

    @classmethod
    def of(
        cls, counted: FeatureCounts, rows: float, centred: bool, evenness: float = 1.0
    ) -> "FeatureScaling":
        """The scaling of features that were counted over so many training ``rows``, or over rows whose weights sum to
        that; only ``centred`` has means.

        ``evenness`` is how many non-zeros a usual row has beside the mean, see :func:`evenness`.
        """
        n = counted.weights
        some = np.where(n > 0.0, n, 1.0)
        squares = counted.spreads + n * counted.means**2
        mean = counted.means * n / rows
        spread = counted.spreads + counted.means**2 * n * np.maximum(rows - n, 0.0) / rows
        deviation = np.sqrt(spread / rows)
        numeric = n > DENSE * rows
        varies = (deviation > CONSTANT * np.abs(counted.means)) & (counted.spreads > 0.0)
        dense = numeric & varies & centred
        root = np.sqrt(squares / some)
        size = np.where(dense, deviation, np.where(numeric, root, np.maximum(root, 1.0)))
        inverse = np.divide(1.0, size, out=np.ones(size.size), where=size > 0.0)
        inverse = np.minimum(inverse, LARGEST_INVERSE)
        squared_norm = np.where(dense, spread, squares) * inverse**2
        return cls(
            np.where(dense, mean, 0.0),
            inverse,
            np.flatnonzero(dense).astype(np.int32),
            evenness * float(squared_norm.sum() / rows),
        )

    @property
    def is_identity(self) -> bool:
        """Whether nothing changes."""
        return not self.dense.size and bool((self.inverse == 1.0).all())

    def apply(self, block: Block) -> Block:
        """A block, whose indices are positions of the features, in the units of training: its values are float32."""
        if self.is_identity:
            return replace(block, values=block.values.astype(np.float32, copy=False))
        place = np.full(self.mean.size, -1, np.int32)
        place[self.dense] = np.arange(self.dense.size, dtype=np.int32)
        size = block.nonzeros + block.rows * self.dense.size - int((place[block.indices] >= 0).sum())
        indptr, indices = np.empty(block.rows + 1, np.int32), np.empty(size, np.int32)
        values = np.empty(size, np.float32)
        with_dense(
            block.indptr, block.indices, block.values, self.dense, place, self.mean, self.inverse,
            indptr, indices, values,
        )  # fmt: skip
        if (values == 1.0).all():
            values = NO_FLOATS
        return replace(block, indptr=indptr, indices=indices, values=values)


def scaled(block: Block, scale: Scale, scaling: FeatureScaling | None = None) -> Block:
    """The block in the units of training: labels, weights and, where a scaling is given, values."""
    label = (block.label - scale.label_mean) / scale.label_deviation
    weight = block.weight
    if weight.size or scale.weighted:
        weight = weight if weight.size else np.ones(block.rows, np.float32)
        weight = (weight / np.float32(scale.weight_mean)).astype(np.float32)
        # Of smaller ones than float32 has at its full precision roots and quotients may be infinite.
        weight[weight < np.finfo(np.float32).tiny] = 0.0
    block = replace(block, label=label, weight=weight)
    return block if scaling is None else scaling.apply(block)
