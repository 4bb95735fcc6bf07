"""Training that goes on with the optimizer's state of an earlier model."""

import numpy as np
import pytest
from pyspark.sql import functions as F

from spark_fm import FMRegressionModel, FMRegressor
from tests.ml.frames import assert_same_weights

PARAMS = {"factorSize": 2, "maxIter": 2, "validationFraction": 0.0, "tol": 0.0, "roundsPerEpoch": 1}


@pytest.fixture(scope="module")
def rows(spark):
    user, item = F.pmod(F.xxhash64(F.lit(1), "id"), F.lit(40)), F.pmod(F.xxhash64(F.lit(2), "id"), F.lit(30))
    features = F.array(user.cast("int"), (item + 200).cast("int"))
    frame = spark.range(0, 1200, 1, 4).select(features.alias("features"))
    label = F.sin(F.col("features")[0] * 1.3) * F.cos(F.col("features")[1] * 0.9)
    return frame.withColumn("label", label).persist()


def fit(rows, **params):
    return FMRegressor(**{**PARAMS, **params}).fit(rows)


@pytest.mark.parametrize("partitions", [1, 2])
def test_sums_of_squared_gradients_go_on(rows, tmp_path, partitions):
    first = fit(rows, numPartitions=partitions, keepOptimizerState=True)
    first.save(str(tmp_path / "model"))
    loaded = FMRegressionModel.load(str(tmp_path / "model"))
    again = {"numPartitions": partitions, "maxIter": 1, "initialModel": loaded}
    on, anew = fit(rows, keepOptimizerState=True, **again), fit(rows, **again)
    np.testing.assert_array_equal(loaded.weights.optimizer.roots, first.weights.optimizer.roots)
    assert loaded.weights.optimizer.intercept == first.weights.optimizer.intercept
    assert (on.weights.optimizer.roots > first.weights.optimizer.roots).all()
    assert anew.weights.optimizer is None
    moved, anew_moved = (np.abs(one.weights.linear - first.weights.linear).mean() for one in (on, anew))
    assert moved < 0.8 * anew_moved


def test_no_epoch_changes_nothing(rows):
    first = fit(rows, keepOptimizerState=True)
    same = fit(rows, maxIter=0, initialModel=first, keepOptimizerState=True)
    assert_same_weights(same, first)
    np.testing.assert_array_equal(same.weights.optimizer.roots, first.weights.optimizer.roots)


def test_other_units_train_to_the_same(rows):
    """Labels ten times as large: the state is that of the data, not of the units of training."""
    first = fit(rows, keepOptimizerState=True)
    on = fit(rows, initialModel=first, keepOptimizerState=True)
    tenfold = rows.withColumn("label", 10.0 * F.col("label"))
    larger = fit(tenfold, initialModel=fit(tenfold, keepOptimizerState=True), keepOptimizerState=True)
    np.testing.assert_allclose(larger.weights.linear, 10.0 * on.weights.linear, rtol=1e-3, atol=1e-4)


def test_features_that_are_not_met_keep_theirs(rows):
    first = fit(rows, keepOptimizerState=True)
    some = rows.where(F.col("features")[0] < 20)
    on = fit(some, initialModel=first, keepOptimizerState=True).weights
    unmet = (on.features >= 20) & (on.features < 200)
    assert unmet.sum() == 20
    np.testing.assert_array_equal(on.optimizer.roots[unmet], first.weights.optimizer.roots[unmet])


def test_a_sampler_has_none(rows):
    with pytest.raises(ValueError, match=r"^keepOptimizerState: found True with solver 'gibbs'"):
        fit(rows, solver="gibbs", keepOptimizerState=True)
