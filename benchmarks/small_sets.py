"""Small sets, each drawn anew for a seed: what an untuned fit must be good at without anybody looking.

Those of MovieLens and UCI Adult need the data folder; pyspark's come with it; the others are made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import data
from benchmarks.data import Planted, Rows

LongArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]

# How many values each of nine categories has, as in the table of access rights that Amazon once published.
ACCESS = (7518, 4243, 128, 177, 449, 343, 2358, 67, 343)


@dataclass(frozen=True)
class Valued:
    """Rows in CSR form with values: int64 (rows + 1,), int64 and float64 (non-zeros,), float64 (rows,)."""

    indptr: LongArray
    ids: LongArray
    values: DoubleArray
    label: DoubleArray

    @classmethod
    def of(cls, rows: Rows) -> "Valued":
        """Rows whose values are all 1."""
        return cls(rows.indptr, rows.ids, np.ones(rows.ids.size), rows.label)

    def take(self, rows: LongArray) -> "Valued":
        """The given rows, in the given order."""
        lengths = np.diff(self.indptr)[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        at = np.repeat(self.indptr[rows] - indptr[:-1], lengths) + np.arange(indptr[-1])
        return Valued(indptr, self.ids[at], self.values[at], self.label[rows])


@dataclass(frozen=True)
class SmallSet:
    """``draw`` gives the training and the test rows of a seed; ``binary``: labels are classes 0 and 1; ``large``: there
    are enough rows to do with fewer seeds.
    """

    name: str
    binary: bool
    draw: Callable[[int], tuple[Valued, Valued]]
    factor_size: int = 8
    large: bool = False


def divided(rows: Valued, training: int, seed: int) -> tuple[Valued, Valued]:
    """So many rows at random to train on, and the others."""
    order = np.random.default_rng([seed, 0x5EED]).permutation(rows.label.size)
    return rows.take(order[:training]), rows.take(order[training:])


def categories(sizes: tuple[int, ...], rows: int, exponent: float, random: np.random.Generator) -> LongArray:
    """Values of fields whose frequency falls with the rank r as r^-exponent: int64 (rows, fields)."""
    made, start = [], 0
    for size in sizes:
        shares = np.cumsum(np.arange(1.0, size + 1.0) ** -exponent)
        made.append(start + np.minimum(np.searchsorted(shares, random.random(rows) * shares[-1]), size - 1))
        start += size
    return np.stack(made, axis=1)


def drawn_classes(score: DoubleArray, random: np.random.Generator) -> DoubleArray:
    """Classes with these log-odds."""
    return (random.random(score.size) < 1.0 / (1.0 + np.exp(-score))).astype(np.float64)


def made(
    sizes: tuple[int, ...], rows: int, exponent: float, weights: float, factors: float, level: float | None
) -> Callable[[int], tuple[Valued, Valued]]:
    """Categorical rows of a planted FM, and 20,000 for test: classes with the log-odds ``level`` + z, numbers without a
    ``level``.
    """

    def draw(seed: int) -> tuple[Valued, Valued]:
        random = np.random.default_rng([seed, rows])
        ids = categories(sizes, rows + 20_000, exponent, random)
        score = Planted.of(sum(sizes), weights, factors, seed).score(ids)
        label = (
            score + random.standard_normal(score.size)
            if level is None
            else drawn_classes(level + score, random)
        )
        whole = Valued.of(Rows.of(ids, label))
        return whole.take(np.arange(rows)), whole.take(np.arange(rows, rows + 20_000))

    return draw


def clicks(rows: int) -> Callable[[int], tuple[Valued, Valued]]:
    """The first rows of :func:`benchmarks.data.ctr_chunk`."""

    def draw(seed: int) -> tuple[Valued, Valued]:
        whole = Valued.of(data.ctr_chunk(seed, 2**20))
        return divided(whole, rows, seed)

    return draw


def noise(seed: int) -> tuple[Valued, Valued]:
    """Classes that have nothing to do with ten columns of 100 values."""
    random = np.random.default_rng([seed, 1])
    ids = categories((100,) * 10, 23_000, 0.5, random)
    whole = Valued.of(Rows.of(ids, (random.random(23_000) < 0.3).astype(np.float64)))
    return whole.take(np.arange(3000)), whole.take(np.arange(3000, 23_000))


def adult(folder: Path, rows: int) -> Callable[[int], tuple[Valued, Valued]]:
    """So many of a9a's training rows, and its test rows."""

    def draw(seed: int) -> tuple[Valued, Valued]:
        train, test = (Valued.of(data.libsvm(folder / "a9a" / name)) for name in ("a9a", "a9a.t"))
        return divided(train, rows, seed)[0], test

    return draw


