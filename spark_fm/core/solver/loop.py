"""The training loop: rounds until the model stops getting better.

The loop knows neither Spark nor a solver's step. A *runner* performs a round from given parameters: in one
process over a block in memory (:mod:`spark_fm.core.solver.in_memory`), or as a Spark job over many partitions
(:mod:`spark_fm.engine.training.rounds`).
"""

import logging
import math
from collections.abc import Callable
from dataclasses import replace

from spark_fm.core.fm.measure import Totals
from spark_fm.core.fm.settings import Prior, Settings
from spark_fm.core.solver.early_stopping import Judge, Rival
from spark_fm.core.solver.plan import Epoch, Outcome, Plan, Runner, State, parts_of
from spark_fm.core.solver.rollback import Rise, more_careful

logger = logging.getLogger("spark_fm")

MAX_ROLLBACKS = 12


def train(
    runner: Runner[State],
    state: State,
    settings: Settings,
    report: Callable[[Epoch], None] = lambda epoch: None,
    first_number: int = 0,
    untrained: Totals | None = None,
    prior: Prior | None = None,
    constant: float = 0.0,
    rival: Rival | None = None,
) -> Outcome[State]:
    """Run epochs until ``max_epochs``, until the validation loss has not improved for ``patience`` epochs
    (three times as many as long as no epoch was better than the start), or,
    without validation rows, until the training loss improves by less than ``tol``.

    A round whose result is not finite, or after which the loss has clearly risen, is taken back: training goes
    on from the last good parameters with a more careful merge or a smaller step.

    ``constant`` is the loss of the best constant prediction, where it is known.

    A ``prior`` (by default of constant strength) that leaves it to the validation loss when to change does so when an
    epoch is no improvement; when the next epoch is worse still, that is taken back.

    A run that stays behind its ``rival`` for long stops.

    Returns
    -------
    The parameters with the lowest validation loss (the last good ones without validation rows).
    """
    judge = Judge(state, settings, prior or Prior(settings.reg_prior, settings.reg_prior), rival)
    plan = Plan(first_number, 0, True, settings.step_size, 1.0, 1.0, prior=judge.prior.at(0.0))
    rise, rollbacks = Rise(untrained, constant), 0
    history: list[Epoch] = []
    good, done, judged = state, 0, -1
    visited, before, seconds, previous_loss = Totals(), Totals(), dict[str, float](), math.inf
    rounds = runner.rounds_per_epoch
    last = settings.max_epochs * rounds
    reason = "maxIter"
    while True:
        behind, (epoch_behind, place) = done / rounds, divmod(done, rounds)
        strength = judge.prior.at(behind)
        if strength != plan.prior:
            rise.forget()
        part = parts_of(settings.seed, epoch_behind, rounds)[place]
        plan = replace(plan, part=part, begins=place == 0, train=done < last, epochs=behind, prior=strength)
        result = runner.run(state, plan)
        for phase, spent in result.seconds.items():
            seconds[phase] = seconds.get(phase, 0.0) + spent
        plan = replace(plan, number=plan.number + 1)

        what = "the loss has risen clearly" if rise.seen(result.start, plan.part, state is good) else ""
        if not what:
            good = state
            # Parameters that a rollback returns to have been judged before.
            if plan.begins and done > judged:
                judged = done
                loss = result.validation.mean
                if done:
                    epoch = Epoch(done // rounds, visited.mean, loss, seconds)
                    history.append(epoch)
                    report(epoch)
                    visited, seconds = Totals(), {}
                if result.validation.rows:
                    verdict = judge.sees(state, done // rounds, loss, plan.train)
                    if verdict == "stop":
                        reason = "patience"
                        break
                    if verdict != "on":
                        logger.info("epoch %d: prior %s: %s", done // rounds, verdict, judge.prior)
                        if verdict == "back":
                            state = good = judge.best
                            judged = done = judge.epoch * rounds
                            del history[judge.epoch :]
                        continue
                elif done and done < last:
                    gain = previous_loss - history[-1].training_loss
                    if gain < settings.tol * abs(previous_loss):
                        reason = "tol"
                        break
                    previous_loss = history[-1].training_loss
            if not plan.train:
                break
            if not result.finite:
                what = "a number was not finite"
        if what:
            rollbacks += 1
            if rollbacks > MAX_ROLLBACKS:
                reason, state = "diverged", good
                break
            plan = more_careful(plan, runner.merges)
            logger.warning(
                "round %d: %s; going back to the last good parameters (step %g, coupling x%g)",
                plan.number, what, plan.step_size, plan.damping,
            )  # fmt: skip
            if state is not good:
                state, done, visited = good, done - 1, before
            continue
        before, visited = visited, visited + result.train
        if result.train.weight > 0:
            plan = replace(plan, scale=settings.loss.squared_gradients_for_curvature(result.train.mean))
        state, done = result.state, done + 1

    best, best_epoch = (state, len(history)) if judge.loss == math.inf else (judge.best, judge.epoch)
    if reason == "patience" and not best_epoch:
        reason = "noImprovement"
    return Outcome(best, best_epoch, history, reason, rollbacks, judge.prior, judge.loss, judge.first_loss)
