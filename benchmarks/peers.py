"""Single-machine peers from PyPI, modern-fm and myfm, each in a process of its own.

They get what helps them: rows in memory as a scipy CSR matrix with the columns that occur in training only, all cores,
labels of a regression centred, and the number of epochs that is best on the test rows.
"""

import math
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from benchmarks.common import show, timed
from benchmarks.contenders import (
    SCORED_ROWS,
    Contender,
    DoubleArray,
    Fit,
    deciding_metric,
    metrics,
    peer_memory,
)
from benchmarks.data import Rows
from benchmarks.memory import PeakMemory
from benchmarks.sets import DataSet

MODERN_EPOCHS = 50
MODERN_PATIENCE = 4
MODERN_PATIENCE_LARGE = 2
MYFM_BURN_IN = 10

# learning_rate, l2_linear, l2_factors, batch_size
MODERN_GRID = [
    (0.05, 1e-3, 1e-3, 1),
    (0.05, 5e-3, 2e-2, 1),
    (0.1, 1e-3, 1e-3, 1),
    (0.1, 5e-3, 2e-2, 1),
    (0.1, 1e-3, 1e-3, 256),
    (0.2, 1e-3, 1e-2, 256),
]
MODERN_GRID_LARGE = [(0.05, 1e-3, 1e-3, 1), (0.1, 1e-3, 1e-3, 256)]


@dataclass(frozen=True)
class Arrays:
    """Training and test rows as scipy matrices; ``mean`` has been taken from a regression's labels."""

    train: Any
    train_label: DoubleArray
    test: Any
    test_label: DoubleArray
    mean: float


@lru_cache(maxsize=1)
def arrays(data: DataSet) -> Arrays:
    """The set in memory, in the peer's process."""
    train, test = data.read("train"), data.read("test")
    occurring = np.unique(train.ids)
    mean = 0.0 if data.binary else float(train.label.mean())
    return Arrays(
        _matrix(train, occurring), train.label - mean, _matrix(test, occurring), test.label - mean, mean
    )


def _matrix(rows: Rows, occurring: npt.NDArray[np.int64]) -> Any:
    from scipy.sparse import csr_matrix

    columns = np.minimum(np.searchsorted(occurring, rows.ids), occurring.size - 1)
    known = occurring[columns] == rows.ids
    indptr = np.concatenate([[0], np.cumsum(known)])[rows.indptr]
    columns = columns[known]
    return csr_matrix((np.ones(columns.size), columns, indptr), shape=(rows.size, occurring.size))


def measured(data: DataSet, seconds: float, predict: Callable[[Any], DoubleArray]) -> Fit:
    """A fit's record from its test rows and the speed of predicting some training rows."""
    held = arrays(data)
    scored = held.train[:SCORED_ROWS]
    predict(held.test)
    _, spent = timed(lambda: predict(scored))
    found = metrics(data, held.test_label + held.mean, predict(held.test) + held.mean)
    return Fit(seconds, found, {}, scored.shape[0] / spent)


def modern_model(data: DataSet, params: dict[str, Any], epochs: int, **more: Any) -> Any:
    """A model of modern-fm."""
    from modern_fm import FMClassifier, FMRegressor

    estimator = FMClassifier if data.binary else FMRegressor
    return estimator(n_factors=data.factor_size, max_iter=epochs, random_state=0, **params, **more)


def modern_curve(data: DataSet, params: dict[str, Any]) -> list[float]:
    """The test metric by epoch, as modern-fm's own early stopping measures it."""
    from modern_fm import fm

    held, losses = arrays(data), list[float]()
    run_epochs = fm.run_epochs

    def recorded(most: int, patience: int, delta: float, train: Any, evaluate: Any, snapshot: Any) -> Any:
        def watched() -> float:
            losses.append(float(evaluate()))
            return losses[-1]

        return run_epochs(most, patience, delta, train, watched, snapshot)

    patience = MODERN_PATIENCE_LARGE if data.large else MODERN_PATIENCE
    model = modern_model(data, params, MODERN_EPOCHS, early_stopping=True, patience=patience)
    with patch.object(fm, "run_epochs", recorded):
        model.fit(held.train, held.train_label, eval_set=(held.test, held.test_label))
    # Its squared loss has a factor of one half.
    return losses if data.binary else [math.sqrt(2.0 * loss) for loss in losses]


def modern_fit(data: DataSet, params: dict[str, Any], epochs: int) -> Fit:
    """A fit of so many epochs: the same steps that the curve has taken."""
    held, model = arrays(data), modern_model(data, params, epochs)
    _, seconds = timed(lambda: model.fit(held.train, held.train_label))
    return measured(
        data, seconds, lambda rows: model.predict_proba(rows)[:, 1] if data.binary else model.predict(rows)
    )


