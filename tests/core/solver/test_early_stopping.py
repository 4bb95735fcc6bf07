import math
from dataclasses import replace

import numpy as np
import pytest

from spark_fm.core.fm.level import Level
from spark_fm.core.fm.losses import LOGISTIC, SQUARED
from spark_fm.core.fm.scaling import FeatureScaling, scaled
from spark_fm.core.fm.settings import Prior, Scale, Settings
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver import in_memory
from spark_fm.core.solver.early_stopping import (
    LITTLE_GAIN,
    STRONGER,
    HeldOut,
    Rival,
    folds_of,
    held_out_rows,
    judged,
    levelled,
    refit_settings,
    refitted,
    vertex,
)
from spark_fm.core.solver.in_memory import MemoryTrainer, fit_in_memory, in_random_order
from spark_fm.core.solver.plan import Epoch, Outcome
from spark_fm.core.sparse.block import NO_FLAGS, NO_FLOATS, Block
from tests.core.planted import planted, planted_block
from tests.core.solver.adagrad.test_step import score
from tests.oracle import block_of, counts_of, rows_of

SETTINGS = Settings(SQUARED, factor_size=4, max_epochs=60, reg_linear=0.0, reg_factors=0.002)

NOTHING = HeldOut()


def start_of(block, settings=SETTINGS, model=None):
    training = block.label[~block.validation] if block.validation.size else block.label
    return ParameterInit(settings, Scale.of(settings, 1.0, training.mean(), training.var()), model)


def fit(block, settings=SETTINGS, fraction=0.1, model=None):
    start = start_of(block, settings, model)
    outcome = fit_in_memory(block, start, counts_of(block), fraction)
    return outcome, start.finish(outcome.state, scaling_of(block, settings))


def scaling_of(block, settings=SETTINGS):
    return FeatureScaling.of(counts_of(block), block.rows - int(block.validation.sum()), settings.centres)


def predictions(model, block):
    rows = [(model.find(np.array(ids, np.int64)).tolist(), values) for ids, values, *_ in rows_of(block)]
    return score(model.table, model.intercept, block_of(rows, dtype=np.float64))


@pytest.mark.parametrize(
    ("rows", "held_out", "expected"),
    [
        (1000, 0, 0),
        (20, 2, 10),
        (20, 10, 2),
        (20, 6, 3),
        (25, 1, 10),
        (5000, 500, 10),
        (20_000, 2000, 4),
        (80_000, 8000, 1),
        (10**6, 10**5, 1),
        (1, 1, 1),
    ],
)
def test_folds(rows, held_out, expected):
    assert folds_of(rows, held_out) == expected


@pytest.mark.parametrize(
    ("rows", "fraction", "expected"),
    [
        (1000, 0.1, 100),
        (1000, 0.5, 500),
        (1000, 0.0, 0),
        (19, 0.5, 0),
        (20, 0.1, 2),
        (20, 0.01, 1),
        (10**7, 0.1, 10**5),
        (400_000, 0.3, 10_000),
        (400_000, 0.001, 400),
    ],
)
def test_less_is_held_out_of_large_data(rows, fraction, expected):
    found = held_out_rows(rows, fraction)
    assert (found, type(found)) == (expected, int)


def test_rows_of_uneven_weights_are_held_out_as_what_they_are_worth():
    # A million rows worth 50,000: a fifth of them is worth 10,000, which is enough; a tenth was asked for.
    assert held_out_rows(10**6, 0.5, effective=0.05) == 200_000
    assert held_out_rows(10**6, 0.1, effective=0.05) == 100_000
    assert held_out_rows(1000, 0.1, effective=0.01) == 0
    assert folds_of(100_000, 10_000, effective=0.5) == 2
    assert HeldOut.of(100_000, 0.1, effective=0.5).folds == folds_of(100_000, 10_000, effective=0.5)


@pytest.mark.parametrize("validation", [0, 300])
def test_planted_regression_is_learned(validation):
    _, model = fit(planted_block(3000, validation=validation))
    fresh = planted_block(1000, seed=1)
    error = np.sqrt(np.mean((predictions(model, fresh) - fresh.label) ** 2))
    assert fresh.label.std() > 1.5
    assert error < 0.2


def test_planted_classes_are_learned():
    settings = replace(SETTINGS, loss=LOGISTIC, reg_factors=0.01)
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


