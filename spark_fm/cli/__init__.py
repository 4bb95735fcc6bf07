"""Train, evaluate, score and recommend as Spark jobs: what jobs/*.py and the wheel's commands call."""

import sys
from collections.abc import Sequence

from spark_fm.cli.command import run
from spark_fm.cli.evaluate import evaluate
from spark_fm.cli.init import init_main
from spark_fm.cli.recommend import recommend
from spark_fm.cli.score import score
from spark_fm.cli.train import train

__all__ = ["evaluate_main", "init_main", "main", "recommend_main", "score_main", "train_main"]


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


def recommend_main(argv: Sequence[str] | None = None) -> int:
    """Write the best items of each context; argument and exit status as of :func:`train_main`."""
    return run(recommend, "spark-fm-recommend", "Recommend items with a saved model.", argv)


COMMANDS = {
    "init": init_main,
    "train": train_main,
    "evaluate": evaluate_main,
    "score": score_main,
    "recommend": recommend_main,
}


def main(argv: Sequence[str] | None = None) -> int:
    """``spark-fm COMMAND ...``: one of the jobs, or ``init``, which writes a config for a table.

    Parameters
    ----------
    argv : the command line without the program's name; by default that of this process

    Returns
    -------
    The exit status: 0, or 1 after one line on stderr that says what went wrong, or 2 for an unknown command.
    """
    command, *rest = (sys.argv[1:] if argv is None else list(argv)) or [""]
    if command in COMMANDS:
        return COMMANDS[command](rest)
    wanted = command in ("-h", "--help")
    usage = f"usage: spark-fm {{{','.join(COMMANDS)}}} ...\nspark-fm COMMAND --help lists its flags.\n"
    (sys.stdout if wanted else sys.stderr).write(usage)
    return 0 if wanted else 2