def myfm_model(data: DataSet) -> Any:
    """A Gibbs sampler of myfm."""
    os.environ["TQDM_DISABLE"] = "1"
    from myfm import MyFMClassifier, MyFMRegressor

    return (MyFMClassifier if data.binary else MyFMRegressor)(rank=data.factor_size)


def groups_of(data: DataSet) -> list[int] | None:
    """How many of the columns each field has, where all rows have as many values; myfm learns a prior for each."""
    rows = data.read("train")
    length = rows.ids.size // rows.size
    if rows.ids.size != length * rows.size or (np.diff(rows.indptr) != length).any():
        return None
    fields = rows.ids.reshape(-1, length)
    lowest, highest = fields.min(axis=0), fields.max(axis=0)
    if (highest[:-1] >= lowest[1:]).any():
        return None
    return [int(np.unique(fields[:, one]).size) for one in range(length)]


def myfm_curve(data: DataSet, params: dict[str, Any]) -> list[float]:
    """The test metric by iteration: of the mean prediction of the samples after burn-in."""
    held, model = arrays(data), myfm_model(data)
    total, curve = np.zeros(held.test_label.size), [math.inf] * MYFM_BURN_IN
    name = deciding_metric(data)

    def watch(iteration: int, sample: Any, hyper: Any, history: Any) -> tuple[bool, None]:
        if iteration >= MYFM_BURN_IN // 2:
            total[:] += model._prepare_prediction_for_test(sample, held.test, [])
        if iteration >= MYFM_BURN_IN:
            mean = total / (iteration + 1 - MYFM_BURN_IN // 2)
            curve.append(metrics(data, held.test_label, mean)[name])
        return False, None

    model.fit(
        held.train, held.train_label, n_iter=params["n_iter"], n_kept_samples=1, callback=watch,
        group_shapes=groups_of(data),
    )  # fmt: skip
    return curve


def myfm_fit(data: DataSet, params: dict[str, Any], epochs: int) -> Fit:
    """A fit of so many iterations."""
    held, model = arrays(data), myfm_model(data)
    groups = groups_of(data)
    _, seconds = timed(lambda: model.fit(held.train, held.train_label, n_iter=epochs, group_shapes=groups))
    predict = model.predict_proba if data.binary else model.predict
    return measured(data, seconds, lambda rows: predict(rows, n_workers=os.cpu_count()))


@dataclass
class Peer:
    """A contender that runs in a process of its own, which ends with :meth:`close`."""

    name: str
    family: str
    data: DataSet
    params: dict[str, Any]
    curve_in_child: Callable[[DataSet, dict[str, Any]], list[float]]
    fit_in_child: Callable[[DataSet, dict[str, Any], int], Fit]
    _curve: list[float] = field(default_factory=list)
    _pool: ProcessPoolExecutor | None = None

    def _run(self, function: Callable[..., Any], *args: Any) -> Any:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        return self._pool.submit(function, self.data, self.params, *args).result()

    def curve(self) -> list[float]:
        """The test metric by epoch, computed once."""
        self._curve = self._curve or self._run(self.curve_in_child)
        return self._curve

    def fit(self, epochs: int | None = None) -> Fit:
        """Fit for so many epochs; None: for those that are best on the test rows."""
        curve = self.curve()
        with PeakMemory() as memory:
            made: Fit = self._run(self.fit_in_child, epochs or 1 + curve.index(min(curve)))
        return Fit(made.seconds, made.metrics, peer_memory(memory), made.rows_per_second)

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def modern_fm(data: DataSet) -> tuple[list[Contender], list[Contender]]:
    """modern-fm with its defaults, and the settings of a grid."""
    grid = MODERN_GRID_LARGE if data.large else MODERN_GRID
    names = ("learning_rate", "l2_linear", "l2_factors", "batch_size")
    made: list[Contender] = []
    for values in grid:
        params = dict(zip(names, values, strict=True))
        named = ", ".join(f"{name} {value:g}" for name, value in params.items())
        made.append(Peer(f"modern-fm, {named}", "modern-fm", data, params, modern_curve, modern_fit))
    return [Peer("modern-fm, defaults", "modern-fm", data, {}, modern_curve, modern_fit)], made


def myfm(data: DataSet) -> Contender:
    """The peer myfm with its defaults and the fields; fewer iterations on generated sets, whose samples are large."""
    params = {"n_iter": 30 if data.generated else 100}
    name = f"myfm, at most {params['n_iter']} iterations"
    return Peer(name, "myfm", data, params, myfm_curve, myfm_fit)


def installed(package: str, name: str) -> bool:
    """Whether a peer can be imported; prints a line when not."""
    found = find_spec(package) is not None
    if not found:
        show(f"{name} is not installed: left out (pip install '.[bench]')")
    return found
