"""The Factorization Machine as its definition says it: O(n^2) in numpy float64. What the kernel is held against."""

import math
from dataclasses import dataclass, field

import numpy as np

from spark_fm.core.fm.constraints import Constraints
from spark_fm.core.fm.losses import SQUARED, Loss
from spark_fm.core.fm.scaling import FeatureCounts
from spark_fm.core.fm.table import TAIL, padded
from spark_fm.core.sparse.block import NO_FEATURES, NO_FLAGS, NO_FLOATS, Block

UNUSUAL, FARTHEST = 2.0, 0.2
# Of |x|, with which a row's penalties grow.
PENALTY_POWER = 0


@dataclass
class Oracle:
    """Dense float64 parameters of m features: w0, w (m,), v (m, K) with AdaGrad's accumulators and information."""

    w0: float
    w: np.ndarray
    v: np.ndarray
    g0: float = 1.0
    gw: np.ndarray = field(default_factory=lambda: np.empty(0))
    gv: np.ndarray = field(default_factory=lambda: np.empty(0))
    own: np.ndarray = field(default_factory=lambda: np.empty(0))
    info_0: float = 0.0
    info_w: np.ndarray = field(default_factory=lambda: np.empty(0))
    info_v: np.ndarray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        self.gw = self.gw if self.gw.size else np.ones(self.w.size)
        self.gv = self.gv if self.gv.size else np.ones(self.w.size)
        self.own = self.own if self.own.size else np.zeros(self.w.size)
        self.info_w, self.info_v = np.zeros(self.w.size), np.zeros(self.w.size)

    @classmethod
    def random(cls, seed: int, features: int, factor_size: int, scale: float = 0.5) -> "Oracle":
        random = np.random.default_rng(seed)

        def normal(*shape: int) -> np.ndarray:
            # Numbers that float32 holds, so that both sides start from the same ones.
            return (scale * random.standard_normal(shape)).astype(np.float32).astype(np.float64)

        return cls(float(normal(1)[0]), normal(features), normal(features, factor_size))

    @property
    def table(self) -> np.ndarray:
        table = np.zeros((self.w.size, padded(self.v.shape[1]) + TAIL), np.float32)
        table[:, : self.v.shape[1]] = self.v
        table[:, -4], table[:, -3], table[:, -2], table[:, -1] = self.w, self.gw, self.gv, self.own
        return table

    @property
    def intercept(self) -> np.ndarray:
        return np.array([self.w0, self.g0, self.info_0])

    def parts(self, ids: np.ndarray, x: np.ndarray) -> list[float]:
        """What a score is the sum of: w0, each weight's and each pair's part."""
        parts = [self.w0]
        for a, i in enumerate(ids):
            parts.append(float(self.w[i] * x[a]))
            for b in range(a + 1, len(ids)):
                parts.append(float(self.v[i] @ self.v[ids[b]]) * float(x[a]) * float(x[b]))
        return parts

    def score(self, ids: np.ndarray, x: np.ndarray) -> float:
        return math.fsum(self.parts(ids, x))

    def magnitude(self, ids: np.ndarray, x: np.ndarray) -> float:
        """The largest part of a score, or its sum: what an error is to be small beside."""
        parts = self.parts(ids, x)
        return max(abs(math.fsum(parts)), *map(abs, parts), 0.0)

    def way(self, ids: np.ndarray, x: np.ndarray, steps: np.ndarray) -> float:
        """How far a step on a row moves its own score for each unit of its gradient."""
        total = self.v[ids].T @ x if len(ids) else np.zeros(self.v.shape[1])
        way = 0.0
        for i, xi in zip(ids, x, strict=True):
            slope = xi * (total - self.v[i] * xi)
            way += steps[1] * xi * xi / np.sqrt(self.gw[i]) + steps[2] * (slope @ slope) / np.sqrt(self.gv[i])
        return way

    def step(
        self,
        ids: np.ndarray,
        x: np.ndarray,
        y: float,
        c: float,
        loss: Loss,
        steps: np.ndarray,
        penalties: np.ndarray,
        usual: float = np.inf,
        constraints: Constraints | None = None,
    ) -> float:
        """One AdaGrad step on one row, written out by hand; returns the row's weighted loss before it."""
        if c == 0.0:
            return 0.0
        z = self.score(ids, x)
        before = c * value(loss, z, y)
        if c * (x @ x) > UNUSUAL * usual:
            curvature = 1.0 if loss is SQUARED else 0.25
            c = min(c, FARTHEST / (self.way(ids, x, steps) * curvature))
        g = c * derivative(loss, z, y)
        self.g0 += g * g
        self.info_0 += g * g / c
        self.w0 -= steps[0] * g / np.sqrt(self.g0)
        total = self.v[ids].T @ x if len(ids) else np.zeros(self.v.shape[1])
        for i, xi in zip(ids, x, strict=True):
            by = constraints.penalties[i] if constraints else 1.0
            own = min(penalties[2] * self.own[i] * by, penalties[3])
            shrink_w = c * abs(xi) ** PENALTY_POWER * (penalties[0] * by + own)
            shrink_v = c * abs(xi) ** PENALTY_POWER * (penalties[1] * by + penalties[4] * own)
            grad_w = g * xi + shrink_w * self.w[i]
            grad_v = g * xi * (total - self.v[i] * xi) + shrink_v * self.v[i]
            self.gw[i] += grad_w * grad_w
            self.info_w[i] += grad_w * grad_w / c
            self.w[i] -= steps[1] * grad_w / np.sqrt(self.gw[i])
            if grad_v.size and (constraints is None or constraints.has_factors[i]):
                self.gv[i] += (grad_v * grad_v).mean()
                self.info_v[i] += (grad_v * grad_v).mean() / c
                self.v[i] -= steps[2] * grad_v / np.sqrt(self.gv[i])
            if constraints and constraints.nonnegative:
                self.w[i], self.v[i] = max(self.w[i], 0.0), np.maximum(self.v[i], 0.0)
        return before


