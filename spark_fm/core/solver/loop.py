"""The training loop: rounds until the model stops getting better.

The loop knows neither Spark nor the kernel. A *runner* performs a round from given parameters: in one
process over a block in memory (:mod:`spark_fm.core.solver.in_memory`), or as a Spark job over many partitions
(:mod:`spark_fm.engine.training.rounds`).
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

import numpy as np

from spark_fm.core.fm.losses import Loss
from spark_fm.core.fm.settings import Prior, Settings

logger = logging.getLogger("spark_fm")

MAX_ROLLBACKS = 12
PATIENCE_AT_THE_START = 3
NOT_WORSE = 0.002
NO_RISE = 0.1
State = TypeVar("State")


@dataclass(frozen=True)
class Totals:
    """A weighted sum of losses, the sum of the weights, and how many rows they are."""

    loss: float = 0.0
    weight: float = 0.0
    rows: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(self.loss + other.loss, self.weight + other.weight, self.rows + other.rows)

    @property
    def mean(self) -> float:
        """The mean loss; not a number when there is no row."""
        return self.loss / self.weight if self.weight > 0 else math.nan


@dataclass(frozen=True)
class Plan:
    """What one round shall do.

    Attributes
    ----------
    number : counts the rounds of a run, including those taken back; seeds derive from it
    part : which part of the rows (0 .. rounds per epoch - 1)
    begins : whether an epoch begins with this round, so that the validation rows are measured
    train : False only measures the parameters
    step_size : AdaGrad step
    raised : factor on the merge's coupling, above 1 after a merge that overshot
    scale : mean squared residual of the last round for squared loss, 1 for log-loss
    epochs : how many epochs lie behind
    prior : strength of the prior
    """

    number: int
    part: int
    train: bool
    step_size: float
    raised: float
    scale: float
    epochs: float = 0.0
    prior: float = 0.0
    begins: bool = True


@dataclass(frozen=True)
class Result(Generic[State]):
    """What came of a round.

    ``start`` is the loss of the round's *initial* parameters on a sample of its training rows and
    ``validation`` their loss on the validation rows (measured when an epoch ``begins``); ``train`` sums the
    losses of the rows as they were visited, each before its own step.
    """

    state: State
    start: Totals
    train: Totals
    validation: Totals
    finite: bool
    seconds: dict[str, float] = field(default_factory=dict)


class Runner(Protocol[State]):
    """Performs rounds."""

    @property
    def rounds_per_epoch(self) -> int:
        """How many rounds visit all rows once."""

    @property
    def merges(self) -> bool:
        """Whether a round's result is merged from several partitions."""

    def run(self, state: State, plan: Plan) -> Result[State]:
        """One round from ``state``, which must stay as it is."""


@dataclass(frozen=True)
class Epoch:
    """One line of a training history; losses are means in the units of training."""

    number: int
    training_loss: float
    validation_loss: float
    seconds: dict[str, float]


@dataclass(frozen=True)
class Outcome(Generic[State]):
    """The best parameters, how they came about, and why training stopped.

    ``prior`` says when its strength changed; ``loss`` is the validation loss of the best parameters and ``first_loss``
    that of the parameters to begin with, not numbers without validation rows.
    """

    state: State
    best_epoch: int
    history: list[Epoch]
    stop_reason: str
    rollbacks: int
    prior: Prior
    loss: float = math.nan
    first_loss: float = math.nan


def parts_of(seed: int, epoch: int, rounds: int) -> list[int]:
    """In which order an epoch's rounds visit the parts of the rows: another one each time.

    Parts that follow each other in the same order again and again cost one per cent of the error on ratings.
    """
    order: list[int] = np.random.default_rng([seed, epoch, 0x0DE5]).permutation(rounds).tolist()
    return order


class _Rise:
    """Tells whether a loss has clearly risen.

    Each part is compared with itself, because rows that were trained on lose their loss before others do; a part
    that is met for the first time is compared with the untrained parameters. Next to nothing is left of the loss of
    rows that are known by heart, that a warm-up has solved, or that the model to start from knows: what rises by less
    than a tenth of the loss of a ``constant``, of the untrained parameters, or of a part's first loss, has not risen.
    """

    def __init__(self, untrained: Totals | None, constant: float) -> None:
        self.untrained = untrained.mean if untrained else math.inf
        self._constant = constant
        self.lowest: dict[int, float] = {}
        self._first: dict[int, float] = {}
        self._remembers = True

    def forget(self) -> None:
        """From now on compare with the untrained parameters only: under a stronger prior the loss of rows that
        were trained on rises, and should.
        """
        self.lowest.clear()
        self._remembers = False

    def seen(self, start: Totals, part: int, good: bool) -> bool:
        """Parameters that are the last ``good`` ones have not risen: there is nothing to go back to."""
        if start.rows == 0:
            return False
        # Rows that are met for the first time may simply be harder than those of the comparison.
        slack = 1.0 if part in self.lowest else 4.0
        allowed = 1.0 + slack * (0.25 + 4.0 / math.sqrt(start.rows))
        lowest = self.lowest.get(part, self.untrained)
        untrained = self.untrained if self.untrained < math.inf else 0.0
        first = max(self._first.get(part, 0.0), untrained, self._constant)
        most = max(lowest * allowed, lowest + NO_RISE * first)
        risen = not good and not start.mean <= most + 1e-9
        if not risen:
            if self._remembers and not self.lowest:
                # The untrained loss may come from fewer rows than a round's.
                known = self.untrained if self.untrained < math.inf else start.mean
                self.untrained = max(known, start.mean)
            if math.isfinite(start.mean):
                self._first.setdefault(part, start.mean)
            if self._remembers:
                self.lowest[part] = min(self.lowest.get(part, math.inf), start.mean)
        return risen


