import logging
import math
from dataclasses import dataclass, field, replace

import pytest

from spark_fm.core.fm.losses import LOGISTIC, SQUARED
from spark_fm.core.fm.measure import Totals
from spark_fm.core.fm.settings import Prior, Settings
from spark_fm.core.solver.early_stopping import PATIENCE_AT_THE_START, Rival
from spark_fm.core.solver.loop import MAX_ROLLBACKS, train
from spark_fm.core.solver.plan import Plan, Result, parts_of

SETTINGS = Settings(LOGISTIC, max_epochs=10, patience=3, tol=1e-6, step_size=0.4)
ROWS = 10**6


def totals(loss):
    return Totals(loss * ROWS, float(ROWS), ROWS)


@dataclass
class FakeRunner:
    """Training without mathematics: a state is the number of good rounds behind it, or "bad".

    ``curve`` gives a state's losses. A round for which ``overshoots`` says so leads to "bad", whose loss
    is ``bad_loss``; one for which ``breaks`` says so has a result that is not finite.
    """

    curve: list[float]
    validated: bool = True
    rounds_per_epoch: int = 1
    merges: bool = False
    overshoots: object = lambda state, plan: False
    breaks: object = lambda state, plan: False
    bad_loss: float = 1e3
    plans: list[Plan] = field(default_factory=list)
    states: list[object] = field(default_factory=list)

    def loss(self, state):
        return self.bad_loss if state == "bad" else self.curve[min(state, len(self.curve) - 1)]

    def run(self, state, plan):
        self.plans.append(plan)
        self.states.append(state)
        loss = self.loss(state)
        after = "bad" if state == "bad" or self.overshoots(state, plan) else state + 1
        return Result(
            state=after if plan.train else state,
            start=totals(loss),
            train=totals(loss) if plan.train else Totals(),
            validation=totals(loss) if self.validated and plan.begins else Totals(),
            finite=not self.breaks(state, plan),
            seconds={"job": 1.0},
        )


def falling(n=100):
    return [1.0 / (1 + i) for i in range(n)]


def test_totals_add_up_and_have_a_weighted_mean():
    whole = Totals(6.0, 2.0, 1) + Totals(1.0, 5.0, 3)
    assert whole == Totals(7.0, 7.0, 4)
    assert whole.mean == 1.0
    assert math.isnan(Totals().mean)


def test_training_runs_until_max_epochs_while_the_validation_loss_falls():
    outcome = train(FakeRunner(falling()), 0, SETTINGS)
    assert (outcome.state, outcome.best_epoch, outcome.stop_reason) == (10, 10, "maxIter")
    assert [e.number for e in outcome.history] == list(range(1, 11))
    assert [e.validation_loss for e in outcome.history] == pytest.approx(falling()[1:11])
    assert [e.training_loss for e in outcome.history] == pytest.approx(falling()[:10])
    assert outcome.rollbacks == 0


@pytest.mark.parametrize("patience", [1, 2, 4])
def test_training_stops_after_patience_epochs_and_keeps_the_best(patience):
    curve = [1.0, 0.8, 0.7, 0.6, 0.61, 0.62, 0.63, 0.64, 0.65, 0.66, 0.67]
    outcome = train(FakeRunner(curve), 0, replace(SETTINGS, patience=patience))
    assert (outcome.state, outcome.best_epoch, outcome.stop_reason) == (3, 3, "patience")
    assert len(outcome.history) == 3 + patience


def test_an_improvement_starts_patience_anew():
    curve = [1.0, 0.9, 0.95, 0.96, 0.8, 0.85, 0.86, 0.87, 0.1]
    outcome = train(FakeRunner(curve), 0, SETTINGS)
    assert (outcome.best_epoch, outcome.stop_reason, len(outcome.history)) == (4, "patience", 7)


def test_start_is_the_best_when_training_only_makes_it_worse():
    curve = [0.5 + 0.01 * i for i in range(20)]
    outcome = train(FakeRunner(curve), 0, replace(SETTINGS, max_epochs=20))
    assert (outcome.state, outcome.best_epoch, outcome.stop_reason) == (0, 0, "noImprovement")
    # Three times the patience: the loss may rise before the factors have found a direction.
    assert len(outcome.history) == 3 * PATIENCE_AT_THE_START


