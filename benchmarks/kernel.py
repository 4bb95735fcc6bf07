"""The kernel alone, on one thread: nanoseconds per non-zero and factor of one training pass.

python -m benchmarks.kernel

"memory" is a pass that only fetches the same rows of the table in the same order, with the same prefetches, and adds
one number of each cache line: what no kernel over this table can be faster than.
"""

from time import perf_counter

import numpy as np
import numpy.typing as npt

from benchmarks.common import parser, publish, show, timed
from benchmarks.data import zipf_ids
from spark_fm.core.compiled.compile import compiled
from spark_fm.core.compiled.simd import prefetch
from spark_fm.core.fm.losses import LOGISTIC
from spark_fm.core.fm.table import CACHE_LINE, Parameters, initial_parameters
from spark_fm.core.solver.adagrad.step import Penalties, Steps, train_rows
from spark_fm.core.sparse.dictionary import Dictionary


def one_pass(
    start: Parameters,
    indptr: npt.NDArray[np.int32],
    indices: npt.NDArray[np.int32],
    label: npt.NDArray[np.float64],
    order: npt.NDArray[np.int32],
) -> float:
    """Seconds of one training pass over binary rows in the given order; changes the parameters."""
    none = np.empty(0, np.float32)
    steps, penalties = Steps(*np.full(3, 0.05, np.float32)), Penalties(*np.full(5, 1e-4, np.float32))
    begun = perf_counter()
    train_rows(
        start.table, start.intercept, indptr, indices, none, label, none, order, LOGISTIC.number,
        start.factor_size,
        steps, penalties,
    )  # fmt: skip
    return perf_counter() - begun


@compiled
def fetch_rows(
    table: npt.NDArray[np.float32],
    indptr: npt.NDArray[np.int32],
    indices: npt.NDArray[np.int32],
    order: npt.NDArray[np.int32],
) -> float:
    """The sum of one number of each cache line that a training pass in this order touches."""
    total = np.float32(0.0)
    for r in range(order.size):
        if r + 1 < order.size:
            following = order[r + 1]
            for j in range(indptr[following], indptr[following + 1]):
                for f in range(0, table.shape[1], CACHE_LINE):
                    prefetch(table, indices[j], f)
        for j in range(indptr[order[r]], indptr[order[r] + 1]):
            for f in range(0, table.shape[1], CACHE_LINE):
                total += table[indices[j], f]
    return float(total)


def nanoseconds(ids: npt.NDArray[np.int64], factor_size: int, repeats: int) -> tuple[float, float, int]:
    """Best of some passes over binary rows, the same of memory alone, and how many features occur."""
    dictionary = Dictionary()
    indices = dictionary.encode(ids.ravel())
    rows, fields = ids.shape
    indptr = np.arange(0, rows * fields + 1, fields, dtype=np.int32)
    start = initial_parameters(np.arange(len(dictionary)), factor_size, 0.0, 0.01, 0)
    random = np.random.default_rng(0)
    label = np.asarray(random.random(rows) < 0.3, np.float64)
    orders = [random.permutation(rows).astype(np.int32) for _ in range(repeats + 1)]
    # The first pass compiles.
    seconds = [one_pass(start, indptr, indices, label, order) for order in orders][1:]
    fetching = [
        timed(lambda order=order: fetch_rows(start.table, indptr, indices, order))[1] for order in orders
    ]
    by = 1e9 / (ids.size * factor_size)
    return min(seconds) * by, min(fetching[1:]) * by, len(dictionary)


def main() -> None:
    """Measure and publish."""
    options = parser("ns per non-zero and factor of the training kernel on one thread")
    options.add_argument("--factors", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    options.add_argument("--repeats", type=int, default=5)
    args = options.parse_args()
    random = np.random.default_rng(0)
    sets = {
        "ctr: 39 Zipf(1.2) fields hashed into 2^20, 200 k rows": zipf_ids(200_000, 39, 2**20, 1.2, 0),
        "cold: 30 uniform of 1.2 M features, 100 k rows": random.integers(0, 1_200_000, (100_000, 30)),
        "hot: 30 Zipf(1.6) of 10 k features, 100 k rows": random.zipf(1.6, (100_000, 30)) % 10_000,
    }
    table: list[dict[str, object]] = []
    for name, ids in sets.items():
        row: dict[str, object] = {"data": name}
        for size in args.factors:
            found = nanoseconds(ids, size, args.repeats)
            row[f"k={size}"], row[f"memory, k={size}"], row["features that occur"] = found
        show(str(row))
        table.append(row)
    publish("kernel", [("ns per non-zero and factor, one thread", table)], args.output)


if __name__ == "__main__":
    main()
