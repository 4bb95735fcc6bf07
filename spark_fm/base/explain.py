"""One row at a time, on the driver: its score, and the parts that add up to it."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.ml.linalg import SparseVector, Vector
from pyspark.sql import Row as SparkRow

from spark_fm.base.drawing import draw_waterfall
from spark_fm.core.fm.fields import FieldLayout
from spark_fm.core.fm.parts import TIMES
from spark_fm.core.fm.weights import Weights
from spark_fm.engine.packing.arrow import LARGEST

LongArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]
SHOWN = 12
# Two million pairs, which take some hundred megabytes.
MOST_EXPLAINED = 2_000
Row = Vector | SparkRow | Sequence[int] | npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, repr=False)
class Explanation:
    """The parts of z(x) = w0 + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j; ``repr`` shows the largest.

    Attributes
    ----------
    intercept : float
        w0
    linear : dict from feature i to w_i x_i
    pairs : dict from features (i, j), i < j, to <v_i, v_j> x_i x_j
    labels : dict from feature i to what a person calls it; one that is missing is called "#i"

    Examples
    --------
    >>> explanation = Explanation(0.5, {3: 0.25, 7: -1.0}, {(3, 7): 0.125}, {3: "user=ann", 7: "genre=Noir"})
    >>> explanation.score
    -0.125
    >>> explanation
    intercept: +0.5
    genre=Noir: -1
    user=ann: +0.25
    user=ann x genre=Noir: +0.125
    score: -0.125
    """

    intercept: float
    linear: dict[int, float]
    pairs: dict[tuple[int, int], float]
    labels: dict[int, str] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """z, the sum of all parts."""
        return self.intercept + sum(self.linear.values()) + sum(self.pairs.values())

    def parts(self) -> list[tuple[str, float]]:
        """Label and contribution of all parts but the intercept, the largest absolute ones first."""
        found = [(self._label(i), part) for i, part in self.linear.items()]
        found += [(TIMES.join(map(self._label, pair)), part) for pair, part in self.pairs.items()]
        return sorted(found, key=lambda part: -abs(part[1]))

    def lines(self, most: int = SHOWN) -> list[tuple[str, float]]:
        """What add up to the score: the intercept, the ``most`` largest parts, and the sum of all others."""
        parts = self.parts()
        rest = parts[most:] if len(parts) > most + 1 else []
        others = [(f"{len(rest)} others", sum(part for _, part in rest))] if rest else []
        return [("intercept", self.intercept), *parts[: len(parts) - len(rest)], *others]

    def __repr__(self) -> str:
        lines = [f"{label}: {part:+.3g}" for label, part in self.lines()]
        return "\n".join([*lines, f"score: {self.score:+.4g}"])

    def plot(self, path: str | Path, most: int = SHOWN) -> None:
        """Draw a waterfall from the intercept to the score to an image file (needs matplotlib: the extra ``plots``).

        Parameters
        ----------
        most : so many parts have a bar of their own, all others have one together

        Raises
        ------
        ImportError
            When matplotlib is not installed.
        """
        draw_waterfall(self.lines(most), path)

    def _label(self, feature: int) -> str:
        return self.labels.get(feature, f"#{feature}")


def _ids_of(value: object) -> LongArray:
    """Feature ids as int64.

    Raises
    ------
    TypeError
        When it is no list, tuple or array of integers.
    ValueError
        When one of them is below 0, or has more than 63 bits.
    """
    found = value
    if isinstance(value, np.ndarray | array):
        ids = np.asarray(value)
        found = ids.tolist() if ids.ndim == 1 and ids.dtype.kind in "iu" else None
    if not isinstance(found, list | tuple) or not all(
        isinstance(i, Integral) and not isinstance(i, bool) for i in found
    ):
        raise TypeError(
            f"found {value!r}, expected a vector (pyspark.ml.linalg), feature ids: integers in a list, a tuple or "
            "an array, or a pyspark.sql.Row of ids and values, as FieldEncoder makes"
        )
    for i in found:
        if not 0 <= i < 2**63:
            raise ValueError(f"found the id {i}, expected integers from 0 to 2^63 - 1")
    return np.array([int(i) for i in found], np.int64)


def _pairs_of(ids: object, values: Any) -> tuple[LongArray, DoubleArray]:
    """Ids and values of a row of pairs; the values of an id that is there twice add up."""
    found, x = _ids_of(ids), np.asarray(values, np.float64)
    if x.shape != found.shape:
        raise ValueError(
            f"found {found.size} ids and {x.size} values, expected as many of one as of the other"
        )
    distinct, places = np.unique(found, return_inverse=True)
    sums = np.zeros(distinct.size)
    np.add.at(sums, places, x)
    return distinct, sums


def sparse_of(value: Row, num_features: int, normalize: bool) -> tuple[LongArray, DoubleArray]:
    """Ids (int64) and values (float64) of the non-zeros of a vector, of feature ids, whose value is how often each
    occurs, or of ids with values.

    Raises
    ------
    TypeError
        When it is none of these.
    ValueError
        When a vector's size is not ``num_features``, a value is not finite, or an id is below 0.
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
    elif isinstance(value, SparkRow) and value.asDict().keys() == {"ids", "values"}:
        ids, values = _pairs_of(value["ids"], value["values"])
    else:
        ids, counts = np.unique(_ids_of(value), return_counts=True)
        values = counts.astype(np.float64)
    wrong = ~(np.abs(values) <= LARGEST)
    if wrong.any():
        raise ValueError(
            f"found the value {values[wrong][0]}, expected a finite number of at most {LARGEST:.3g}"
        )
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


def explain(weights: Weights, ids: LongArray, values: DoubleArray, fields: FieldLayout) -> Explanation:
    """The parts of z of one row: n linear and n (n - 1) / 2 pairwise ones for n known features.

    Raises
    ------
    ValueError
        When the parts are too many.
    """
    known, linear, factors = _known(weights, ids, values)
    if known.size > MOST_EXPLAINED:
        raise ValueError(
            f"explain: the row has {known.size} features with parameters, expected at most {MOST_EXPLAINED}; "
            "explainCol has the largest parts of longer rows"
        )
    products = factors @ factors.T
    upper = zip(*np.triu_indices(known.size, 1), strict=True)
    return Explanation(
        weights.intercept,
        {int(i): float(part) for i, part in zip(known, linear, strict=True)},
        {(int(known[a]), int(known[b])): float(products[a, b]) for a, b in upper},
        dict(zip(known.tolist(), fields.labels(known), strict=True)),
    )