def prepared(block, settings=SETTINGS, held=NOTHING):
    """What training sees: the block in its units, and the state to begin with."""
    start, counted, scaling = start_of(block, settings), counts_of(block), scaling_of(block, settings)
    start = replace(start, scale=replace(start.scale, mean_squared_norm=scaling.squared_norm))
    ordered = scaled(in_random_order(block, settings.seed), start.scale, scaling)
    return MemoryTrainer(ordered, start.at(block.features, scaling, counted.counts), start, held)


def chosen_epochs(block, settings, size, folds):
    trainer = prepared(block, settings, HeldOut(size, folds))
    return judged(lambda prior, rival: trainer.train(settings, prior, rival=rival), settings, searches=True)


def test_where_almost_all_rows_have_trained_the_model_is_not_trained_again(monkeypatch):
    monkeypatch.setattr("spark_fm.core.solver.early_stopping.ENOUGH_HELD_OUT", 10)
    monkeypatch.setattr("spark_fm.core.solver.early_stopping.ENOUGH_VALIDATION_ROWS", 10)
    monkeypatch.setattr("spark_fm.core.solver.early_stopping.REFIT_ABOVE", 0.03)
    block = planted_block(400)
    outcome, _ = fit(block, replace(SETTINGS, patience=3))
    chosen = chosen_epochs(block, replace(SETTINGS, patience=3), 10, 1)
    np.testing.assert_array_equal(outcome.state.table, chosen.state.table)
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
    chosen = chosen_epochs(block, replace(SETTINGS, patience=3), 40, 10)
    assert chosen.best_epoch == outcome.best_epoch
    assert chosen.history == outcome.history
    # The same as training that many epochs on everything without holding out.
    plain, _ = fit(block, replace(SETTINGS, max_epochs=outcome.best_epoch, tol=-np.inf), fraction=0.0)
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
        patch.setattr("spark_fm.core.solver.in_memory.train", spy)
        with pytest.raises(StoppedError):
            chosen_epochs(block, SETTINGS, 20, 5)
    held = np.concatenate([fold.validation for fold in seen])
    assert sorted(held) == list(range(100))
    for fold in seen:
        assert sorted([*fold.training, *fold.validation]) == list(range(100))


@pytest.mark.parametrize("fraction", [0.0, 0.1])
def test_zero_epochs_give_the_start(fraction):
    block = planted_block(100)
    settings = replace(SETTINGS, max_epochs=0)
    outcome, model = fit(block, settings, fraction)
    state = prepared(block, settings).state
    np.testing.assert_array_equal(outcome.state.table, state.table)
    np.testing.assert_array_equal(outcome.state.intercept, state.intercept)
    assert model.intercept == pytest.approx(block.label.mean())
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


def outcome(loss, first_loss=1.0, rollbacks=0, prior=None, **changes):
    made = Outcome(
        f"state {loss}", 3, [Epoch(1, 0.5, loss, {})], "patience", rollbacks, prior, loss, first_loss
    )
    return replace(made, **changes)


ADAPTIVE = replace(SETTINGS, adapt_prior=True, reg_prior=0.5)


def judged_runs(losses, settings=ADAPTIVE, **changes):
    """The outcome, and the priors of the runs, whose losses are the given ones."""
    priors = []

    def run(prior, rival):
        assert rival is None
        priors.append(prior)
        return outcome(losses[len(priors) - 1], prior=prior, rollbacks=len(priors), **changes)

    return judged(run, settings, searches=False), priors


STRONG = [Prior(by * 0.5, by * 0.5) for by in STRONGER]


def test_stronger_priors_are_tried_where_training_gains_next_to_nothing():
    first = ADAPTIVE.prior(judged=True)
    assert judged_runs([0.999, 0.995, 0.999])[1] == [first, *STRONG]
    assert judged_runs([1.0 - 2 * LITTLE_GAIN])[1] == [first]
    assert judged_runs([1.0, 1.0 - 2 * LITTLE_GAIN])[1] == [first, STRONG[0]]