class _Judge(Generic[State]):
    """What the validation loss says: which parameters are best, how strong the prior should be, when to stop."""

    def __init__(self, state: State, settings: Settings, prior: Prior) -> None:
        self.best, self.epoch, self.loss, self.prior = state, 0, math.inf, prior
        self.first_loss = math.nan
        self._settings, self._reference, self._waited = settings, math.inf, 0
        self._tried_at: float | None = None

    def sees(self, state: State, epoch: int, loss: float, may_change: bool) -> str:
        """The verdict on the parameters after an epoch.

        Returns
        -------
        "on"; "anew": the model overfits, so this epoch's parameters are the start of a trial of the later prior;
        "back": the trial has failed, the best parameters and the first prior go on; or "stop".
        """
        if epoch == 0:
            self.first_loss = loss
        if loss < self.loss:
            self.best, self.epoch, self.loss = state, epoch, loss
        improved = loss < self._reference * (1.0 - self._settings.tol)
        self._reference, self._waited = (loss, 0) if improved else (self._reference, self._waited + 1)
        if self._tried_at is not None:
            failed, self._tried_at = not loss <= self._tried_at * (1.0 + NOT_WORSE), None
            if failed:
                self.prior = Prior(self.prior.first, self.prior.first)
                self._reference, self._waited = self.loss, 0
                return "back"
        elif may_change and not improved and self.epoch and self.prior.changes and self.prior.epochs is None:
            self.prior, self._tried_at, self._waited = replace(self.prior, epochs=epoch), loss, 0
            return "anew"
        # Factors start near a saddle: the loss may rise before they have found a direction.
        patience = self._settings.patience * (1 if self.epoch else PATIENCE_AT_THE_START)
        return "stop" if self._waited >= patience else "on"


def train(
    runner: Runner[State],
    state: State,
    settings: Settings,
    report: Callable[[Epoch], None] = lambda epoch: None,
    first_number: int = 0,
    untrained: Totals | None = None,
    prior: Prior | None = None,
    constant: float = 0.0,
) -> Outcome[State]:
    """Run epochs until ``max_epochs``, until the validation loss has not improved for ``patience`` epochs
    (three times as many as long as no epoch was better than the start), or,
    without validation rows, until the training loss improves by less than ``tol``.

    A round whose result is not finite, or after which the loss has clearly risen, is taken back: training goes
    on from the last good parameters with a more careful merge or a smaller step.

    ``constant`` is the loss of the best constant prediction, where it is known.

    A ``prior`` (by default of constant strength) that leaves it to the validation loss when to change does so when an
    epoch is no improvement; when the next epoch is worse still, that is taken back.

    Returns
    -------
    The parameters with the lowest validation loss (the last good ones without validation rows).
    """
    judge = _Judge(state, settings, prior or Prior(settings.reg_prior, settings.reg_prior))
    plan = Plan(first_number, 0, True, settings.step_size, 1.0, 1.0, prior=judge.prior.at(0.0))
    rise, rollbacks = _Rise(untrained, constant), 0
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
            plan = _more_careful(plan, runner.merges)
            logger.warning(
                "round %d: %s; going back to the last good parameters (step %g, coupling x%g)",
                plan.number, what, plan.step_size, plan.raised,
            )  # fmt: skip
            if state is not good:
                state, done, visited = good, done - 1, before
            continue
        before, visited = visited, visited + result.train
        if settings.loss is Loss.SQUARED and result.train.weight > 0:
            plan = replace(plan, scale=max(2.0 * result.train.mean, 1e-6))
        state, done = result.state, done + 1

    best, best_epoch = (state, len(history)) if judge.loss == math.inf else (judge.best, judge.epoch)
    if reason == "patience" and not best_epoch:
        reason = "noImprovement"
    return Outcome(best, best_epoch, history, reason, rollbacks, judge.prior, judge.loss, judge.first_loss)


def _more_careful(plan: Plan, merges: bool) -> Plan:
    """A doubled coupling where there is a merge to blame, up to 16; beyond that, and alone, half the step."""
    if merges and plan.raised < 16.0:
        return replace(plan, raised=2.0 * plan.raised)
    return replace(plan, step_size=0.5 * plan.step_size)
