"""Train, evaluate and score as Spark jobs: what jobs/*.py and the wheel's commands call."""

from collections.abc import Sequence

from spark_fm.cli.command import run
from spark_fm.cli.evaluate import evaluate
from spark_fm.cli.score import score
from spark_fm.cli.train import train

__all__ = ["evaluate_main", "score_main", "train_main"]


def train_main(argv: Sequence[str] | None = None) -> int:
    """Fit a model, save it, and report how good it is on held-out rows.

    Parameters
    ----------
    argv : the command line without the program's name; by default that of this process

    Returns
    -------
    The exit status: 0, or 1 after one line on stderr that says what went wrong.
    """
    return run(train, "spark-fm-train", "Train a Factorization Machine.", argv)


def evaluate_main(argv: Sequence[str] | None = None) -> int:
    """Measure a saved model on labelled rows; argument and exit status as of :func:`train_main`."""
    return run(evaluate, "spark-fm-evaluate", "Evaluate a saved model on labelled rows.", argv)


def score_main(argv: Sequence[str] | None = None) -> int:
    """Write the predictions of a saved model; argument and exit status as of :func:`train_main`."""
    return run(score, "spark-fm-score", "Score rows with a saved model.", argv)