@pytest.mark.parametrize(
    ("losses", "best", "rollbacks"),
    [([1.0, 0.99, 0.995], 1, 3), ([0.99, 1.0, 0.985], 2, 4), ([0.99, 1.0, 1.0], 0, 1)],
)
def test_best_of_the_judged_runs_is_kept(losses, best, rollbacks):
    found, priors = judged_runs(losses)
    assert (found.state, found.loss, found.prior) == (f"state {losses[best]}", losses[best], priors[best])
    assert found.rollbacks == rollbacks


def test_without_a_choice_of_priors_nothing_is_tried_again():
    assert len(judged_runs([1.0], replace(ADAPTIVE, adapt_prior=False))[1]) == 1
    assert len(judged_runs([1.0], replace(ADAPTIVE, max_epochs=0))[1]) == 1
    # Where regParam is set and regParamPrior is not.
    assert len(judged_runs([1.0], replace(ADAPTIVE, reg_prior=0.0))[1]) == 1


def searched_runs(loss_of, settings=ADAPTIVE):
    """The outcome of a search, and step (in half decades from the full strength), prior and rival of each run."""
    runs = []

    def run(prior, rival):
        assert prior.first == prior.later
        step = 2.0 * math.log10(prior.first / settings.reg_prior)
        runs.append((round(step, 6), rival))
        return outcome(loss_of(step), prior=prior, rollbacks=1)

    return judged(run, settings, searches=True), runs


@pytest.mark.parametrize(
    ("loss_of", "steps"),
    [
        (lambda step: 0.5 + 0.1 * abs(step), [0, -1, 1]),
        (lambda step: 0.5 + 0.1 * abs(step + 1), [0, -1, -2]),
        (lambda step: 0.5 + 0.1 * abs(step - 1), [0, -1, 1, 2]),
        (lambda step: 1.0 + 0.1 * step, [0, -1, -2, -3]),
        (lambda step: 1.0 - 0.1 * step, [0, -1, 1, 2]),
        (lambda step: 0.5 + 0.1 * (step + 0.7) ** 2, [0, -1, -2, -0.7]),
        (lambda step: 0.5 + 0.1 * (step - 0.3) ** 2, [0, -1, 1, 0.3]),
        # Less than a thousandth is not worth another run.
        (lambda step: 0.5 + 1e-5 * step, [0, -1, 1]),
        (lambda step: math.inf, [0]),
    ],
)
def test_strength_is_searched_for_from_the_full_one(loss_of, steps):
    found, runs = searched_runs(loss_of)
    assert [step for step, _ in runs] == steps
    assert found.loss == min(map(loss_of, steps))
    best = min(steps, key=loss_of)
    assert found.prior.first == found.prior.later == pytest.approx(0.5 * 10 ** (best / 2))


def test_runs_of_a_search_have_the_best_one_so_far_as_rival():
    _, runs = searched_runs(lambda step: 0.5 + 0.1 * abs(step + 1))
    assert [rival for _, rival in runs] == [None, Rival(3, 0.6), Rival(3, 0.5)]


@pytest.mark.parametrize(
    ("epoch", "loss", "expected"), [(15, 0.5, False), (16, 0.5, True), (16, 0.49, False)]
)
def test_a_run_that_stays_behind_its_rival_is_left(epoch, loss, expected):
    assert Rival(3, 0.5).leaves_behind(epoch, loss) is expected


@pytest.mark.parametrize(
    ("losses", "expected"),
    [((2.0, 1.0, 2.0), 0.0), ((1.0, 1.0, 3.0), -0.5), ((1.0, 1.0, 1.0), 0.0), ((math.inf, 1.0, 2.0), 0.0)],
)
def test_vertex_of_a_parabola(losses, expected):
    assert vertex(*losses) == expected


def of_columns(rows, columns, values, score, seed):
    """Rows of so many columns, each with a value of its own; the label is drawn with the log-odds ``score(ids)``."""
    random = np.random.default_rng(seed)
    ids = random.integers(0, values, (rows, columns)) + values * np.arange(columns)
    label = (random.random(rows) < 1.0 / (1.0 + np.exp(-score(ids)))).astype(float)
    features = np.arange(columns * values, dtype=np.int64)
    indptr = np.arange(0, rows * columns + 1, columns, dtype=np.int32)
    return Block(indptr, ids.ravel().astype(np.int32), NO_FLOATS, label, NO_FLOATS, NO_FLAGS, features)


def faint(ids):
    """Weights of 2,000 values, nearly all of them too rare to know."""
    return np.random.default_rng(7).normal(0.0, 0.25, 2000)[ids].sum(axis=1)


