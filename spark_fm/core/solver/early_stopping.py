"""When to stop: held-out rows, what their loss decides, the trial of the prior, and the refit on all rows."""

import logging
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Generic, Protocol

from spark_fm.core.fm import level
from spark_fm.core.fm.level import Level
from spark_fm.core.fm.settings import Prior, Settings
from spark_fm.core.fm.table import Parameters
from spark_fm.core.solver.plan import Epoch, Outcome, State

logger = logging.getLogger("spark_fm")

PATIENCE_AT_THE_START = 3
NOT_WORSE = 0.002
ENOUGH_VALIDATION_ROWS = 8000
ENOUGH_HELD_OUT = 10_000
LEAST_HELD_OUT = 0.01
REFIT_ABOVE = 0.02
FEWEST_ROWS_TO_HOLD_OUT_FROM = 20
MOST_FOLDS = 5
LITTLE_GAIN = 0.02
STRONGER = (1.0, 3.0)


def held_out_rows(rows: int, fraction: float, effective: float = 1.0) -> int:
    """How many of so many rows to hold out when ``fraction`` was asked for: less on large data.

    Only where they are more than 2 % is the model trained again on all rows. None of fewer than 20 rows. Rows of uneven
    weights say as much as the ``effective`` part of them.
    """
    worth = rows * effective
    if worth < FEWEST_ROWS_TO_HOLD_OUT_FROM or fraction <= 0.0:
        return 0
    return max(1, round(rows * min(fraction, max(ENOUGH_HELD_OUT / worth, LEAST_HELD_OUT))))


def folds_of(rows: int, held_out: int, most: int = MOST_FOLDS, effective: float = 1.0) -> int:
    """How many times to hold out so many of the rows: once when that is enough to judge by, up to ``most``
    times on small data; 0 when none are held out.
    """
    if not held_out:
        return 0
    return max(1, min(math.ceil(ENOUGH_VALIDATION_ROWS / (held_out * effective)), most, rows // held_out))


@dataclass(frozen=True)
class HeldOut:
    """So many ``rows`` are held out, in each of several ``folds`` others; ``refits``: then all rows are trained on."""

    rows: int = 0
    folds: int = 0
    refits: bool = False

    @classmethod
    def of(
        cls, rows: int, fraction: float, most_folds: int = MOST_FOLDS, effective: float = 1.0
    ) -> "HeldOut":
        """What to hold out of so many rows, worth the ``effective`` part, when ``fraction`` was asked for."""
        size = held_out_rows(rows, fraction, effective)
        folds = folds_of(rows, size, most_folds, effective)
        return cls(size, folds, folds > 1 or size > REFIT_ABOVE * rows)


class Trainer(Protocol):
    """Trains on given rows, of which some may be held out."""

    def train(self, settings: Settings, prior: Prior, report: Callable[[Epoch], None]) -> Outcome[Parameters]:
        """From the same initial parameters each time it is called."""

    def level(self, state: Parameters) -> Level:
        """The level of the predictions on the rows that are not for validation only."""


class Judge(Generic[State]):
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


def fit(
    trainer: Callable[[HeldOut], AbstractContextManager[Trainer]],
    held: HeldOut,
    settings: Settings,
    validates: bool,
    report: Callable[[Epoch], None] = lambda epoch: None,
) -> Outcome[Parameters]:
    """A whole training run.

    With validation rows of the user's own (``validates``), or rows that are ``held`` out, these decide when to stop;
    where more than a few were held out, the model is then trained that long on all rows. At the end the
    intercept is set to what is best for all rows that may be trained on.
    """
    with trainer(held) as first:
        if held.rows or validates:
            outcome = judged(lambda prior: first.train(settings, prior, report), settings)
        else:
            outcome = first.train(settings, settings.prior(judged=False), report)
        if not held.refits:
            return levelled(outcome, first.level, settings)
    logger.info("training %d epochs on all rows", outcome.best_epoch)
    with trainer(HeldOut()) as again:
        final = again.train(refit_settings(settings, outcome), outcome.prior, lambda epoch: None)
        return levelled(refitted(outcome, final), again.level, settings)


def judged(run: Callable[[Prior], Outcome[State]], settings: Settings) -> Outcome[State]:
    """Training in which validation rows decide when to stop and, where it adapts, how strong the prior is.

    Where that gains next to nothing on the parameters to begin with, features may be too rare for a prior that begins
    weak: training from the start with stronger ones is tried too, and the best of all is kept.
    """
    best = run(settings.prior(judged=True))
    if not settings.adapt_prior or settings.max_epochs == 0:
        return best
    for stronger in STRONGER:
        if not best.loss > best.first_loss * (1.0 - LITTLE_GAIN):
            return best
        other = run(Prior(stronger * settings.reg_prior, stronger * settings.reg_prior))
        if other.loss < best.loss:
            best = replace(other, rollbacks=best.rollbacks + other.rollbacks)
    return best


def refit_settings(settings: Settings, chosen: Outcome[State]) -> Settings:
    """Train for the chosen number of epochs, whatever the loss says."""
    return replace(settings, max_epochs=chosen.best_epoch, tol=-math.inf)


def with_state(outcome: Outcome[State], state: Parameters) -> Outcome[Parameters]:
    """Other parameters with the story of an outcome."""
    return Outcome(
        state, outcome.best_epoch, outcome.history, outcome.stop_reason, outcome.rollbacks,
        outcome.prior, outcome.loss, outcome.first_loss,
    )  # fmt: skip


def refitted(chosen: Outcome[State], final: Outcome[Parameters]) -> Outcome[Parameters]:
    """The parameters of training again on all rows, with the history of the choice.

    A refit that diverged says so: its parameters are the last good ones.
    """
    reason = "diverged" if final.stop_reason == "diverged" else chosen.stop_reason
    return replace(
        with_state(chosen, final.state),
        stop_reason=reason,
        rollbacks=chosen.rollbacks + final.rollbacks,
    )


def levelled(
    outcome: Outcome[Parameters], measured: Callable[[Parameters], Level], settings: Settings
) -> Outcome[Parameters]:
    """The outcome with the intercept that is best for the rows that are ``measured``, all else being as it is."""
    if not settings.fit_intercept or settings.max_epochs == 0:
        return outcome
    state = outcome.state
    intercept = level.levelled(
        state.intercept, lambda trial: measured(replace(state, intercept=trial)), settings.loss
    )
    return replace(outcome, state=replace(state, intercept=intercept))
