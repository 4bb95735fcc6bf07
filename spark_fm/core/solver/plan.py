"""The words of training in rounds: what a round shall do, what came of it, and how a run ended."""

import math
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np

from spark_fm.core.fm.measure import Totals
from spark_fm.core.fm.settings import Prior

State = TypeVar("State")


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
    damping : factor on the merge's coupling, above 1 after a merge that overshot
    scale : mean squared residual of the last round for squared loss, 1 for log-loss
    epochs : how many epochs lie behind
    prior : strength of the prior
    """

    number: int
    part: int
    train: bool
    step_size: float
    damping: float
    scale: float
    epochs: float = 0.0
    prior: float = 0.0
    begins: bool = True


@dataclass(frozen=True)
class Result(Generic[State]):
    """What came of a round.

    ``start`` is the loss of the round's *initial* parameters on a sample of its training rows and
    ``validation`` their loss, or the metric in its place, on the validation rows (measured when an epoch ``begins``);
    ``train`` sums the losses of the rows as they were visited, each before its own step.
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
