from dataclasses import replace

import numpy as np
import pytest

from spark_fm.core.fit import choose_epochs, fit_in_memory, folds_of, held_out_fraction, in_random_order
from spark_fm.core.loss import Loss
from spark_fm.core.settings import Scale, Settings
from spark_fm.core.weights import Start
from tests.core.planted import planted, planted_block
from tests.core.test_kernel import score
from tests.oracle import block_of

SETTINGS = Settings(Loss.SQUARED, factor_size=4, max_epochs=60, reg_linear=0.0, reg_factors=0.002)


def start_of(block, settings=SETTINGS, model=None):
    training = block.label[~block.validation] if block.validation.size else block.label
    return Start(settings, Scale.of(settings, 1.0, training.mean(), training.var()), model)


def fit(block, settings=SETTINGS, fraction=0.1, model=None):
    start = start_of(block, settings, model)
    outcome = fit_in_memory(block, start, None, fraction)
    return outcome, start.finish(outcome.state, None)


def predictions(model, block):
    rows = [
        (r, [1.0] * len(r)) for r in np.split(model.find(block.indices.astype(np.int64)), block.indptr[1:-1])
    ]
    return score(model.table, model.intercept, block_of(rows))


@pytest.mark.parametrize(
    ("rows", "fraction", "expected"),
    [
        (1000, 0.0, 0),
        (19, 0.5, 0),
        (20, 0.1, 5),
        (20, 0.5, 2),
        (20, 0.3, 3),
        (5000, 0.1, 5),
        (20_000, 0.1, 4),
        (80_000, 0.1, 1),
        (10**6, 0.1, 1),
        (25, 0.01, 5),
    ],
)
def test_folds(rows, fraction, expected):
    assert folds_of(rows, fraction) == expected


@pytest.mark.parametrize(
    ("rows", "fraction", "expected"),
    [(1000, 0.1, 0.1), (1000, 0.5, 0.5), (1000, 0.0, 0.0), (10**7, 0.1, 0.01), (400_000, 0.3, 0.025)],
)
def test_less_is_held_out_of_large_data(rows, fraction, expected):
    assert held_out_fraction(rows, fraction) == pytest.approx(expected)


@pytest.mark.parametrize("validation", [0, 300])
def test_planted_regression_is_learned(validation):
    _, model = fit(planted_block(3000, validation=validation))
    fresh = planted_block(1000, seed=1)
    error = np.sqrt(np.mean((predictions(model, fresh) - fresh.label) ** 2))
    assert fresh.label.std() > 1.5
    assert error < 0.2


def test_planted_classes_are_learned():
    settings = replace(SETTINGS, loss=Loss.LOGISTIC, reg_factors=0.01)
    _, model = fit(planted_block(4000, binary=True), settings)
    fresh = planted_block(1000, seed=1, binary=True)
    z = predictions(model, fresh)
    loss = np.mean(np.logaddexp(0.0, z) - fresh.label * z)
    p = fresh.label.mean()
    constant = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    assert loss < 0.65 * constant


def test_pairs_are_needed_for_it():
    _, model = fit(planted_block(3000), replace(SETTINGS, factor_size=0))
    fresh = planted_block(1000, seed=1)
    assert model.factors.shape == (45, 0)
    error = np.sqrt(np.mean((predictions(model, fresh) - fresh.label) ** 2))
    assert 0.8 < error < 0.95 * fresh.label.std()


def test_validation_rows_decide_when_to_stop():
    block = planted_block(300, validation=100)
    # Noise, so that there is something to overfit.
    noise = 2.0 * np.random.default_rng(5).standard_normal(300)
    block = replace(block, label=block.label + noise)
    outcome, model = fit(block, replace(SETTINGS, patience=3))
    losses = [e.validation_loss for e in outcome.history]
    assert outcome.stop_reason == "patience"
    assert outcome.best_epoch == 1 + int(np.argmin(losses)) == len(losses) - 3
    held = block.take(np.flatnonzero(block.validation))
    found = np.mean((predictions(model, held) - held.label) ** 2)
    scale = start_of(block).scale
    assert found == pytest.approx(2 * scale.label_deviation**2 * min(losses), rel=1e-3)


def test_validation_rows_are_not_trained_on():
    block = planted_block(300, validation=100)
    other = replace(block, label=np.where(block.validation, -block.label, block.label))
    settings = replace(SETTINGS, max_epochs=4, patience=10)
    first, second = fit(block, settings)[0], fit(other, settings)[0]
    assert [e.training_loss for e in first.history] == [e.training_loss for e in second.history]
    assert [e.validation_loss for e in first.history] != [e.validation_loss for e in second.history]


