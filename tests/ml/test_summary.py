import math

import pytest

from spark_fm import FMClassifier, FMRegressionModel, FMRegressor
from tests.ml.frames import mean_squared_error

PHASES = {"pack", "train"}
ROUND_PHASES = {
    "parameters out", "parameters in", "blocks in", "kernel", "updates", "Spark", "merge",
}  # fmt: skip


@pytest.fixture(scope="module", params=[1, 2])
def summary(request, ratings):
    estimator = FMRegressor(
        factorSize=2,
        maxIter=3,
        validationIndicatorCol="is_test",
        numPartitions=request.param,
        roundsPerEpoch=1,
    )
    return estimator.fit(ratings).summary


def test_summary_counts(summary, ratings):
    held = ratings.where("is_test").count()
    assert (summary.rows, summary.trainingRows) == (ratings.count(), ratings.count() - held)
    assert summary.nonzeros == 2 * summary.rows
    assert summary.roundsPerEpoch == 1


def test_summary_has_a_loss_for_each_epoch(summary):
    assert summary.lossName == "mean squared error"
    assert summary.totalIterations == len(summary.trainingLoss) == len(summary.validationLoss) == 3
    assert summary.objectiveHistory == summary.trainingLoss
    assert summary.trainingLoss[0] > summary.trainingLoss[-1] > 0
    assert summary.bestEpoch in (1, 2, 3)
    assert summary.stopReason == "maxIter"


def test_summary_has_seconds_by_phase(summary):
    assert summary.seconds.keys() == (PHASES if summary.partitions == 1 else PHASES | ROUND_PHASES)
    assert all(seconds >= 0 for seconds in summary.seconds.values())
    assert len(summary.epochSeconds) == (0 if summary.partitions == 1 else summary.totalIterations)
    for phase in ROUND_PHASES if summary.epochSeconds else ():
        assert sum(e[phase] for e in summary.epochSeconds) == pytest.approx(summary.seconds[phase])


def test_losses_are_in_the_units_of_the_label(ratings):
    scaled = ratings.withColumn("label", 100 * ratings["label"] + 7)
    estimator = FMRegressor(factorSize=2, maxIter=2, validationIndicatorCol="is_test")
    small, large = estimator.fit(ratings), estimator.fit(scaled)
    assert large.summary.validationLoss == pytest.approx(
        [1e4 * x for x in small.summary.validationLoss], rel=1e-3
    )
    assert large.summary.trainingLoss == pytest.approx(
        [1e4 * x for x in small.summary.trainingLoss], rel=1e-3
    )
    test = scaled.where("is_test")
    assert mean_squared_error(large.transform(test)) == pytest.approx(
        min(large.summary.validationLoss), rel=1e-3
    )


def test_classifiers_loss_is_the_log_loss(binary_model):
    assert binary_model.summary.lossName == "log-loss"
    losses = binary_model.summary.trainingLoss
    assert losses[0] > losses[-1] > 0


def test_summary_of_a_model_that_never_had_one():
    model = FMRegressionModel()
    assert not model.hasSummary
    with pytest.raises(RuntimeError, match="No training summary available for this FMRegressionModel"):
        _ = model.summary


def test_fitted_model_has_a_summary(rating_model):
    assert rating_model.hasSummary


def test_learning_curve_is_drawn(summary, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "curve.png"
    summary.plot(path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("partitions", [1, 2])
def test_verbose_shows_the_epochs_and_their_losses(small, capfd, partitions):
    settings = {"maxIter": 2, "factorSize": 1, "numPartitions": partitions, "roundsPerEpoch": 1}
    FMRegressor(verbose=True, **settings).fit(small)
    shown = capfd.readouterr().err
    assert "2/2" in shown
    assert "training=" in shown
    assert "validation=" in shown
    FMRegressor(**settings).fit(small)
    assert "training=" not in capfd.readouterr().err


def test_summary_without_validation_rows(small):
    summary = (
        FMClassifier(maxIter=2, validationFraction=0.0)
        .fit(small.withColumn("label", (small["label"] > 3).cast("double")))
        .summary
    )
    assert all(math.isnan(loss) for loss in summary.validationLoss)
    assert summary.bestEpoch == summary.totalIterations
