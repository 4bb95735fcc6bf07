"""What to tell the user when a job fails."""

import re

from pyspark.errors import PySparkException

from spark_fm.engine.cluster.said import said

# Errors whose own text is the sentence to show.
PLAIN = (ValueError, TypeError, RuntimeError, OSError, ImportError, PySparkException)
# What the estimators call by their params' names stands under other keys in a config.
KEYS = {
    "featuresCol": "columns.features",
    "labelCol": "columns.label",
    "weightCol": "columns.weight",
    "validationIndicatorCol": "columns.validation",
    "contextCol": "recommend.context",
    "itemCol": "recommend.item",
    "exclude": "recommend.exclude",
    "k": "recommend.k",
    "reasons": "recommend.reasons",
    "timeCol": "split.time",
    "userCol": "split.user",
    "df": "input",
}
ENCODED = "the features made of columns.categorical, columns.numeric or fields"


def reason(error: BaseException) -> str:
    """One line for an error: the sentence that was raised, on the driver or on an executor, without traces.

    It names the config's keys, and no column that the job made.
    """
    line = re.sub(r"(?:column )?[`'\"]?__spark_fm_\w+[`'\"]?", ENCODED, _sentence(error))
    param, colon, rest = line.partition(":")
    return KEYS.get(param, param) + colon + rest


def _sentence(error: BaseException) -> str:
    text = str(error)
    unresolved = re.search(r"UNRESOLVED_COLUMN.*? with name `(.+?)` cannot be resolved", text)
    if unresolved:
        name = unresolved.group(1).replace("``", "`")
        return f"input: there is no column {name!r}, expected all columns that the model was trained on"
    line = said(error)
    is_cause = not text.strip().startswith(line)
    if line and (isinstance(error, PLAIN) or is_cause):
        return line
    return f"{type(error).__name__}: {line} (--debug shows where)"