def chosen_epochs(block, settings, fraction, folds):
    start = start_of(block)
    ordered = in_random_order(block, settings.seed)
    label = (ordered.label - start.scale.label_mean) / start.scale.label_deviation
    return choose_epochs(
        replace(ordered, label=label), start.at(block.features, None), settings, fraction, folds
    )


def test_where_almost_all_rows_have_trained_the_model_is_not_trained_again(monkeypatch):
    monkeypatch.setattr("spark_fm.core.fit.ENOUGH_HELD_OUT", 10)
    monkeypatch.setattr("spark_fm.core.fit.ENOUGH_VALIDATION_ROWS", 10)
    monkeypatch.setattr("spark_fm.core.fit.REFIT_ABOVE", 0.03)
    block = planted_block(400)
    outcome, _ = fit(block, replace(SETTINGS, patience=3))
    chosen = chosen_epochs(block, replace(SETTINGS, patience=3), 0.025, 1)
    np.testing.assert_array_equal(outcome.state.table, chosen.state[0].table)
    assert (outcome.best_epoch, outcome.history) == (chosen.best_epoch, chosen.history)


def test_rows_in_random_order_are_the_same_rows():
    block = planted_block(50)
    found = in_random_order(block, 3)
    assert sorted(found.label) == sorted(block.label)
    assert (found.label != block.label).any()
    np.testing.assert_array_equal(found.label, in_random_order(block, 3).label)


def test_without_validation_rows_some_are_held_out_to_choose_the_epochs_and_all_are_trained_on():
    block = planted_block(400)
    outcome, _ = fit(block, replace(SETTINGS, patience=3))
    losses = [e.validation_loss for e in outcome.history]
    assert outcome.best_epoch == 1 + int(np.argmin(losses))
    chosen = chosen_epochs(block, replace(SETTINGS, patience=3), 0.1, 5)
    assert chosen.best_epoch == outcome.best_epoch
    assert chosen.history == outcome.history
    # The same as training that many epochs on everything without holding out.
    plain, _ = fit(block, replace(SETTINGS, max_epochs=outcome.best_epoch, tol=0.0), fraction=0.0)
    np.testing.assert_array_equal(outcome.state.table, plain.state.table)


def test_nothing_is_held_out_of_few_rows():
    outcome, _ = fit(planted_block(19), replace(SETTINGS, max_epochs=3, tol=0.0))
    assert all(np.isnan(e.validation_loss) for e in outcome.history)
    assert len(outcome.history) == 3


def test_held_out_parts_do_not_overlap():
    seen = []

    class StoppedError(Exception):
        pass

    def spy(runners, *args, **kwargs):
        seen.extend(runners.folds)
        raise StoppedError

    block = planted_block(100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spark_fm.core.fit.train", spy)
        with pytest.raises(StoppedError):
            choose_epochs(block, start_of(block).at(block.features, None), SETTINGS, 0.2, 5)
    held = np.concatenate([fold.validation for fold in seen])
    assert sorted(held) == list(range(100))
    for fold in seen:
        assert sorted([*fold.training, *fold.validation]) == list(range(100))


@pytest.mark.parametrize("fraction", [0.0, 0.1])
def test_zero_epochs_give_the_start(fraction):
    block = planted_block(100)
    start = start_of(block, replace(SETTINGS, max_epochs=0))
    outcome = fit_in_memory(block, start, None, fraction)
    np.testing.assert_array_equal(outcome.state.table, start.at(block.features, None).table)
    assert (outcome.best_epoch, outcome.history) == (0, [])


def test_earlier_model_is_where_training_starts():
    block = planted_block(2000)
    _, model = fit(block)
    settings = replace(SETTINGS, max_epochs=1)
    _, cold = fit(block, settings)
    _, warm = fit(block, settings, model=model)
    fresh = planted_block(500, seed=1)

    def error(weights):
        return np.mean((predictions(weights, fresh) - fresh.label) ** 2)

    assert error(warm) < 0.2 * error(cold)


def test_rows_without_features_train_the_intercept():
    block = block_of([([], [])] * 50, [1.0, 3.0] * 25, features=[])
    _, model = fit(block)
    assert model.features.size == 0
    assert model.intercept == pytest.approx(2.0, abs=0.3)


def test_planted_data_need_what_they_claim():
    ids, label = planted(1000)
    assert ids.shape == (1000, 2)
    assert label.std() > 1.5
