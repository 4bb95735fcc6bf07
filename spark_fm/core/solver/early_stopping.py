"""When to stop: held-out rows, what their loss decides, the strength of the prior, and the refit on all rows."""

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
MOST_FOLDS = 10
LITTLE_GAIN = 0.02
STRONGER = (1.0, 3.0)
# In half decades from the full strength: about a thirtieth, and ten times.
WEAKEST, STRONGEST = -3, 2
WORTH_ANOTHER = 0.001
CLEARLY_BESIDE = 0.15
TIMES_THE_RIVALS, MORE_THAN_THE_RIVALS = 2, 10


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


@dataclass(frozen=True)
class Rival:
    """A run to be better than: its best epoch, and the validation loss there."""

    epoch: int
    loss: float

    @classmethod
    def of(cls, best: Outcome[State]) -> "Rival":
        """The best run so far."""
        return cls(best.best_epoch, best.loss)

    def leaves_behind(self, epoch: int, loss: float) -> bool:
        """Whether a run of so many epochs, the lowest loss of which is ``loss``, need not go on."""
        return epoch >= TIMES_THE_RIVALS * self.epoch + MORE_THAN_THE_RIVALS and loss >= self.loss


class Trainer(Protocol):
    """Trains on given rows, of which some may be held out."""

    def train(
        self,
        settings: Settings,
        prior: Prior,
        report: Callable[[Epoch], None],
        rival: "Rival | None" = None,
    ) -> Outcome[Parameters]:
        """From the same initial parameters each time it is called."""

    def level(self, state: Parameters) -> Level:
        """The level of the predictions on the rows that are not for validation only."""


class Judge(Generic[State]):
    """What the validation loss says: which parameters are best, how strong the prior should be, when to stop."""

    def __init__(self, state: State, settings: Settings, prior: Prior, rival: Rival | None = None) -> None:
        self.best, self.epoch, self.loss, self.prior = state, 0, math.inf, prior
        self.first_loss = math.nan
        self._settings, self._reference, self._waited = settings, math.inf, 0
        self._tried_at: float | None = None
        self._rival = rival

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
        if self._rival is not None and self._rival.leaves_behind(epoch, self.loss):
            return "stop"
        # Factors start near a saddle: the loss may rise before they have found a direction.
        patience = self._settings.patience * (1 if self.epoch else PATIENCE_AT_THE_START)
        return "stop" if self._waited >= patience else "on"


def fit(
    trainer: Callable[[HeldOut], AbstractContextManager[Trainer]],
    held: HeldOut,
    settings: Settings,
    validates: bool,
    report: Callable[[Epoch], None] = lambda epoch: None,
    searches: bool = False,
) -> Outcome[Parameters]:
    """A whole training run.

    With validation rows of the user's own (``validates``), or rows that are ``held`` out, these decide when to stop;
    where more than a few were held out, the model is then trained that long on all rows. At the end the
    intercept is set to what is best for all rows that may be trained on. ``searches``: see :func:`judged`.
    """
    with trainer(held) as first:
        if held.rows or validates:
            outcome = judged(
                lambda prior, rival: first.train(settings, prior, report, rival), settings, searches
            )
        else:
            outcome = first.train(settings, settings.prior(judged=False), report)
        if not held.refits:
            return levelled(outcome, first.level, settings)
    logger.info("training %d epochs on all rows", outcome.best_epoch)
    with trainer(HeldOut()) as again:
        final = again.train(refit_settings(settings, outcome), outcome.prior, lambda epoch: None)
        return levelled(refitted(outcome, final), again.level, settings)


def judged(
    run: Callable[[Prior, Rival | None], Outcome[State]], settings: Settings, searches: bool
) -> Outcome[State]:
    """Training in which validation rows decide when to stop and, where it adapts, how strong the prior is.

    Where it ``searches``, every strength is trained with from the start. Otherwise a prior that begins weak is changed
    at most once. Where that gains next to nothing on the parameters to begin with, features may be too rare for it:
    training from the start with stronger ones is tried too, and the best of all is kept.
    """
    if not settings.adapt_prior or settings.reg_prior == 0.0 or settings.max_epochs == 0:
        return run(settings.prior(judged=True), None)
    if searches:
        return searched(run, settings.reg_prior)
    best = run(settings.prior(judged=True), None)
    for stronger in STRONGER:
        if not best.loss > best.first_loss * (1.0 - LITTLE_GAIN):
            return best
        best = better(best, run(constant(stronger * settings.reg_prior), None))
    return best


def searched(run: Callable[[Prior, Rival | None], Outcome[State]], full: float) -> Outcome[State]:
    """The best of runs with constant strengths of the prior that are half a decade apart.

    From the ``full`` strength it goes to weaker ones as long as they gain and, where the first of them did not, to
    stronger ones. The last run has the strength at the vertex of the parabola through the losses of the best one and
    of its neighbours, where that lies clearly beside the best one. So there are five runs at most.
    """

    def prior(step: float) -> Prior:
        return constant(full * 10.0 ** (0.5 * step))

    at, best = 0, run(prior(0), None)
    losses = {at: best.loss}
    for direction, last in ((-1, WEAKEST), (1, STRONGEST)):
        while at != last and best.loss < math.inf:
            other = run(prior(at + direction), Rival.of(best))
            losses[at + direction] = other.loss
            gained = other.loss < best.loss * (1.0 - WORTH_ANOTHER)
            best = better(best, other)
            if not gained:
                break
            at += direction
        if at:
            break
    lowest = min(losses, key=lambda step: losses[step])
    if lowest - 1 in losses and lowest + 1 in losses:
        beside = vertex(losses[lowest - 1], losses[lowest], losses[lowest + 1])
        if abs(beside) > CLEARLY_BESIDE:
            best = better(best, run(prior(lowest + beside), Rival.of(best)))
    return best


def vertex(before: float, lowest: float, after: float) -> float:
    """Where the parabola through (-1, before), (0, lowest) and (1, after) has its lowest point."""
    bend = before - 2.0 * lowest + after
    return 0.5 * (before - after) / bend if 0.0 < bend < math.inf else 0.0


def constant(strength: float) -> Prior:
    """A prior that does not change."""
    return Prior(strength, strength)


def better(best: Outcome[State], other: Outcome[State]) -> Outcome[State]:
    """The outcome with the lower validation loss; the first where neither is."""
    if not other.loss < best.loss:
        return best
    return replace(other, rollbacks=best.rollbacks + other.rollbacks)


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