def ratings(folder: Path, genres: bool, liked: bool) -> Callable[[int], tuple[Valued, Valued]]:
    """MovieLens latest-small, a tenth for test: user, movie and, if asked for, ``genres``; the label is the rating, or
    whether it is 4 or more (``liked``).
    """

    def draw(seed: int) -> tuple[Valued, Valued]:
        table = np.loadtxt(folder / "ml-latest-small" / "ratings.csv", delimiter=",", skiprows=1)
        users = np.unique(table[:, 0], return_inverse=True)[1]
        items = np.unique(table[:, 1], return_inverse=True)[1] + users.max() + 1
        sets = [[int(user), int(item)] for user, item in zip(users, items, strict=True)]
        if genres:
            of = genres_of(folder / "ml-latest-small" / "movies.csv")
            names = sorted({name for found in of.values() for name in found})
            first = int(items.max()) + 1
            numbers = {movie: [first + names.index(name) for name in found] for movie, found in of.items()}
            sets = [row + numbers[int(movie)] for row, movie in zip(sets, table[:, 1], strict=True)]
        label = (table[:, 2] >= 4.0).astype(np.float64) if liked else table[:, 2]
        indptr = np.concatenate([[0], np.cumsum([len(row) for row in sets])])
        ids = np.array([one for row in sets for one in row], np.int64)
        whole = Valued(indptr, ids, np.ones(ids.size), label)
        return divided(whole, round(0.9 * label.size), seed)

    return draw


def genres_of(path: Path) -> dict[int, list[str]]:
    """The genres of each movie, ascending."""
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    return {int(line.split(",", 1)[0]): sorted(line.rsplit(",", 1)[1].split("|")) for line in lines}


def shipped(name: str, training: int) -> Callable[[int], tuple[Valued, Valued]]:
    """A sample that pyspark ships in LIBSVM form, with values."""

    def draw(seed: int) -> tuple[Valued, Valued]:
        import pyspark

        lines = (Path(pyspark.__file__).parent / "data/mllib" / name).read_text().splitlines()
        cells = [line.split() for line in lines]
        pairs = [one.split(":") for line in cells for one in line[1:]]
        indptr = np.concatenate([[0], np.cumsum([len(line) - 1 for line in cells])])
        ids = np.array([int(one[0]) - 1 for one in pairs], np.int64)
        values = np.array([float(one[1]) for one in pairs])
        whole = Valued(indptr, ids, values, np.array([float(line[0]) for line in cells]))
        return divided(whole, training, seed)

    return draw


def movielens_sample(seed: int) -> tuple[Valued, Valued]:
    """The MovieLens sample that pyspark ships; a fifth tests."""
    whole = Valued.of(Rows.joined(list(data.movielens_sample())))
    return divided(whole, 1200, seed)


def small_sets(folder: Path | None) -> list[SmallSet]:
    """All sets whose data are there."""
    found = [
        SmallSet("wide, 30 columns", True, made((300,) * 30, 4000, 0.3, 0.3, 0.0, -0.5)),
        SmallSet("clicks, 39 fields", True, clicks(8000)),
        SmallSet("access, 9 categories", True, made(ACCESS, 32_769, 1.1, 0.8, 0.3, 3.5)),
        SmallSet("noise", True, noise),
        SmallSet("pairs of 6 columns", True, made((30,) * 6, 10_000, 0.3, 0.1, 0.7, 0.0)),
        SmallSet("attributes, a number", False, made((400, 300, 20, 12, 7, 5), 10_000, 0.7, 0.4, 0.4, None)),
        SmallSet("pyspark's MovieLens", False, movielens_sample),
        SmallSet("pyspark's linear regression", False, shipped("sample_linear_regression_data.txt", 400)),
    ]
    if folder is not None:
        found += [
            SmallSet("a9a, 2,000 rows", True, adult(folder, 2000)),
            SmallSet("a9a, 8,000 rows", True, adult(folder, 8000)),
            SmallSet("MovieLens, liked", True, ratings(folder, False, True), large=True),
            SmallSet("MovieLens, liked, genres", True, ratings(folder, True, True), large=True),
            SmallSet("MovieLens, genres, k = 8", False, ratings(folder, True, False), large=True),
            SmallSet("MovieLens, genres, k = 16", False, ratings(folder, True, False), 16, large=True),
        ]
    return found
