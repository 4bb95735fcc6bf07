"""Small sets: an untuned fit beside the best of fixed strengths of the prior, and beside linear models.

python -m benchmarks.small --data FOLDER

Each set is drawn anew for each seed. All fits are as one task makes them, in this process: rows held out of the
training rows choose the number of epochs, and untuned the strength of the prior too. The fixed strength and the penalty
of the linear models are the best of the list on the *test* rows, so no honest choice within the list could beat them.
The linear models minimise what pyspark.ml's LogisticRegression and LinearRegression do, with ``standardization`` and
without it, as scikit-learn does.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.common import parser, publish, show
from benchmarks.small_sets import SmallSet, Valued, small_sets
from spark_fm.core.fm.losses import LOGISTIC, SQUARED
from spark_fm.core.fm.measure import measure
from spark_fm.core.fm.scaling import FeatureCounts, FeatureScaling, scaled
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.in_memory import fit_in_memory
from spark_fm.core.sparse.block import NO_FLAGS, NO_FLOATS, Block

STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0)
PENALTIES = (0.001, 0.01, 0.1)
INVERSE_PENALTIES = (0.03, 0.3, 3.0)
HELD_OUT = 0.1
DoubleArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Prepared:
    """Training and test rows as blocks, whose indices are positions of the training rows' features."""

    train: Block
    test: Block
    counted: FeatureCounts
    binary: bool

    @classmethod
    def of(cls, train: Valued, test: Valued, binary: bool) -> "Prepared":
        """Features that only test rows have are left out."""
        features, places, counts = np.unique(train.ids, return_inverse=True, return_counts=True)
        means = np.bincount(places, train.values) / counts
        spreads = np.bincount(places, (train.values - means[places]) ** 2)
        counted = FeatureCounts(features, counts.astype(np.float64), means, spreads)

        def block(rows: Valued) -> Block:
            positions = np.minimum(np.searchsorted(features, rows.ids), features.size - 1)
            known = features[positions] == rows.ids
            indptr = np.concatenate([[0], np.cumsum(known)])[rows.indptr].astype(np.int32)
            values = NO_FLOATS if (rows.values == 1.0).all() else rows.values[known]
            indices = positions[known].astype(np.int32)
            return Block(indptr, indices, values, rows.label, NO_FLOATS, NO_FLAGS, features)

        return cls(block(train), block(test), counted, binary)

    def metric(self, mean_loss: float) -> float:
        """Log-loss, or the RMSE from half the mean squared error."""
        return mean_loss if self.binary else float(np.sqrt(2.0 * mean_loss))

    def fitted(self, settings: Settings) -> tuple[float, float]:
        """The test metric of a fit, and the processor's seconds that it took."""
        label = self.train.label
        scale = Scale.of(settings, 1.0, float(label.mean()), float(label.var()))
        start = ParameterInit(settings, scale)
        begun = process_time()
        state = fit_in_memory(self.train, start, self.counted, HELD_OUT).state
        seconds = process_time() - begun
        test = scaled(self.test, scale, FeatureScaling.of(self.counted, self.train.rows, settings.centres))
        rows = np.arange(test.rows, dtype=np.int32)
        loss = measure(state.table, float(state.intercept[0]), test, rows, settings.loss).mean
        return self.metric(loss * scale.label_deviation**2), seconds

    def linear(self) -> tuple[float, str]:
        """The test metric of the best linear model, and its penalty."""
        n = self.train.rows
        standardized = [(one, True, f"regParam {one:g}") for one in PENALTIES]
        plain = [(1.0 / (c * n), False, f"C {c:g}") for c in INVERSE_PENALTIES]
        found = [(self._linear(*one[:2]), one[2]) for one in (*standardized, *plain)]
        return min(found)

    def _linear(self, penalty: float, standardized: bool) -> float:
        from scipy.optimize import minimize
        from scipy.sparse import csr_matrix

        def matrix(block: Block) -> Any:
            values = block.values if block.values.size else np.ones(block.indices.size)
            return csr_matrix((values, block.indices, block.indptr), (block.rows, self.counted.ids.size))

        x, label = matrix(self.train), self.train.label
        by = np.ones(self.counted.ids.size)
        if standardized:
            mean = np.asarray(x.mean(axis=0)).ravel()
            by = np.maximum(np.asarray(x.multiply(x).mean(axis=0)).ravel() - mean**2, 0.0)

        def halves(z: DoubleArray, label: DoubleArray) -> float:
            losses = np.logaddexp(0.0, z) - label * z if self.binary else 0.5 * (z - label) ** 2
            return float(losses.mean())

        def objective(w: DoubleArray) -> tuple[float, DoubleArray]:
            z = x @ w[1:] + w[0]
            predicted = 1.0 / (1.0 + np.exp(-z)) if self.binary else z
            residual = (predicted - label) / label.size
            gradient = np.concatenate([[residual.sum()], x.T @ residual + penalty * by * w[1:]])
            return halves(z, label) + 0.5 * penalty * float(by @ w[1:] ** 2), gradient

        start = np.zeros(by.size + 1)
        w = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
        return self.metric(halves(matrix(self.test) @ w[1:] + w[0], self.test.label))