def value(loss: Loss, z: float, y: float) -> float:
    if loss is SQUARED:
        return 0.5 * (z - y) ** 2
    return float(np.logaddexp(0.0, z) - y * z)


def derivative(loss: Loss, z: float, y: float) -> float:
    if loss is SQUARED:
        return z - y
    return float(np.exp(-np.logaddexp(0.0, -z)) - y)


def block_of(
    rows: list[tuple[list[int], list[float]]],
    label: list[float] | None = None,
    weight: list[float] | None = None,
    validation: list[bool] | None = None,
    features: list[int] | None = None,
    dtype: type[np.floating] = np.float32,
) -> Block:
    """A block from (ids, values) by row; values that are all one are left out, as packing does it."""
    values = np.array([x for _, xs in rows for x in xs], dtype)
    return Block(
        indptr=np.cumsum([0] + [len(ids) for ids, _ in rows]).astype(np.int32),
        indices=np.array([i for ids, _ in rows for i in ids], np.int32),
        values=NO_FLOATS if (values == 1.0).all() else values,
        label=np.zeros(len(rows)) if label is None else np.array(label, np.float64),
        weight=NO_FLOATS if weight is None else np.array(weight, np.float32),
        validation=NO_FLAGS if validation is None else np.array(validation, np.bool_),
        features=NO_FEATURES if features is None else np.array(features, np.int64),
    )


def rows_of(block: Block) -> list[tuple[tuple[int, ...], tuple[float, ...], float, float, bool]]:
    """A block as plain rows: (ids, values, label, weight, validation), defaults filled in."""
    found = []
    for r in range(block.rows):
        part = slice(block.indptr[r], block.indptr[r + 1])
        ids = tuple(int(i) for i in block.indices[part])
        found.append(
            (
                ids,
                tuple(float(x) for x in block.values[part]) if block.values.size else (1.0,) * len(ids),
                float(block.label[r]),
                float(block.weight[r]) if block.weight.size else 1.0,
                bool(block.validation[r]) if block.validation.size else False,
            )
        )
    return found


def counts_of(block: Block, ids: np.ndarray | None = None) -> FeatureCounts:
    """What the training rows of a localised block say of each feature, by numpy."""
    size = block.features.size if ids is None else ids.size
    values, weights = [[] for _ in range(size)], [[] for _ in range(size)]
    for row, xs, _, weight, held in rows_of(block):
        for i, x in zip(row, xs, strict=True):
            if not held:
                values[i].append(x)
                weights[i].append(weight)
    means = [np.average(x, weights=w) if x else 0.0 for x, w in zip(values, weights, strict=True)]
    return FeatureCounts(
        block.features if ids is None else ids,
        np.array([len(x) for x in values], np.float64),
        np.array(means),
        np.array([np.dot(w, (np.array(x) - m) ** 2) for x, w, m in zip(values, weights, means, strict=True)]),
        np.array([np.sum(w) for w in weights], np.float64) if block.weight.size else None,
    )