def test_late_improvement_on_the_start_is_waited_for():
    curve = [0.5, 0.51, 0.52, 0.53, 0.54, 0.55, 0.3, 0.31, 0.32, 0.33, 0.34]
    outcome = train(FakeRunner(curve), 0, replace(SETTINGS, max_epochs=20))
    assert (outcome.best_epoch, outcome.stop_reason, len(outcome.history)) == (6, "patience", 9)


def test_improvements_below_tol_count_as_none_but_the_best_is_kept():
    curve = [1.0, 0.5, 0.499, 0.498, 0.497, 0.496]
    outcome = train(FakeRunner(curve), 0, replace(SETTINGS, tol=0.1))
    assert (outcome.state, outcome.best_epoch, outcome.stop_reason) == (4, 4, "patience")


@pytest.mark.parametrize(("tol", "epochs"), [(0.3, 3), (0.01, 4)])
def test_without_validation_rows_tol_on_the_training_loss_stops(tol, epochs):
    # The training loss of an epoch is that of the state before it: 1, 0.6, 0.5, 0.499, ...
    runner = FakeRunner([1.0, 0.6, 0.5, 0.499, 0.4989], validated=False)
    outcome = train(runner, 0, replace(SETTINGS, tol=tol))
    assert (len(outcome.history), outcome.stop_reason) == (epochs, "tol")
    assert (outcome.state, outcome.best_epoch) == (epochs, epochs)
    assert all(math.isnan(e.validation_loss) for e in outcome.history)


def test_without_validation_rows_the_last_parameters_are_kept():
    outcome = train(FakeRunner(falling(), validated=False), 0, replace(SETTINGS, tol=0.0))
    assert (outcome.state, outcome.best_epoch, outcome.stop_reason) == (10, 10, "maxIter")


@pytest.mark.parametrize("validated", [True, False])
def test_zero_epochs_give_back_the_start(validated):
    runner = FakeRunner(falling(), validated=validated)
    outcome = train(runner, 0, replace(SETTINGS, max_epochs=0))
    assert (outcome.state, outcome.best_epoch, outcome.history) == (0, 0, [])
    assert outcome.stop_reason == "maxIter"
    assert not any(plan.train for plan in runner.plans)


def test_an_epoch_is_all_its_rounds():
    runner = FakeRunner(falling(), rounds_per_epoch=3)
    outcome = train(runner, 0, replace(SETTINGS, max_epochs=2), first_number=5)
    orders = [parts_of(SETTINGS.seed, epoch, 3) for epoch in range(3)]
    assert [plan.part for plan in runner.plans] == [*orders[0], *orders[1], orders[2][0]]
    assert [plan.begins for plan in runner.plans] == [True, False, False, True, False, False, True]
    assert [plan.train for plan in runner.plans] == [True] * 6 + [False]
    assert [plan.number for plan in runner.plans] == list(range(5, 12))
    assert outcome.state == 6
    assert [e.training_loss for e in outcome.history] == pytest.approx(
        [sum(falling()[:3]) / 3, sum(falling()[3:6]) / 3]
    )
    # The round after an epoch measures it, so its time counts there.
    assert [e.seconds for e in outcome.history] == [{"job": 4.0}, {"job": 3.0}]


