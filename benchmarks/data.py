"""Where the benchmarks' rows come from: files of public sets, pyspark's samples, and seeded generators.

All sets are binary: a row is the ascending ids of its ones, and a label.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

LongArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.float32]

CHUNK = 50_000
CTR_FIELDS = 39
CTR_EXPONENT = 1.5
CONTEXT_FIELDS = {
    "user": 50_000,
    "item": 20_000,
    "hour": 24,
    "weekday": 7,
    "device": 5,
    "place": 12,
    "last item": 20_000,
}
CONTEXT_FEATURES = sum(CONTEXT_FIELDS.values())
CONTEXT_NOISE = 0.5


@dataclass(frozen=True)
class Rows:
    """Binary rows in CSR form: row r has ones at ``ids[indptr[r]:indptr[r + 1]]``; int64, int64, float64."""

    indptr: LongArray
    ids: LongArray
    label: DoubleArray

    @classmethod
    def of(cls, ids: LongArray, label: DoubleArray) -> "Rows":
        """Rows from a matrix of ids, each row's ascending; an id that a row has twice counts once."""
        kept = np.diff(ids, axis=1, prepend=-1) > 0
        return cls(np.concatenate([[0], np.cumsum(kept.sum(axis=1))]), ids[kept], label)

    @classmethod
    def joined(cls, parts: list["Rows"]) -> "Rows":
        """All rows of the parts, in order."""
        lengths = np.concatenate([np.diff(part.indptr) for part in parts])
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        return cls(indptr, np.concatenate([p.ids for p in parts]), np.concatenate([p.label for p in parts]))

    @property
    def size(self) -> int:
        """Number of rows."""
        return self.label.size

    def between(self, start: int, stop: int) -> "Rows":
        """The rows ``start:stop``."""
        first, last = self.indptr[start], self.indptr[min(stop, self.size)]
        indptr = self.indptr[start : stop + 1] - first
        return Rows(indptr, self.ids[first:last], self.label[start:stop])


@dataclass(frozen=True)
class Planted:
    """A seeded FM that draws labels: z = sum w_i + sum_{i<j} <v_i, v_j>, with four factors."""

    linear: FloatArray
    factors: FloatArray

    @classmethod
    @lru_cache(maxsize=1)
    def of(cls, features: int, linear: float, factors: float, seed: int) -> "Planted":
        """Weights and factors of the given standard deviations."""
        random = np.random.default_rng(seed)
        return cls(
            random.standard_normal(features, np.float32) * np.float32(linear),
            random.standard_normal((features, 4), np.float32) * np.float32(factors),
        )

    def score(self, ids: LongArray) -> DoubleArray:
        """The score z of rows of ids (rows, fields)."""
        v = self.factors[ids]
        pairs = 0.5 * ((v.sum(axis=1) ** 2).sum(axis=1) - (v * v).sum(axis=(1, 2)))
        z: DoubleArray = np.asarray(self.linear[ids].sum(axis=1) + pairs, np.float64)
        return z


def zipf_ids(rows: int, fields: int, features: int, exponent: float, seed: int) -> LongArray:
    """Categorical fields with Zipf-distributed values hashed into ``features`` ids: int64 (rows, fields)."""
    random = np.random.default_rng(seed)
    ids = np.empty((rows, fields), np.int64)
    for field in range(fields):
        value = random.zipf(exponent, rows) % 1_000_003 + field * 1_000_003
        mixed = value.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        ids[:, field] = (mixed >> np.uint64(24)).astype(np.int64) % features
    return ids


def ctr_chunk(chunk: int, features: int, exponent: float = CTR_EXPONENT, seed: int = 1) -> Rows:
    """50,000 rows of click data: 39 hashed fields, labels drawn with the log-odds -1.2 + z of a planted FM."""
    planted = Planted.of(features, 0.25, 0.15, seed)
    ids = np.sort(zipf_ids(CHUNK, CTR_FIELDS, features, exponent, seed * 100_003 + chunk), axis=1)
    probability = 1.0 / (1.0 + np.exp(1.2 - planted.score(ids)))
    random = np.random.default_rng([seed, chunk])
    return Rows.of(ids, (random.random(CHUNK) < probability).astype(np.float64))


def context_chunk(chunk: int, seed: int = 1) -> Rows:
    """50,000 ratings in context: user, item, hour, ... in one id space, labels 3.5 + z + noise of a planted FM.

    A value's frequency falls with its rank r as 1 / (r + a tenth of the field's size).
    """
    planted = Planted.of(CONTEXT_FEATURES, 0.3, 0.4, seed)
    random = np.random.default_rng([seed, chunk])
    ids, start = [], 0
    for size in CONTEXT_FIELDS.values():
        shares = np.cumsum(1.0 / (np.arange(size) + 0.1 * size))
        drawn = np.searchsorted(shares, random.random(CHUNK) * shares[-1], side="right")
        ids.append(start + np.minimum(drawn, size - 1))
        start += size
    matrix = np.stack(ids, axis=1)
    noise = random.normal(0.0, CONTEXT_NOISE, CHUNK)
    return Rows.of(matrix, 3.5 + planted.score(matrix) + noise)


def _ratings(table: DoubleArray, training: npt.NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """Users and items (columns 0 and 1) one-hot, numbered in ascending order; column 2 is the label."""
    users = np.unique(table[:, 0], return_inverse=True)[1]
    items = np.unique(table[:, 1], return_inverse=True)[1]
    ids = np.stack([users, items + users.max() + 1], axis=1).astype(np.int64)
    return Rows.of(ids[training], table[training, 2]), Rows.of(ids[~training], table[~training, 2])


def movielens(path: Path) -> tuple[Rows, Rows]:
    """MovieLens ratings.csv: 90 % of the rows train."""
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    return _ratings(table, np.random.default_rng(42).random(len(table)) < 0.9)


def movielens_sample() -> tuple[Rows, Rows]:
    """The MovieLens sample that pyspark ships; every fifth row tests."""
    import pyspark

    path = Path(pyspark.__file__).parent / "data/mllib/als/sample_movielens_ratings.txt"
    table = np.array([[float(x) for x in line.split("::")] for line in path.read_text().splitlines()])
    return _ratings(table, np.arange(len(table)) % 5 != 0)


def libsvm(path: Path) -> Rows:
    """Binary features and labels of which the positive ones count as 1, in LIBSVM form."""
    lines = [line.split() for line in path.read_text().splitlines()]
    ids = [int(field.split(":")[0]) - 1 for line in lines for field in line[1:]]
    indptr = np.concatenate([[0], np.cumsum([len(line) - 1 for line in lines])])
    return Rows(indptr, np.array(ids, np.int64), np.array([float(line[0]) > 0 for line in lines], np.float64))
