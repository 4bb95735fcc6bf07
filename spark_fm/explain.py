"""One row at a time, on the driver: its score, and the parts that add up to it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pyspark.ml.linalg import SparseVector, Vector

from spark_fm.core.weights import Weights

LongArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Explanation:
    """The parts of z(x) = w0 + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j.

    Attributes
    ----------
    intercept : float
        w0
    linear : dict from feature i to w_i x_i
    pairs : dict from features (i, j), i < j, to <v_i, v_j> x_i x_j
    """

    intercept: float
    linear: dict[int, float]
    pairs: dict[tuple[int, int], float]

    @property
    def score(self) -> float:
        """z, the sum of all parts."""
        return self.intercept + sum(self.linear.values()) + sum(self.pairs.values())


def sparse_of(
    value: Vector | Sequence[int], num_features: int, normalize: bool
) -> tuple[LongArray, DoubleArray]:
    """Ids (int64) and values (float64) of the non-zeros of a vector, or of a list of ids with values of 1.

    Raises
    ------
    ValueError
        When a vector's size is not ``num_features``, a value is not finite, or a list has an id below 0 or twice.
    """
    if isinstance(value, Vector):
        if len(value) != num_features:
            raise ValueError(
                f"found a vector of size {len(value)}, expected {num_features}, the number of features that "
                "the model was trained on"
            )
        if isinstance(value, SparseVector):
            ids, values = value.indices.astype(np.int64), value.values.astype(np.float64)
        else:
            ids, values = np.arange(num_features), np.asarray(value.toArray(), np.float64)
    else:
        ids = np.asarray(list(value), np.int64)
        values = np.ones(ids.size)
        if (ids < 0).any() or np.unique(ids).size != ids.size:
            raise ValueError(f"found the ids {ids.tolist()}, expected each once and none below 0")
    if not np.isfinite(values).all():
        raise ValueError(f"found the value {values[~np.isfinite(values)][0]}, expected finite numbers")
    if normalize and values.any():
        values = values / np.abs(values).max()
        values = values / np.sqrt(values @ values)
    kept = values != 0.0
    return ids[kept], values[kept]


def _known(
    weights: Weights, ids: LongArray, values: DoubleArray
) -> tuple[LongArray, DoubleArray, DoubleArray]:
    """Of the features that have parameters: ids, w_i x_i and rows v_i x_i."""
    rows = weights.find(ids)
    known = rows >= 0
    x = values[known]
    linear = weights.linear[rows[known]].astype(np.float64) * x
    factors = weights.factors[rows[known]].astype(np.float64) * x[:, None]
    return ids[known], linear, factors


def raw_prediction(weights: Weights, ids: LongArray, values: DoubleArray) -> float:
    """Z of one row, in time linear in its non-zeros: sum_i <v_i x_i, sum_{j<i} v_j x_j> are the pairs."""
    _, linear, factors = _known(weights, ids, values)
    pairs = (factors[1:] * np.cumsum(factors, axis=0)[:-1]).sum()
    return float(weights.intercept + linear.sum() + pairs)


def explain(weights: Weights, ids: LongArray, values: DoubleArray) -> Explanation:
    """The parts of z of one row: n linear and n (n - 1) / 2 pairwise ones for n known features."""
    known, linear, factors = _known(weights, ids, values)
    products = factors @ factors.T
    upper = zip(*np.triu_indices(known.size, 1), strict=True)
    return Explanation(
        weights.intercept,
        {int(i): float(part) for i, part in zip(known, linear, strict=True)},
        {(int(known[a]), int(known[b])): float(products[a, b]) for a, b in upper},
    )
