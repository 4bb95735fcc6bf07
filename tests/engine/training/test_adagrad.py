import numpy as np
import pytest

from spark_fm import FMRegressor
from spark_fm.core.fm.losses import LOGISTIC, SQUARED
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.core.solver.plan import Epoch
from spark_fm.engine.training.adagrad import in_data_units


@pytest.mark.parametrize("weighted", [False, True])
def test_model_is_the_same_where_the_executors_sum(spark, monkeypatch, weighted):
    rows = [
        ([i % 7, 7 + i % 5, 12 + i % 3], float(i % 7 + i % 5), 1.0 + weighted * (i % 2)) for i in range(600)
    ]
    frame = spark.createDataFrame(rows, "features array<int>, label double, c double")
    estimator = FMRegressor(factorSize=3, numPartitions=3, maxIter=3, seed=1, weightCol="c")
    on_driver = estimator.fit(frame).weights
    monkeypatch.setattr("spark_fm.engine.cluster.driver_limits.MOST_TO_COLLECT", 0)
    monkeypatch.setattr("spark_fm.engine.training.rounds.SHARD_ROWS", 4)
    on_executors = estimator.fit(frame).weights
    np.testing.assert_allclose(on_executors.factors, on_driver.factors, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(on_executors.linear, on_driver.linear, rtol=1e-3, atol=1e-5)
    assert on_executors.intercept == pytest.approx(on_driver.intercept, rel=1e-4)


def test_squared_losses_become_mean_squared_errors():
    epoch = Epoch(3, 0.5, 0.25, {"job": 1.0})
    found = in_data_units(epoch, Settings(SQUARED), Scale(label_deviation=3.0))
    assert (found.number, found.training_loss, found.validation_loss) == (3, 9.0, 4.5)
    assert found.seconds == {"job": 1.0}


def test_log_losses_stay():
    found = in_data_units(Epoch(1, 0.5, 0.25, {}), Settings(LOGISTIC), Scale())
    assert (found.training_loss, found.validation_loss) == (0.5, 0.25)
