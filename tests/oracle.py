"""The Factorization Machine as its definition says it: O(n^2) in numpy float64. What the kernel is held against."""

from dataclasses import dataclass, field

import numpy as np

from spark_fm.core.block import NO_FEATURES, NO_FLAGS, NO_FLOATS, Block
from spark_fm.core.loss import Loss
from spark_fm.core.parameters import padded


@dataclass
class Oracle:
    """Dense float64 parameters of m features: w0 (2,), w (m,), v (m, K) with AdaGrad's accumulators."""

    w0: float
    w: np.ndarray
    v: np.ndarray
    g0: float = 1.0
    gw: np.ndarray = field(default_factory=lambda: np.empty(0))
    gv: np.ndarray = field(default_factory=lambda: np.empty(0))
    own: np.ndarray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        self.gw = self.gw if self.gw.size else np.ones(self.w.size)
        self.gv = self.gv if self.gv.size else np.ones(self.w.size)
        self.own = self.own if self.own.size else np.zeros(self.w.size)

    @classmethod
    def random(cls, seed: int, features: int, factor_size: int, scale: float = 0.5) -> "Oracle":
        random = np.random.default_rng(seed)

        def normal(*shape: int) -> np.ndarray:
            # Numbers that float32 holds, so that both sides start from the same ones.
            return (scale * random.standard_normal(shape)).astype(np.float32).astype(np.float64)

        return cls(float(normal(1)[0]), normal(features), normal(features, factor_size))

    @property
    def table(self) -> np.ndarray:
        table = np.zeros((self.w.size, padded(self.v.shape[1]) + 4), np.float32)
        table[:, : self.v.shape[1]] = self.v
        table[:, -4], table[:, -3], table[:, -2], table[:, -1] = self.w, self.gw, self.gv, self.own
        return table

    def score(self, ids: np.ndarray, x: np.ndarray) -> float:
        z = self.w0
        for a, i in enumerate(ids):
            z += self.w[i] * x[a]
            for b in range(a + 1, len(ids)):
                z += self.v[i] @ self.v[ids[b]] * x[a] * x[b]
        return float(z)

    def magnitude(self, ids: np.ndarray, x: np.ndarray) -> float:
        """The size of the numbers that the linear-time formula adds and subtracts: rounding is a part of it."""
        linear = np.abs(self.w[ids] * x).sum()
        pairs = (np.abs(self.v[ids] * np.asarray(x)[:, None]).sum(axis=0) ** 2).sum()
        return float(abs(self.w0) + linear + pairs)

    def step(
        self,
        ids: np.ndarray,
        x: np.ndarray,
        y: float,
        c: float,
        loss: Loss,
        steps: np.ndarray,
        penalties: np.ndarray,
    ) -> float:
        """One AdaGrad step on one row, written out by hand; returns the row's weighted loss before it."""
        if c == 0.0:
            return 0.0
        z = self.score(ids, x)
        g = c * derivative(loss, z, y)
        before = c * value(loss, z, y)
        self.g0 += g * g
        self.w0 -= steps[0] * g / np.sqrt(self.g0)
        total = self.v[ids].T @ x if len(ids) else np.zeros(self.v.shape[1])
        for i, xi in zip(ids, x, strict=True):
            own = min(penalties[2] * self.own[i], penalties[3])
            grad_w = g * xi + c * (penalties[0] + own) * self.w[i]
            grad_v = g * xi * (total - self.v[i] * xi) + c * (penalties[1] + penalties[4] * own) * self.v[i]
            self.gw[i] += grad_w * grad_w
            self.w[i] -= steps[1] * grad_w / np.sqrt(self.gw[i])
            if grad_v.size:
                self.gv[i] += (grad_v * grad_v).mean()
                self.v[i] -= steps[2] * grad_v / np.sqrt(self.gv[i])
        return before


def value(loss: Loss, z: float, y: float) -> float:
    if loss is Loss.SQUARED:
        return 0.5 * (z - y) ** 2
    return float(np.logaddexp(0.0, z) - y * z)


def derivative(loss: Loss, z: float, y: float) -> float:
    if loss is Loss.SQUARED:
        return z - y
    return float(np.exp(-np.logaddexp(0.0, -z)) - y)


def block_of(
    rows: list[tuple[list[int], list[float]]],
    label: list[float] | None = None,
    weight: list[float] | None = None,
    validation: list[bool] | None = None,
    features: list[int] | None = None,
) -> Block:
    """A block from (ids, values) by row; values that are all one are left out, as packing does it."""
    values = np.array([x for _, xs in rows for x in xs], np.float32)
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
