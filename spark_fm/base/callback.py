"""What a fit tells while it trains."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from spark_fm.engine.training.solver import FitEpoch


class FitCallback:
    """What a fit tells while it trains: subclass it, override what you need, and give it to ``setCallback``.

    The methods are called on the driver, in the thread of the fit, which waits for them. Training in one task tells
    its epochs when the task is done, training in rounds each when it ends. What a method raises ends the fit, which
    leaves nothing behind, and is raised by ``fit``; a KeyboardInterrupt is a stop as by Ctrl-C.

    It is not a param: copies of an estimator have it (so that Pipeline and CrossValidator take it along), models and
    saved estimators have not.

    Examples
    --------
    >>> from spark_fm import FMRegressor
    >>> class Count(FitCallback):
    ...     epochs = 0
    ...     def epoch(self, epoch):
    ...         self.epochs += 1
    >>> rows = [([u, 20 + i], float((u + i) % 2)) for u in range(20) for i in range(10)]
    >>> frame = spark.createDataFrame(rows, "features array<int>, label double").coalesce(1)
    >>> count = Count()
    >>> model = FMRegressor(factorSize=4, maxIter=40, seed=1).setCallback(count).fit(frame)
    >>> count.epochs == model.summary.totalIterations
    True
    """

    def started(self, estimator: Any) -> "FitCallback":
        """Training begins, with the params of an estimator (a copy, where param maps change them).

        Returns
        -------
        FitCallback
            Who is told of this fit from now on. CrossValidator may fit several models at a time: return another
            object for each, where their epochs must be kept apart.
        """
        return self

    def epoch(self, epoch: FitEpoch) -> None:
        """An epoch has ended: ``number``, ``training_loss``, ``validation_loss`` (NaN for none), ``seconds`` by phase.

        Losses are in the units of ``model.summary``. Epochs may be taken back and trained again, so that numbers
        come twice; ``model.summary`` has those of the model.
        """

    def finished(self, model: Any) -> None:
        """The fit returns this model."""

    def failed(self, error: BaseException) -> None:
        """The fit raises this error."""


class CallbackError(Exception):
    """Carries what a callback raised past solvers, which take errors of some kinds for their own."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def telling(callback: FitCallback, estimator: Any) -> Iterator[FitCallback]:
    """Who is told of one fit; within it, what :func:`tell` raises is raised as the callback has raised it."""
    told = callback.started(estimator)
    try:
        try:
            yield told
        except CallbackError as carried:
            raise carried.error from None
    except BaseException as error:
        told.failed(error)
        raise


def tell(told: FitCallback, epoch: FitEpoch) -> None:
    """Tell of an epoch, within :func:`telling`.

    Raises
    ------
    CallbackError
        Where the callback raises an error.
    """
    try:
        told.epoch(epoch)
    except Exception as error:
        raise CallbackError(error) from error
