"""What a pairwise score costs: the FM's O(k n) beside the O(n^2) of a polynomial that has a weight for each pair.

python -m benchmarks.polynomial

Rows of n numbers, scored on one thread: by the package's kernel with k factors, and by a loop over all pairs, compiled
alike; the loop computes in float32, which suits it best. ``python -m benchmarks.readme`` draws docs/polynomial.svg of
the result.
"""

import numpy as np
import numpy.typing as npt

from benchmarks.common import parser, publish, show, timed
from spark_fm.core.compiled.compile import compiled
from spark_fm.core.fm.score import score_rows
from spark_fm.core.fm.weights import Weights

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]

VALUES = 400_000  # of all rows together


@compiled
def polynomial_rows(weights: FloatArray, linear: FloatArray, rows: FloatArray, out: DoubleArray) -> None:
    """Sum_i w_i x_i + sum_{i<j} W_ij x_i x_j of each row, float32 (rows, n), into ``out``."""
    n = rows.shape[1]
    for r in range(rows.shape[0]):
        total, row = 0.0, rows[r]
        for i in range(n):
            own = weights[i, i + 1 :]
            others = row[i + 1 :]
            with_others = np.float32(0.0)
            for j in range(own.size):
                with_others += own[j] * others[j]
            total += float((linear[i] + with_others) * row[i])
        out[r] = total


def seconds(n: int, factor_size: int, repeats: int) -> tuple[float, float, float]:
    """Seconds a row of the FM and of the polynomial of the same scores, and how far these are apart at most."""
    random = np.random.default_rng(0)
    count = max(VALUES // n, 20)
    rows = random.standard_normal((count, n), np.float32)
    linear = random.standard_normal(n, np.float32)
    factors = random.standard_normal((n, factor_size), np.float32) / np.float32(factor_size**0.5)
    table = Weights(np.arange(n), linear, factors, 0.0).table
    indptr = np.arange(0, count * n + 1, n, dtype=np.int32)
    indices = np.tile(np.arange(n, dtype=np.int32), count)
    every, by_fm, by_polynomial = np.arange(count, dtype=np.int32), np.empty(count), np.empty(count)
    weights = factors @ factors.T

    def fm() -> None:
        score_rows(table, 0.0, indptr, indices, rows.ravel(), every, by_fm)

    def polynomial() -> None:
        polynomial_rows(weights, linear, rows, by_polynomial)

    found = []
    for score in (fm, polynomial):
        score()  # compiles
        found.append(min(timed(score)[1] for _ in range(repeats)) / count)
    apart = float(np.abs(by_fm - by_polynomial).max() / np.abs(by_fm).max())
    return found[0], found[1], apart


def measured(n: int, factor_size: int, repeats: int) -> dict[str, object]:
    """A row of the table."""
    fm, polynomial, apart = seconds(n, factor_size, repeats)
    return {
        "n": n,
        "k": factor_size,
        "FM s a row": fm,
        "polynomial s a row": polynomial,
        "FM parameters": 1 + n + n * factor_size,
        "polynomial parameters": 1 + n + n * (n - 1) // 2,
        "apart": apart,
    }


def main() -> None:
    """Measure and publish."""
    options = parser(str(__doc__).splitlines()[0])
    options.add_argument(
        "--numbers", type=int, nargs="+", default=[4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048]
    )
    options.add_argument("--factors", type=int, default=8)
    options.add_argument("--repeats", type=int, default=5)
    args = options.parse_args()
    table = []
    for n in args.numbers:
        table.append(measured(n, args.factors, args.repeats))
        show(str(table[-1]))
    publish("polynomial", [("seconds a row on one thread", table)], args.output)


if __name__ == "__main__":
    main()
