import numpy as np
import pytest

from spark_fm.core.fm.losses import LOGISTIC, SQUARED
from spark_fm.core.fm.measure import Totals, measure
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.core.fm.validation import LOSS, NAMES, OF_LABELS, metric_of
from spark_fm.core.fm.weights import ParameterInit
from tests.core.planted import planted_block

RANDOM = np.random.default_rng(0)
Z = np.round(RANDOM.normal(size=400), 1)
CLASSES = (RANDOM.random(400) < 1 / (1 + np.exp(-Z))).astype(float)
WEIGHT = RANDOM.integers(0, 4, 400).astype(np.float32)
NO_WEIGHT = np.empty(0, np.float32)
METRICS = [(name, loss) for loss in (SQUARED, LOGISTIC) for name in OF_LABELS[loss.is_binary]]


def area(z, y, w):
    pairs = (w * y)[:, None] * (w * (1 - y))[None, :]
    right = (z[:, None] > z[None, :]) + (z[:, None] == z[None, :]) / 2
    return float((pairs * right).sum() / pairs.sum())


@pytest.mark.parametrize("weight", [WEIGHT, NO_WEIGHT], ids=["weighted", "not"])
def test_the_area_is_that_of_all_pairs(weight):
    metric = metric_of("areaUnderROC", LOGISTIC)
    totals = metric.totals(metric.sums(Z, CLASSES, weight, LOGISTIC))
    ones = weight if weight.size else np.ones(400)
    assert totals.mean == pytest.approx(1.0 - area(Z, CLASSES, ones))
    assert (totals.weight, totals.rows) == (ones.sum(), 400)


def test_scores_that_all_differ_are_told_apart_well_enough():
    z = np.random.default_rng(1).normal(-5.0, 0.5, 3000)
    y = (np.random.default_rng(2).random(3000) < 0.1 + 0.2 * (z > -5)).astype(float)
    metric = metric_of("areaUnderROC", LOGISTIC)
    found = metric.totals(metric.sums(z, y, NO_WEIGHT, LOGISTIC)).mean
    assert found == pytest.approx(1.0 - area(z, y, np.ones(3000)), abs=2e-4)


@pytest.mark.parametrize(("name", "loss"), METRICS)
def test_sums_add_up_over_rows(name, loss):
    metric, label = metric_of(name, loss), CLASSES
    parts = [metric.sums(Z[of], label[of], WEIGHT[of], loss) for of in (slice(0, 90), slice(90, 400))]
    whole = metric.totals(metric.sums(Z, label, WEIGHT, loss))
    assert metric.totals(parts[0] + parts[1]).mean == pytest.approx(whole.mean)
    assert metric.totals(np.empty(0)) == Totals()
    ones = metric.totals(metric.sums(Z, label, np.ones(400, np.float32), loss))
    assert metric.totals(metric.sums(Z, label, NO_WEIGHT, loss)).mean == pytest.approx(ones.mean)


def test_one_label_has_no_area_and_no_part_in_that_of_others():
    metric = metric_of("areaUnderROC", LOGISTIC)
    one = metric.totals(metric.sums(Z, np.ones(400), NO_WEIGHT, LOGISTIC))
    both = metric.totals(metric.sums(Z, CLASSES, NO_WEIGHT, LOGISTIC))
    assert np.isnan(one.mean)
    assert one.rows == 400
    assert (one + both).mean == both.mean


def test_scores_beyond_the_bins_are_in_the_last_ones():
    metric = metric_of("areaUnderROC", LOGISTIC)
    z, y = np.array([-np.inf, -100.0, 0.0, 100.0]), np.array([0.0, 0.0, 1.0, 1.0])
    assert metric.totals(metric.sums(z, y, NO_WEIGHT, LOGISTIC)).mean == 0.0


def test_errors_are_reported_in_the_units_of_the_labels():
    """Labels were divided by 3: so was the absolute error, and the squared one by 9."""
    label, z = 3.0 * CLASSES, 3.0 * Z
    mae, rmse = metric_of("mae", SQUARED), metric_of("rmse", SQUARED)
    found = mae.totals(mae.sums(Z, CLASSES, WEIGHT, SQUARED)).mean
    assert mae.in_data_units(found, SQUARED, 3.0) == pytest.approx(
        np.average(np.abs(z - label), weights=WEIGHT)
    )
    found = rmse.totals(rmse.sums(Z, CLASSES, WEIGHT, SQUARED)).mean
    squared = np.average((z - label) ** 2, weights=WEIGHT)
    assert rmse.in_data_units(found, SQUARED, 3.0) == pytest.approx(squared**0.5)
    assert LOSS.in_data_units(found, SQUARED, 3.0) == pytest.approx(squared)


def test_the_loss_is_measured_as_it_always_was():
    block = planted_block(300)
    state = ParameterInit(Settings(SQUARED, factor_size=3), Scale()).at(np.arange(45))
    rows = np.arange(7, 200, dtype=np.int32)
    sums = LOSS.measure(state.table, 0.3, block, rows, SQUARED)
    assert LOSS.totals(sums) == measure(state.table, 0.3, block, rows, SQUARED)


def test_each_kind_of_label_has_its_metrics():
    assert NAMES == ("loss", "rmse", "mae", "logLoss", "areaUnderROC")
    with pytest.raises(
        ValueError, match="validationMetric: found 'mae', expected one of: loss, logLoss, areaUnderROC"
    ):
        metric_of("mae", LOGISTIC)
    with pytest.raises(ValueError, match="found 'areaUnderROC', expected one of: loss, rmse, mae"):
        metric_of("areaUnderROC", SQUARED)
