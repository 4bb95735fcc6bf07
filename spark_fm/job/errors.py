"""What to tell the user when a job fails."""

import re

from pyspark.errors import PySparkException

# Errors whose own text is the sentence to show.
PLAIN = (ValueError, TypeError, RuntimeError, OSError, ImportError, PySparkException)
NULL_IN_ASSEMBLER = "Encountered null while assembling"


def reason(error: BaseException) -> str:
    """One line for an error: the sentence that was raised, on the driver or on an executor, without traces."""
    text = str(error)
    raised = re.search(r"\[USER_RAISED_EXCEPTION\] (.+)", text)
    if raised:
        return _without_state(raised.group(1))
    if NULL_IN_ASSEMBLER in text:
        return "columns.numeric: a row has a null, expected numbers: drop such rows or fill them in"
    causes: list[str] = re.findall(r"^Caused by: [\w.$]+: (.+)", text, re.MULTILINE)
    if causes:
        return _without_state(causes[-1])
    java = re.search(r"^: [\w.$]+: (.+)", text, re.MULTILINE)
    if java:
        return _without_state(java.group(1))
    line = _without_state(text.strip().partition("\n")[0])
    if isinstance(error, PLAIN) and line:
        return line
    return f"{type(error).__name__}: {line} (--debug shows where)"


def _without_state(line: str) -> str:
    return re.sub(r"\s*SQLSTATE: \w+", "", line).strip()