def test_parts_come_in_another_order_in_each_epoch_of_each_seed():
    orders = [parts_of(seed, epoch, 6) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert all(sorted(order) == list(range(6)) for order in orders)
    assert len({tuple(order) for order in orders}) == 6
    assert parts_of(1, 2, 6) == orders[-1]


def test_outcome_has_the_best_and_the_first_loss():
    outcome = train(FakeRunner([1.0, 0.8, 0.6, 0.7, 0.7, 0.7]), 0, SETTINGS)
    assert (outcome.loss, outcome.first_loss) == (0.6, 1.0)
    without = train(FakeRunner(falling(), validated=False), 0, replace(SETTINGS, tol=0.0))
    assert not without.loss < math.inf
    assert math.isnan(without.first_loss)


def test_each_epoch_is_reported_once():
    reported = []
    outcome = train(FakeRunner(falling(), rounds_per_epoch=2), 0, SETTINGS, reported.append)
    assert reported == outcome.history


def once(*rounds):
    """Overshoot (or break) in the rounds with these numbers."""
    return lambda state, plan: plan.number in rounds


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("rounds_per_epoch", [1, 3])
@pytest.mark.parametrize("bad_loss", [1e3, math.inf, math.nan])
def test_round_after_which_the_loss_has_risen_is_taken_back(validated, rounds_per_epoch, bad_loss, caplog):
    def run(**kwargs):
        runner = FakeRunner(falling(), validated, rounds_per_epoch, **kwargs)
        reported = []
        with caplog.at_level(logging.WARNING, "spark_fm"):
            return runner, train(runner, 0, replace(SETTINGS, max_epochs=5), reported.append), reported

    _, smooth, _ = run()
    runner, outcome, reported = run(overshoots=once(3), bad_loss=bad_loss)
    assert outcome.rollbacks == 1
    assert runner.states[3:6] == [3, "bad", 3]
    assert (outcome.state, outcome.best_epoch) == (smooth.state, smooth.best_epoch)
    assert outcome.stop_reason == "maxIter"
    # What was taken back leaves no trace in the history, and no epoch is told twice.
    assert [e.training_loss for e in outcome.history] == pytest.approx(
        [e.training_loss for e in smooth.history]
    )
    assert [e.number for e in reported] == [1, 2, 3, 4, 5]
    assert "the loss has risen clearly; going back to the last good parameters" in caplog.text


def test_round_taken_back_does_not_use_up_patience():
    runner = FakeRunner([1.0, 0.9, 0.91, 0.8, 0.7, 0.6], overshoots=once(2))
    outcome = train(runner, 0, replace(SETTINGS, patience=2, max_epochs=5))
    assert (outcome.best_epoch, outcome.stop_reason) == (5, "maxIter")


@pytest.mark.parametrize("rounds_per_epoch", [1, 2])
def test_round_whose_result_is_not_finite_is_taken_back(rounds_per_epoch, caplog):
    runner = FakeRunner(falling(), rounds_per_epoch=rounds_per_epoch, breaks=once(3))
    with caplog.at_level(logging.WARNING, "spark_fm"):
        outcome = train(runner, 0, replace(SETTINGS, max_epochs=5))
    assert outcome.rollbacks == 1
    assert runner.states[3:5] == [3, 3]
    assert (outcome.state, len(outcome.history)) == (5 * rounds_per_epoch, 5)
    assert "a number was not finite" in caplog.text


def test_after_a_rollback_the_merge_gets_more_careful_and_only_then_the_step_smaller():
    runner = FakeRunner(falling(), merges=True, breaks=lambda state, plan: len(runner.plans) <= 6)
    train(runner, 0, replace(SETTINGS, max_epochs=1))
    assert [plan.damping for plan in runner.plans[:7]] == [1.0, 2.0, 4.0, 8.0, 16.0, 16.0, 16.0]
    assert [plan.step_size for plan in runner.plans[:7]] == pytest.approx([0.4] * 5 + [0.2, 0.1])


def test_without_a_merge_a_rollback_halves_the_step():
    runner = FakeRunner(falling(), merges=False, overshoots=once(1))
    train(runner, 0, replace(SETTINGS, max_epochs=4))
    assert [plan.damping for plan in runner.plans] == [1.0] * len(runner.plans)
    assert [plan.step_size for plan in runner.plans] == pytest.approx([0.4] * 3 + [0.2] * 4)


def test_taken_back_rounds_have_other_random_numbers():
    runner = FakeRunner(falling(), breaks=once(2))
    train(runner, 0, replace(SETTINGS, max_epochs=4))
    assert [plan.number for plan in runner.plans] == list(range(len(runner.plans)))


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("how", ["overshoots", "breaks"])
def test_rollbacks_are_bounded(validated, how):
    bad = {how: lambda state, plan: plan.train and state == 3}
    runner = FakeRunner(falling(), validated, **bad)
    outcome = train(runner, 0, SETTINGS)
    assert outcome.stop_reason == "diverged"
    assert outcome.rollbacks == MAX_ROLLBACKS + 1
    assert outcome.state == 3
    assert outcome.best_epoch == 3


def test_training_that_never_was_finite_gives_back_the_start():
    outcome = train(FakeRunner(falling(), breaks=lambda state, plan: True), 0, SETTINGS)
    assert (outcome.state, outcome.best_epoch, outcome.history) == (0, 0, [])
    assert outcome.stop_reason == "diverged"


def test_small_rises_are_no_reason_to_go_back():
    outcome = train(FakeRunner([1.0, 1.1, 1.2, 0.9, 0.8], validated=False), 0, replace(SETTINGS, tol=-1.0))
    assert outcome.rollbacks == 0


def test_rows_known_by_heart_may_rise_more_because_nothing_is_left_of_their_loss():
    settings = replace(SETTINGS, tol=-10.0, max_epochs=4)
    assert train(FakeRunner([1.0, 0.1, 0.01, 0.09, 0.08], validated=False), 0, settings).rollbacks == 0
    assert train(FakeRunner([1.0, 0.1, 0.01, 0.13, 0.08], validated=False), 0, settings).rollbacks > 0


def test_what_a_warm_up_has_solved_may_wobble():
    curve = [6e-5, 3e-4, 7e-5, 3.5e-4, 6e-5, 3e-4]
    settings = replace(SETTINGS, tol=-10.0, max_epochs=5)
    after_warm_up = train(FakeRunner(curve, validated=False), 0, settings, untrained=totals(0.7))
    assert (after_warm_up.rollbacks, after_warm_up.state) == (0, 5)
    # Without a warm-up it would be a reason, and beyond a tenth of the untrained loss it is one.
    assert train(FakeRunner(curve, validated=False), 0, settings).rollbacks > 0
    curve[3] = 0.1
    assert train(FakeRunner(curve, validated=False), 0, settings, untrained=totals(0.7)).rollbacks > 0


def test_what_a_good_model_to_start_from_knows_may_wobble():
    curve, settings = [0.02, 0.06, 0.05, 0.03, 0.02, 0.01], replace(SETTINGS, tol=-10.0, max_epochs=5)
    assert train(FakeRunner(curve, validated=False), 0, settings).rollbacks > 0
    assert train(FakeRunner(curve, validated=False), 0, settings, constant=0.7).rollbacks == 0
    curve[1] = 0.2
    assert train(FakeRunner(curve, validated=False), 0, settings, constant=0.7).rollbacks > 0


def test_few_rows_may_rise_more_because_they_say_less():
    class Few(FakeRunner):
        def run(self, state, plan):
            result = super().run(state, plan)
            return replace(result, start=Totals(result.start.mean * 16, 16.0, 16))

    curve = [1.0, 2.0, 1.0, 0.5]
    settings = replace(SETTINGS, tol=-10.0, max_epochs=3)
    assert train(Few(curve, validated=False), 0, settings).rollbacks == 0
    assert train(FakeRunner(curve, validated=False), 0, settings).rollbacks > 0


SECOND = parts_of(SETTINGS.seed, 0, 2)[1]


class Parted(FakeRunner):
    """The part of two that comes second in the first epoch costs ten times as much as the other."""

    def run(self, state, plan):
        result = super().run(state, plan)
        return replace(result, start=totals(result.start.mean * (10 if plan.part == SECOND else 1)))


def test_each_part_is_compared_with_itself():
    settings = replace(SETTINGS, max_epochs=3)
    expensive = totals(50.0)
    smooth = Parted(falling(), validated=False, rounds_per_epoch=2)
    assert train(smooth, 0, settings, untrained=expensive).rollbacks == 0
    rising = Parted([1.0, 1.0, 1.0, 2.0, 1.0], validated=False, rounds_per_epoch=2)
    assert train(rising, 0, replace(settings, tol=-10.0), untrained=expensive).rollbacks > 0


def test_part_met_for_the_first_time_is_compared_with_the_untrained_parameters():
    settings = replace(SETTINGS, max_epochs=1)
    assert train(Parted([1.0], rounds_per_epoch=2), 0, settings, untrained=totals(2.0)).rollbacks > 0
    assert train(Parted([1.0], rounds_per_epoch=2), 0, settings, untrained=totals(7.0)).rollbacks == 0


def test_parameters_to_begin_with_are_not_taken_back():
    # What came before may have been measured on other rows.
    runner = FakeRunner(falling(), validated=False)
    outcome = train(runner, 0, replace(SETTINGS, tol=0.0), untrained=totals(0.1))
    assert (outcome.state, outcome.rollbacks) == (10, 0)


@pytest.mark.parametrize("start", [math.nan, math.inf])
def test_loss_to_begin_with_may_be_anything(start):
    outcome = train(FakeRunner([start, 0.5, 0.4, 0.3]), 0, replace(SETTINGS, max_epochs=3))
    assert (outcome.state, outcome.rollbacks, outcome.stop_reason) == (3, 0, "maxIter")


def test_guard_watches_on_after_a_loss_to_begin_with_that_is_not_finite():
    settings = replace(SETTINGS, tol=-10.0, max_epochs=3)
    assert train(FakeRunner([math.inf, 0.5, 0.4, 5.0], validated=False), 0, settings).rollbacks > 0


def test_squared_losses_scale_follows_the_mean_squared_residual():
    runner = FakeRunner([0.5, 0.3, 0.2])
    train(runner, 0, replace(SETTINGS, loss=SQUARED, max_epochs=2))
    assert [plan.scale for plan in runner.plans] == pytest.approx([1.0, 1.0, 0.6])


def test_log_losses_scale_stays_one():
    runner = FakeRunner([0.5, 0.3, 0.2])
    train(runner, 0, replace(SETTINGS, max_epochs=2))
    assert [plan.scale for plan in runner.plans] == [1.0, 1.0, 1.0]


@dataclass
class PriorRunner(FakeRunner):
    """States are lists of the priors that their rounds were trained with; ``losses`` has the loss of each list."""

    losses: object = None

    def loss(self, state):
        return self.losses(state)

    def run(self, state, plan):
        self.plans.append(plan)
        loss = self.losses(state)
        after = (*state, plan.prior) if plan.train else state
        validation = totals(loss) if plan.begins else Totals()
        return Result(after, totals(loss), totals(loss) if plan.train else Totals(), validation, True)


WEAK, STRONG = 0.25, 4.0
ADAPTIVE = Prior(WEAK, STRONG)


def overfitting(cured):
    """Weak epochs help twice and then harm; strong ones help when ``cured`` and harm badly when not."""

    def losses(state):
        loss = 1.0
        for n, prior in enumerate(state):
            loss += (-0.2 if n < 2 else 0.05) if prior == WEAK else (-0.1 if cured else 0.3)
        return loss

    return losses


@pytest.mark.parametrize("rounds_per_epoch", [1, 3])
def test_prior_gets_strong_once_an_epoch_is_no_improvement(rounds_per_epoch):
    def losses(state):
        return overfitting(True)(state[::rounds_per_epoch])

    runner = PriorRunner([], losses=losses, rounds_per_epoch=rounds_per_epoch)
    outcome = train(runner, (), replace(SETTINGS, max_epochs=5), prior=ADAPTIVE)
    by_epoch = [WEAK, WEAK, WEAK, STRONG, STRONG]
    assert outcome.state == tuple(prior for prior in by_epoch for _ in range(rounds_per_epoch))
    assert (outcome.best_epoch, outcome.rollbacks) == (5, 0)
    assert outcome.prior == Prior(WEAK, STRONG, 3)
    assert [e.number for e in outcome.history] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("rounds_per_epoch", [1, 3])
def test_prior_that_makes_it_worse_is_taken_back_for_good(rounds_per_epoch):
    def losses(state):
        return overfitting(False)(state[::rounds_per_epoch])

    runner = PriorRunner([], losses=losses, rounds_per_epoch=rounds_per_epoch)
    outcome = train(runner, (), replace(SETTINGS, patience=3), prior=ADAPTIVE)
    assert outcome.state == (WEAK,) * 2 * rounds_per_epoch
    assert (outcome.best_epoch, outcome.stop_reason) == (2, "patience")
    # The trial leaves no trace in the history.
    assert [e.number for e in outcome.history] == [1, 2, 3, 4, 5]
    assert [e.validation_loss for e in outcome.history] == pytest.approx([0.8, 0.6, 0.65, 0.7, 0.75])
    assert outcome.prior.at(100) == WEAK


def test_prior_that_is_no_worse_within_the_noise_stays():
    losses = {0: 1.0, 1: 0.5, 2: 0.51, 3: 0.5105}
    runner = PriorRunner([], losses=lambda state: losses.get(len(state), 0.52))
    outcome = train(runner, (), SETTINGS, prior=ADAPTIVE)
    assert (outcome.best_epoch, outcome.prior) == (1, Prior(WEAK, STRONG, 2))


@pytest.mark.parametrize(("loss", "epochs"), [(0.2, 16), (0.05, 30)])
def test_training_that_stays_behind_a_rival_stops(loss, epochs):
    """Its best epoch may come late, as long as it gets ahead in time."""
    curve = [1.0 - (1.0 - loss) * number / 30 for number in range(31)]
    settings, rival = replace(SETTINGS, max_epochs=30), Rival(3, 0.1 if loss == 0.2 else 0.5)
    outcome = train(FakeRunner(curve), 0, settings, rival=rival)
    assert len(outcome.history) == epochs


def test_prior_of_constant_strength_does_not_change():
    runner = PriorRunner([], losses=overfitting(True))
    outcome = train(runner, (), SETTINGS, prior=Prior(WEAK, WEAK))
    assert {plan.prior for plan in runner.plans} == {WEAK}
    assert outcome.best_epoch == 2


def test_prior_waits_until_training_has_got_better_than_its_start():
    runner = PriorRunner([], losses=lambda state: 1.0 + 0.1 * len(state))
    train(runner, (), SETTINGS, prior=ADAPTIVE)
    assert {plan.prior for plan in runner.plans} == {WEAK}


def test_chosen_priors_can_be_repeated_without_validation_rows():
    class Unjudged(PriorRunner):
        def run(self, state, plan):
            return replace(super().run(state, plan), validation=Totals())

    runner = Unjudged([], losses=lambda state: 1.0 / (1 + len(state)))
    outcome = train(runner, (), replace(SETTINGS, max_epochs=4, tol=0.0), prior=Prior(WEAK, STRONG, 3))
    assert outcome.state == (WEAK, WEAK, WEAK, STRONG)


def test_loss_of_trained_rows_may_rise_under_a_stronger_prior_but_not_above_the_untrained():
    curve = {0: 1.0, 1: 0.4, 2: 0.1, 3: 0.8, 4: 0.9, 5: 0.95}
    settings, prior = replace(SETTINGS, max_epochs=5, tol=-10.0), Prior(WEAK, STRONG, 2)
    assert train(FakeRunner(list(curve.values()), validated=False), 0, settings, prior=prior).rollbacks == 0
    curve[4] = 9.0
    assert train(FakeRunner(list(curve.values()), validated=False), 0, settings, prior=prior).rollbacks > 0


def test_guard_does_not_give_way_step_by_step_under_a_stronger_prior():
    settings, prior = replace(SETTINGS, max_epochs=5, tol=-10.0), Prior(WEAK, STRONG, 2)
    runner = FakeRunner([1.0, 0.4, 0.1, 1.5, 2.8, 5.2], validated=False)
    assert train(runner, 0, settings, prior=prior).rollbacks > 0
