"""The benchmarks' data: real sets where a folder has them, pyspark's samples, and seeded generators."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Rows:
    """Binary sparse rows: the ids of each row's ones, and the label."""

    ids: list[npt.NDArray[np.int64]]
    label: npt.NDArray[np.float64]

    def frame(self, spark: Any, size: int, partitions: int = 2) -> Any:
        """A cached DataFrame (label double, features vector of ``size``)."""
        from pyspark.ml.linalg import Vectors

        rows = [
            (float(y), Vectors.sparse(size, i.tolist(), [1.0] * i.size))
            for i, y in zip(self.ids, self.label, strict=True)
        ]
        frame = spark.createDataFrame(rows, ["label", "features"]).repartition(partitions).cache()
        frame.count()
        return frame


@dataclass(frozen=True)
class Split:
    """A data set: training and test rows, and the number of features."""

    name: str
    train: Rows
    test: Rows
    size: int
    binary: bool


def movielens(folder: Path) -> Split:
    """ml-latest-small: users and movies one-hot, numbered in ascending order; 90 % of the rows train."""
    table = np.loadtxt(folder / "ml-latest-small" / "ratings.csv", delimiter=",", skiprows=1)
    users = np.unique(table[:, 0], return_inverse=True)[1]
    movies = np.unique(table[:, 1], return_inverse=True)[1]
    ids = np.stack([users, movies + users.max() + 1], axis=1).astype(np.int64)
    chosen = np.random.default_rng(42).random(len(table)) < 0.9
    train, test = (
        Rows(list(ids[rows]), table[rows, 2]) for rows in (chosen, ~chosen)
    )  # fmt: skip
    return Split("ml-latest-small", train, test, int(ids.max()) + 1, binary=False)


def _libsvm(path: Path) -> Rows:
    ids, label = [], []
    for line in path.read_text().splitlines():
        first, *rest = line.split()
        label.append(float(first) > 0.0)
        ids.append(np.array([int(field.split(":")[0]) - 1 for field in rest], np.int64))
    return Rows(ids, np.array(label, np.float64))


def a9a(folder: Path) -> Split:
    """UCI Adult in LIBSVM form: 123 binary features, its own test set."""
    here = folder / "a9a"
    return Split("a9a", _libsvm(here / "a9a"), _libsvm(here / "a9a.t"), 123, binary=True)


def sample() -> Split:
    """The MovieLens sample that pyspark ships; every fifth row tests."""
    import pyspark

    path = Path(pyspark.__file__).parent / "data/mllib/als/sample_movielens_ratings.txt"
    table = np.array([[float(x) for x in line.split("::")] for line in path.read_text().splitlines()])
    ids = np.stack([table[:, 0], table[:, 1] + table[:, 0].max() + 1], axis=1).astype(np.int64)
    testing = np.arange(len(table)) % 5 == 0
    train, test = (Rows(list(ids[rows]), table[rows, 2]) for rows in (~testing, testing))
    return Split("pyspark's MovieLens sample", train, test, int(ids.max()) + 1, binary=False)


def real_sets(folder: Path | None, names: list[str]) -> list[Split]:
    """Of the named sets those that the folder has; "sample", pyspark's own, needs none."""
    found = []
    if "ml-latest-small" in names and folder and (folder / "ml-latest-small" / "ratings.csv").exists():
        found.append(movielens(folder))
    if "a9a" in names and folder and (folder / "a9a" / "a9a").exists():
        found.append(a9a(folder))
    return [*found, sample()] if "sample" in names else found


def zipf_ids(rows: int, fields: int, features: int, exponent: float, seed: int) -> npt.NDArray[np.int64]:
    """Categorical fields with Zipf-distributed values hashed into ``features`` ids: int64 (rows, fields)."""
    random = np.random.default_rng(seed)
    ids = np.empty((rows, fields), np.int64)
    for field in range(fields):
        value = random.zipf(exponent, rows) % 1_000_003 + field * 1_000_003
        mixed = value.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        ids[:, field] = (mixed >> np.uint64(24)).astype(np.int64) % features
    return ids


CTR_FIELDS = 39
CTR_FEATURES = 2**20
_ROWS_A_CHUNK = 50_000


@dataclass(frozen=True)
class Planted:
    """A seeded FM over hashed ids that draws labels: log-odds -1.2 + sum w_i + sum_{i<j} <v_i, v_j>."""

    linear: npt.NDArray[np.float32]
    factors: npt.NDArray[np.float32]

    @classmethod
    def of(cls, features: int, seed: int) -> "Planted":
        """Weights of deviation 0.25 and four factors of deviation 0.08."""
        random = np.random.default_rng(seed)
        linear = random.normal(0, 0.25, features).astype(np.float32)
        return cls(linear, random.normal(0, 0.08, (features, 4)).astype(np.float32))

    def probability(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """P(label = 1) of rows of ids."""
        v = self.factors[ids]
        pairs = 0.5 * ((v.sum(axis=1) ** 2).sum(axis=1) - (v * v).sum(axis=(1, 2)))
        return 1.0 / (1.0 + np.exp(1.2 - self.linear[ids].sum(axis=1) - pairs))


def ctr_chunk(
    chunk: int, planted: Planted, features: int, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """50,000 rows of CTR-like data: ids (rows, 39), each row's ascending, and labels."""
    ids = np.sort(zipf_ids(_ROWS_A_CHUNK, CTR_FIELDS, features, 1.2, seed * 100_003 + chunk), axis=1)
    random = np.random.default_rng([seed, chunk])
    label = (random.random(_ROWS_A_CHUNK) < planted.probability(ids)).astype(np.float64)
    return ids, label


def _ctr_batches(batches: Any, features: int, seed: int) -> Any:
    import pyarrow as pa

    planted = Planted.of(features, seed)
    for batch in batches:
        for chunk in batch.column("id").to_pylist():
            ids, label = ctr_chunk(chunk, planted, features, seed)
            # Two fields may hash to one id, which a row may hold only once.
            kept = np.diff(ids, axis=1, prepend=-1) > 0
            offsets = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int32)
            lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(ids[kept]))
            yield pa.RecordBatch.from_arrays(
                [pa.array(label), lists, pa.array(np.full(label.size, chunk))], ["label", "features", "chunk"]
            )


def ctr_frame(spark: Any, rows: int, path: Path, features: int = CTR_FEATURES, seed: int = 1) -> Any:
    """CTR-like data as Parquet below ``path`` (made once): label double, features array<bigint>, chunk bigint."""
    from functools import partial

    here = path / f"ctr-{rows}-{features}-{seed}"
    if not (here / "_SUCCESS").exists():
        chunks = -(-rows // _ROWS_A_CHUNK)
        made = spark.range(0, chunks, 1, min(chunks, 16)).mapInArrow(
            partial(_ctr_batches, features=features, seed=seed),
            "label double, features array<bigint>, chunk bigint",
        )
        made.write.mode("overwrite").parquet(str(here))
    return spark.read.parquet(str(here))
