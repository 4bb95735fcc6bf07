"""What a model says of its fields as a whole: how much of the scores' variance each makes, alone and with others.

The fields of a row are taken to be independent of each other, with the means and mean squares of the training rows. A
model then splits, as an analysis of variance does, into parts that do not overlap. With s_A = sum_{i in A} x_i v_i, its
mean m_A, its covariance C_A (K x K), and m = sum_A m_A:

    Var z = sum_A Var a_A + sum_{A<B} Var b_AB       b_AB = <s_A - m_A, s_B - m_B>      Var b_AB = trace(C_A C_B)
    a_A = sum_{i in A} x_i (w_i + <v_i, m - m_A>)    of a field with at most one feature a row; of any other, whose
                                                     features are taken to be independent, m less the mean of x_i v_i

and pairs within a field of several features a row count for the field alone. So an interaction is what a pair of fields
says beyond what each says by itself, however the factors are shifted. The time is linear in the features.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.fields import Field, FieldLayout
from spark_fm.core.fm.scaling import FeatureCounts
from spark_fm.core.fm.weights import Weights

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
LongArray = npt.NDArray[np.int64]

ROWS_A_BLOCK = 1024
REST = "(no field)"


@dataclass(frozen=True)
class Moments:
    """Of the values of each feature over all training rows, weighted, zeros included.

    Attributes
    ----------
    mean, root_mean_square : float32 (m,), in the order of a model's features
    """

    mean: FloatArray
    root_mean_square: FloatArray

    @classmethod
    def of(cls, counted: FeatureCounts, rows: float, features: LongArray) -> "Moments":
        """Those of ``features`` (ascending), counted over rows whose weights sum to ``rows``; 0 where one does not
        occur.
        """
        order = np.argsort(counted.ids)
        at = np.minimum(np.searchsorted(counted.ids, features, sorter=order), max(order.size - 1, 0))
        mean, square = np.zeros(features.size), np.zeros(features.size)
        if order.size:
            here = counted.take(order[at])
            met = here.ids == features
            mean[met] = (here.weights * here.means / rows)[met]
            square[met] = ((here.spreads + here.weights * here.means**2) / rows)[met]
        return cls(mean.astype(np.float32), np.sqrt(square).astype(np.float32))


@dataclass(frozen=True)
class FieldStrengths:
    """Standard deviations of the parts of a score.

    Attributes
    ----------
    names : of the fields that have features in the model
    alone : float64 (F,), of what a field says by itself
    pairs : float64 (F, F), of what two say together beyond that; 0 on the diagonal
    """

    names: list[str]
    alone: DoubleArray
    pairs: DoubleArray

    @property
    def together(self) -> DoubleArray:
        """Of what each field says together with all others: float64 (F,)."""
        together: DoubleArray = np.sqrt((self.pairs**2).sum(axis=1))
        return together

    @property
    def shares(self) -> DoubleArray:
        """The part of the variance of z that is each field's, half of a pair's being either's: float64 (F,); they add
        up to 1, or are 0 where z is constant.
        """
        variances = self.alone**2 + 0.5 * self.together**2
        shares: DoubleArray = variances / max(float(variances.sum()), float(np.finfo(np.float64).tiny))
        return shares


def strengths(weights: Weights, layout: FieldLayout, moments: Moments | None) -> FieldStrengths:
    """How much each field, and each pair of fields, makes of a model's scores.

    Without ``moments`` the features of a field with one a row are taken to be equally frequent, and any others to have
    mean 0 and variance 1.
    """
    groups = [
        (one, weights.factors[rows].astype(np.float64), *_moments(one, rows, moments), rows)
        for one, rows in groups_of(weights, layout)
    ]
    centres = [mean @ v for _, v, mean, _, _ in groups]
    centre = np.sum(centres, axis=0) if centres else np.zeros(weights.factors.shape[1])
    alone, covariances = np.zeros(len(groups)), []
    for number, (one, v, mean, square, rows) in enumerate(groups):
        w, own = weights.linear[rows].astype(np.float64), centres[number]
        if one.one_per_row:
            says = w + v @ (centre - own)
            variance = square @ says**2 - (mean @ says) ** 2
            covariance = (v * square[:, None]).T @ v - np.outer(own, own)
        else:
            norms, spread = (v * v).sum(axis=1), square - mean**2
            says = w + v @ centre - mean * norms
            covariance = (v * spread[:, None]).T @ v
            within = 0.5 * ((covariance**2).sum() - (spread**2) @ norms**2)
            variance = spread @ says**2 + within
        alone[number] = np.sqrt(max(float(variance), 0.0))
        covariances.append(covariance.ravel())
    flat = np.array(covariances).reshape(len(groups), centre.size**2)
    pairs = np.sqrt(np.maximum(flat @ flat.T, 0.0))
    np.fill_diagonal(pairs, 0.0)
    return FieldStrengths([one.name for one, *_ in groups], alone, pairs)


def groups_of(weights: Weights, layout: FieldLayout) -> list[tuple[Field, npt.NDArray[np.intp]]]:
    """The fields with features in the model, and which rows of it are theirs; the features of no field come last."""
    numbers = layout.field_numbers(weights.features)
    groups = [(one, np.flatnonzero(numbers == number)) for number, one in enumerate(layout.fields)]
    rest = np.flatnonzero(numbers < 0)
    groups.append((Field(REST, 0, max(rest.size, 1), "rest", one_per_row=False), rest))
    return [(one, rows) for one, rows in groups if rows.size]


def _moments(
    one: Field, rows: npt.NDArray[np.intp], moments: Moments | None
) -> tuple[DoubleArray, DoubleArray]:
    """Means and mean squares of a field's features: float64."""
    if moments is not None:
        mean, root = (a[rows].astype(np.float64) for a in (moments.mean, moments.root_mean_square))
        return mean, root**2
    if one.one_per_row and one.size > 1:
        return np.full(rows.size, 1.0 / rows.size), np.full(rows.size, 1.0 / rows.size)
    return np.zeros(rows.size), np.ones(rows.size)


