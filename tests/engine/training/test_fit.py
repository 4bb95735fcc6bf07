import math

import numpy as np
import pytest

from spark_fm import FMRegressor
from spark_fm.core.fm.weights import Weights
from spark_fm.engine.training.fit import SOLVERS, is_still_falling
from spark_fm.engine.training.solver import FitEpoch, Solved


class Constant:
    """A solver that learns the mean of the labels."""

    def __init__(self, factor=0.0):
        self.factor = factor

    def fit(self, packed, init, parallelism, report, checkpoints):
        features, size = packed.features.ids, init.settings.factor_size
        weights = Weights(
            np.sort(features),
            np.zeros(features.size, np.float32),
            np.full((features.size, size), self.factor, np.float32),
            packed.statistics.label_mean,
        )
        epoch = FitEpoch(1, packed.statistics.label_variance, math.nan, {})
        report(epoch)
        return Solved(weights, [epoch], 1, "maxIter", 0, 0, parallelism.partitions, 1)


@pytest.fixture
def frame(spark):
    rows = [([i % 3, 3 + i % 2], float(i)) for i in range(11)]
    return spark.createDataFrame(rows, "features array<int>, label double")


def test_fit_is_that_of_the_solver_that_was_asked_for(frame, monkeypatch):
    monkeypatch.setitem(SOLVERS, "constant", Constant())
    model = FMRegressor(solver="constant", numPartitions=3, factorSize=2).fit(frame)
    assert model.predict([0, 4]) == pytest.approx(5.0)
    assert model.getSolver() == "constant"
    assert (model.summary.trainingLoss, model.summary.partitions) == ([pytest.approx(10.0)], 3)


def test_solver_that_is_none_is_told():
    with pytest.raises(ValueError, match="solver: found 'constant', expected one of: adagrad"):
        FMRegressor(solver="constant")


def test_weights_that_are_not_finite_are_no_model(frame, monkeypatch):
    monkeypatch.setitem(SOLVERS, "constant", Constant(math.inf))
    with pytest.raises(RuntimeError, match="stepSize: training left the range of single precision"):
        FMRegressor(solver="constant", factorSize=2).fit(frame)


def solved(losses, reason="maxIter", judged_rows=10):
    history = [FitEpoch(n, 1.0 / n, loss, {}) for n, loss in enumerate(losses, 1)]
    return Solved(None, history, len(losses), reason, 0, judged_rows, 1, 1)


def test_loss_that_still_falls_at_max_iter():
    assert is_still_falling(solved([3.0, 2.0, 1.0]), 1e-6)
    assert not is_still_falling(solved([3.0, 1.0, 2.0]), 1e-6)
    assert not is_still_falling(solved([3.0, 2.0, 1.0], reason="patience"), 1e-6)
    assert not is_still_falling(solved([3.0]), 1e-6)
    # Without rows to judge by it is the training loss.
    assert is_still_falling(solved([math.nan] * 3, judged_rows=0), 1e-6)