def clear(ids):
    """Pairs of few values, each of which is in many rows."""
    v = np.random.default_rng(7).normal(0.0, 1.2, (40, 2))[ids]
    return 0.5 * ((v.sum(axis=1) ** 2).sum(axis=1) - (v * v).sum(axis=(1, 2)))


@pytest.mark.parametrize(
    ("columns", "values", "score", "weak"), [(20, 100, faint, False), (4, 10, clear, True)]
)
def test_search_finds_a_strong_prior_on_faint_signals_and_a_weak_one_on_clear_ones(
    columns, values, score, weak
):
    block, test = (of_columns(rows, columns, values, score, seed) for rows, seed in ((1500, 1), (8000, 2)))
    settings = Settings(LOGISTIC, factor_size=4, max_epochs=60)

    def loss(settings):
        found, model = fit(block, settings)
        z = predictions(model, test)
        return np.mean(np.logaddexp(0.0, z) - test.label * z), found.prior.first

    untuned, strength = loss(replace(settings, adapt_prior=True))
    assert (strength < 0.06) if weak else (strength > 0.2)
    best = min(loss(replace(settings, reg_prior=strength))[0] for strength in (0.01, 0.1, 1.0))
    assert untuned < 1.003 * best


def test_search_is_judged_by_the_weights_of_held_out_rows():
    """What the search finds is what it finds where rows of weight 0 have other labels."""
    block = of_columns(1500, 4, 10, clear, 1)
    block = replace(block, weight=(np.arange(1500) % 3 > 0).astype(np.float32))
    other = replace(block, label=block.label.copy())
    other.label[block.weight == 0.0] = np.roll(block.label[block.weight == 0.0], 1)
    settings = Settings(LOGISTIC, factor_size=4, max_epochs=20, adapt_prior=True)
    (first, _), (second, _) = fit(block, settings), fit(other, settings)
    assert first.prior == second.prior
    assert [one.validation_loss for one in first.history] == [one.validation_loss for one in second.history]


def test_weights_below_the_normal_numbers_of_single_precision_are_none():
    """As quotients of a root that is 0 they would make every epoch infinite."""
    block, tables = planted_block(200), []
    for weight in (0.0, 1e-41):
        block = replace(block, weight=np.where(np.arange(200) % 3, 1.0, weight).astype(np.float32))
        outcome, _ = fit(block, replace(SETTINGS, max_epochs=3))
        assert (outcome.stop_reason, outcome.rollbacks) == ("maxIter", 0)
        tables.append(outcome.state.table)
    np.testing.assert_array_equal(*tables)


def test_users_validation_rows_judge_the_strengths():
    block = of_columns(1500, 4, 10, clear, 1)
    block = replace(block, validation=np.arange(1500) >= 1200)
    settings = Settings(LOGISTIC, factor_size=4, max_epochs=20, adapt_prior=True)
    found, _ = fit(block, settings)
    fixed, _ = fit(block, replace(settings, adapt_prior=False, reg_prior=found.prior.first))
    np.testing.assert_array_equal(found.state.table, fixed.state.table)
    assert [one.validation_loss for one in found.history] == [one.validation_loss for one in fixed.history]
    full, _ = fit(block, replace(settings, adapt_prior=False))
    assert found.prior.first < 0.1
    assert found.loss < full.loss


@pytest.mark.parametrize(
    ("epochs_of_rows", "folds", "searches"), [(11, 10, True), (9.9, 9, True), (1, 1, True), (0.9, 5, False)]
)
def test_strength_is_not_searched_for_where_an_epoch_of_all_folds_is_long(
    epochs_of_rows, folds, searches, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        in_memory, "fit", lambda _, held, *args, searches: asked.append((held.folds, searches))
    )

    def ask(validation=0, adapts=True):
        block = planted_block(400, validation=validation)
        start = start_of(block, replace(SETTINGS, adapt_prior=adapts))
        fit_in_memory(block, start, counts_of(block), 0.1)
        return asked[-1]

    an_epoch = 400 * 2 * 8
    monkeypatch.setattr(in_memory, "MOST_WORK_TO_SEARCH", int(epochs_of_rows * an_epoch))
    assert ask() == (folds, searches)
    assert ask(adapts=False)[0] == max(folds, 5)
    # Rows of the user's own are no folds.
    assert ask(validation=40) == (0, searches)