@dataclass(frozen=True)
class Strongest:
    """The strongest pairs of features, the strongest first.

    Attributes
    ----------
    first, second : int64 (n,), the features' rows in the model
    products : float64 (n,), <v_i, v_j>
    strengths : float64 (n,)
    """

    first: npt.NDArray[np.intp]
    second: npt.NDArray[np.intp]
    products: DoubleArray
    strengths: DoubleArray


def strongest(
    weights: Weights,
    layout: FieldLayout,
    moments: Moments | None,
    most: int,
    between: tuple[int, int] | None = None,
) -> Strongest:
    """The pairs of features with the largest r_i r_j |<v_i, v_j>|, r being the root mean square of a feature's values:
    the root mean square of what the pair contributes, if they occur independently. Without ``moments`` r is 1.

    Two features of a field that has one a row are no pair. ``between`` are the numbers of two fields to choose from, in
    either order.

    Exact, and in blocks: features are visited in descending order of r |v|, and what can't be stronger than what was
    found, by the inequality of Cauchy and Schwarz, is not visited. BLAS finds the candidates, whose products are then
    summed one by one: how BLAS rounds depends on the shape of the block and on the processor.
    """
    root = np.ones(weights.features.size)
    if moments is not None:
        root = moments.root_mean_square.astype(np.float64)
    numbers = layout.field_numbers(weights.features)
    # Features of no field, or of one with several a row, may meet any others.
    single = np.array([one.one_per_row for one in layout.fields] + [False])
    exclusive = np.where(single[numbers], numbers, -1 - np.arange(numbers.size))
    norms = root * np.sqrt((weights.factors.astype(np.float64) ** 2).sum(axis=1))

    def descending(number: int | None) -> npt.NDArray[np.intp]:
        some = np.flatnonzero((norms > 0.0) & ((numbers == number) if number is not None else True))
        return some[np.argsort(-norms[some], kind="stable")]

    left = descending(min(between) if between else None)
    right = descending(max(between)) if between else left
    same = between is None or between[0] == between[1]
    factors = weights.factors.astype(np.float64)
    best = Strongest(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0), np.empty(0))
    for a in range(0, left.size, ROWS_A_BLOCK):
        rows = left[a : a + ROWS_A_BLOCK]
        for b in range(a if same else 0, right.size, ROWS_A_BLOCK):
            columns = right[b : b + ROWS_A_BLOCK]
            least = best.strengths[-1] if best.strengths.size == most else 0.0
            if norms[rows[0]] * norms[columns[0]] <= least:
                break
            found = np.abs(factors[rows] @ factors[columns].T) * root[rows][:, None] * root[columns]
            found[exclusive[rows][:, None] == exclusive[columns]] = 0.0
            if same and a == b:
                found[np.tril_indices(rows.size)] = 0.0
            i, j = np.nonzero(found > least)
            if i.size > most:
                kept = np.argpartition(-found[i, j], most - 1)[:most]
                i, j = i[kept], j[kept]
            best = _best(best, rows[i], columns[j], factors, root, most)
    return best


def _best(
    best: Strongest,
    one: npt.NDArray[np.intp],
    other: npt.NDArray[np.intp],
    factors: DoubleArray,
    root: DoubleArray,
    most: int,
) -> Strongest:
    """The strongest of the known pairs and of the pairs (one, other), at most ``most``."""
    first, second = np.minimum(one, other), np.maximum(one, other)
    products = (factors[first] * factors[second]).sum(axis=1)
    all_first, all_second = np.concatenate([best.first, first]), np.concatenate([best.second, second])
    all_products = np.concatenate([best.products, products])
    all_strengths = np.concatenate([best.strengths, np.abs(products) * (root[first] * root[second])])
    order = np.lexsort((all_second, all_first, -all_strengths))[:most]
    return Strongest(all_first[order], all_second[order], all_products[order], all_strengths[order])
