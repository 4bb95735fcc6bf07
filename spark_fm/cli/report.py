"""What a job leaves for people and programs: tables on stdout, report.md, a JSON file and a picture."""

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from pyspark.sql import DataFrame

from spark_fm.base.summary import FMTrainingSummary
from spark_fm.cli.compare import Contender
from spark_fm.cli.config import Config

logger = logging.getLogger("spark_fm.cli")

SHOWN_ROWS = 5
STOPPED = {
    "patience": "the validation loss stopped improving",
    "noImprovement": "no epoch was better than the start, which is the model",
    "tol": "the training loss stopped improving",
    "maxIter": "maxIter was reached",
    "diverged": "training diverged; the model has the last good parameters",
    "sampled": "as many sweeps were drawn as maxIter says",
    "stopped": "somebody stopped it",
}


def show(contenders: Sequence[Contender]) -> None:
    """Write the table of results to stdout."""
    lines = _table(contenders)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        sys.stdout.write("  " + "  ".join(padded).rstrip() + "\n")
    sys.stdout.flush()


def show_rows(rows: DataFrame) -> None:
    """Write a few rows to stdout."""
    rows.show(SHOWN_ROWS, truncate=40)
    sys.stdout.flush()


def write_metrics(path: Path, task: str, contenders: Sequence[Contender]) -> None:
    """Write metrics by model as JSON; what can't be measured is null."""
    models = {c.name: c.metrics for c in contenders}
    path.write_text(json.dumps({"task": task, "models": models}, indent=2) + "\n", "utf-8")
    logger.info("metrics: %s", path)


def draw(path: Path, summary: FMTrainingSummary) -> bool:
    """Draw the learning curve; False when matplotlib is not installed."""
    try:
        summary.plot(path)
    except ImportError:
        logger.info("no picture of the learning curve: matplotlib is not installed (the extra `plots`)")
        return False
    logger.info("learning curve: %s", path)
    return True


def write_report(
    path: Path,
    config: Config,
    summary: FMTrainingSummary,
    contenders: Sequence[Contender],
    seconds: Mapping[str, float],
    picture: str | None,
    importance: pd.DataFrame | None,
) -> None:
    """Write the story of a training run as Markdown."""
    params = ", ".join(f"{name} = {value}" for name, value in config.params.items()) or "defaults"
    lines = [
        f"# Factorization Machine: {config.task}",
        "",
        f"- Input: `{config.input.path or config.input.table}` ({config.input.format}), "
        f"label `{config.columns.label}`",
        f"- Trained on {summary.rows} rows with {summary.nonzeros} feature values",
        f"- Params: {params}",
        _ended(summary),
        f"- Model: `{config.model.path}`",
        "",
    ]
    if contenders:
        head, *body = _table(contenders)
        rows = [head, ["---"] * len(head), *body]
        lines += ["## Held-out rows", "", *_rows(rows), ""]
    if importance is not None:
        lines += ["## Fields", "", *_rows(_importance(importance)), ""]
        lines += [
            "`alone` and `together`: standard deviations of what a field says of a score by itself, and with the"
        ]
        lines += ["others beyond that; `share`: its part of the variance.", ""]
    if picture:
        lines += ["## Learning curve", "", f"![Loss by epoch]({picture})", ""]
    lines += ["## Time", "", *(f"- {name}: {spent:.1f} s" for name, spent in seconds.items()), ""]
    path.write_text("\n".join(lines), "utf-8")
    logger.info("report: %s", path)


def _importance(found: pd.DataFrame) -> list[list[str]]:
    numbers = found.drop(columns="field")
    cells = [[f"{number:.3g}" for number in row] for row in numbers.to_numpy().tolist()]
    heading = ["field", *map(str, numbers.columns)]
    named = [[str(name), *row] for name, row in zip(found["field"], cells, strict=True)]
    return [heading, ["---"] * len(heading), *named]


def _rows(table: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in table]


def _ended(summary: FMTrainingSummary) -> str:
    """The line that says when and why training ended, and which model that gave."""
    why = STOPPED[summary.stopReason]
    if not summary.chains:
        model = f"the model is that of epoch {summary.bestEpoch}"
        return f"- Stopped after {summary.totalIterations} epochs: {why}; {model}"
    r_hat = ", ".join(f"{name} {value:.3g}" for name, value in summary.rHat.items())
    return (
        f"- Stopped after {summary.totalIterations} sweeps: {why}; the model is the mean of {summary.chains} chains "
        f"(R-hat: {r_hat})"
    )


def _table(contenders: Sequence[Contender]) -> list[list[str]]:
    names = list(contenders[0].metrics)
    lines = [["model", *names, "settings"]]
    for contender in contenders:
        numbers = [_number(contender.metrics[name]) for name in names]
        lines.append([contender.name, *numbers, contender.settings])
    return lines


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4f}"