def test_without_a_search_a_weak_prior_is_changed_at_most_once(monkeypatch):
    block, settings = planted_block(400), replace(SETTINGS, adapt_prior=True, max_epochs=5)
    assert not fit(block, settings)[0].prior.changes
    monkeypatch.setattr(in_memory, "MOST_WORK_TO_SEARCH", 0)
    assert fit(block, settings)[0].prior == settings.prior(judged=True)


def test_refit_trains_as_long_as_was_chosen():
    found = refit_settings(SETTINGS, outcome(0.5))
    assert (found.max_epochs, found.tol) == (3, -np.inf)
    assert replace(found, max_epochs=60, tol=SETTINGS.tol) == SETTINGS


def test_refit_has_the_story_of_the_choice_and_says_when_it_diverged():
    chosen = outcome(0.5, rollbacks=2)
    final = outcome(0.7, rollbacks=3, stop_reason="maxIter")
    found = refitted(chosen, final)
    assert found == replace(chosen, state="state 0.7", rollbacks=5)
    assert refitted(chosen, replace(final, stop_reason="diverged")).stop_reason == "diverged"


@pytest.mark.parametrize("loss", [SQUARED, LOGISTIC])
def test_mean_prediction_of_a_fit_is_the_labels(loss):
    block = planted_block(400, binary=loss is LOGISTIC)
    found, model = fit(block, replace(SETTINGS, loss=loss, max_epochs=5))
    z = predictions(model, block)
    prediction = z if loss is SQUARED else 1.0 / (1.0 + np.exp(-z))
    assert prediction.mean() == pytest.approx(block.label.mean(), abs=1e-4)
    ordered = prepared(block).block
    away = replace(found, state=replace(found.state, intercept=found.state.intercept + 0.3))
    rows = np.arange(block.rows, dtype=np.int32)

    def measured(state):
        return Level.of(state.table, float(state.intercept[0]), ordered, rows, loss)

    if loss is SQUARED:
        back = levelled(away, measured, SETTINGS)
        assert back.state.intercept[0] == pytest.approx(found.state.intercept[0], abs=1e-4)
    without = replace(SETTINGS, loss=loss, fit_intercept=False)
    assert levelled(away, measured, without) is away


def with_numbers(rows, seed=0):
    """Planted rows with two numeric columns, of which the label has a product."""
    block, random = planted_block(rows, seed), np.random.default_rng(seed + 50)
    x = np.stack([random.normal(1000.0, 20.0, rows), random.normal(-3.0, 0.1, rows)], axis=1)
    ids = np.concatenate([block.indices.reshape(rows, 2), np.tile([45, 46], (rows, 1))], axis=1)
    normal = (x - [1000.0, -3.0]) / [20.0, 0.1]
    return replace(
        block,
        indptr=np.arange(0, 4 * rows + 1, 4, dtype=np.int32),
        indices=ids.ravel().astype(np.int32),
        values=np.concatenate([np.ones((rows, 2)), x], axis=1).ravel(),
        label=block.label + normal[:, 0] - 0.5 * normal[:, 1] + 0.7 * normal.prod(axis=1),
        features=np.arange(47),
    )


def test_numeric_columns_are_learned_whatever_their_mean_and_spread():
    _, model = fit(with_numbers(3000))
    fresh = with_numbers(1000, seed=1)
    error = np.sqrt(np.mean((predictions(model, fresh) - fresh.label) ** 2))
    assert fresh.label.std() > 1.9
    assert error < 0.3


def test_fit_goes_on_from_an_earlier_model_with_numeric_columns():
    block = with_numbers(2000)
    _, model = fit(block)
    _, same = fit(block, replace(SETTINGS, max_epochs=0), model=model)
    np.testing.assert_allclose(predictions(same, block), predictions(model, block), atol=1e-3)
    _, cold = fit(block, replace(SETTINGS, max_epochs=1))
    _, warm = fit(block, replace(SETTINGS, max_epochs=1), model=model)
    fresh = with_numbers(500, seed=1)
    errors = [np.mean((predictions(found, fresh) - fresh.label) ** 2) for found in (warm, cold)]
    assert errors[0] < 0.3 * errors[1]
