"""Entry points for whoever calls a function and looks at no number that it returns: Databricks' Python wheel tasks.

A job that fails ends in SystemExit, so that its task fails; one that succeeds returns.
"""

from collections.abc import Callable, Sequence

from spark_fm.cli import evaluate_main, main, recommend_main, score_main, train_main


def _ends(command: Callable[[Sequence[str] | None], int]) -> None:
    status = command(None)
    if status:
        raise SystemExit(status)


def command() -> None:
    """``spark-fm``."""
    _ends(main)


def train() -> None:
    """``spark-fm-train``."""
    _ends(train_main)


def evaluate() -> None:
    """``spark-fm-evaluate``."""
    _ends(evaluate_main)


def score() -> None:
    """``spark-fm-score``."""
    _ends(score_main)


def recommend() -> None:
    """``spark-fm-recommend``."""
    _ends(recommend_main)
