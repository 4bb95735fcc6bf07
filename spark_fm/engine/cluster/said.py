"""What an error says, in one line without the traces of Java and Python."""

import re


def said(error: BaseException) -> str:
    """The last cause that a Spark error names; the first line of any other."""
    text = str(error)
    raised = re.search(r"\[USER_RAISED_EXCEPTION\] (.+)", text)
    if raised:
        return _without_state(raised.group(1))
    causes: list[str] = re.findall(r"^Caused by: [\w.$]+: (.+)", text, re.MULTILINE)
    if causes:
        return _without_state(causes[-1])
    java = re.search(r"^: [\w.$]+: (.+)", text, re.MULTILINE)
    if java:
        return _without_state(java.group(1))
    return _without_state(text.strip().partition("\n")[0])


def _without_state(line: str) -> str:
    return re.sub(r"\s*SQLSTATE: \w+", "", line).strip()