def percent(ours: DoubleArray, theirs: DoubleArray) -> str:
    """How far ours is above theirs, in per cent of it, and the standard error over the seeds."""
    found = 100.0 * (ours / theirs - 1.0)
    error = f" ± {found.std(ddof=1) / np.sqrt(found.size):.2f}" if found.size > 1 else ""
    return f"{found.mean():+.2f}{error}"


def measured(one: SmallSet, seeds: int) -> dict[str, object]:
    """A row of the table."""
    settings = Settings(LOGISTIC if one.binary else SQUARED, factor_size=one.factor_size)
    untuned, fixed, linear, penalties = [], [], [], []
    for seed in range(1, seeds + 1):
        prepared = Prepared.of(*one.draw(seed), one.binary)
        seeded = replace(settings, seed=seed)
        untuned.append(prepared.fitted(replace(seeded, adapt_prior=True)))
        fixed.append([prepared.fitted(replace(seeded, reg_prior=strength)) for strength in STRENGTHS])
        found, penalty = prepared.linear()
        linear.append(found)
        penalties.append(penalty)
    ours, all_fixed = np.array(untuned), np.array(fixed)
    best = int(all_fixed[:, :, 0].mean(axis=0).argmin())
    row: dict[str, object] = {
        "set": one.name,
        "rows": prepared.train.rows,
        "metric": "log-loss" if one.binary else "RMSE",
        "seeds": seeds,
        "untuned": float(ours[:, 0].mean()),
        "best fixed strength": STRENGTHS[best],
        "its metric": float(all_fixed[:, best, 0].mean()),
        "untuned above it, %": percent(ours[:, 0], all_fixed[:, best, 0]),
        "best linear model": max(set(penalties), key=penalties.count),
        "linear": float(np.mean(linear)),
        "untuned above linear, %": percent(ours[:, 0], np.array(linear)),
        "CPU seconds": float(ours[:, 1].mean()),
        "times those at strength 0.3": float(ours[:, 1].sum() / all_fixed[:, STRENGTHS.index(0.3), 1].sum()),
    }
    show(str(row))
    return row


def main() -> None:
    """Measure all sets and publish."""
    options = parser(str(__doc__).splitlines()[0])
    options.add_argument("--data", type=Path, help="folder with ml-latest-small and a9a")
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--large-seeds", type=int, default=2, help="of sets with 50,000 rows and more")
    options.add_argument("--sets", nargs="+", help="names of sets; default: all")
    args = options.parse_args()
    rows = []
    for one in small_sets(args.data):
        if args.sets and one.name not in args.sets:
            continue
        rows.append(measured(one, args.large_seeds if one.large else args.seeds))
        publish("small", [("small sets, untuned", rows)], args.output)


if __name__ == "__main__":
    main()
