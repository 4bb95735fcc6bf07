"""Is this machine ready? One sentence for what is missing, before Spark fails with a page."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST_JAVA = 17


def java_problem(java_home: str | None, path: str | None) -> str | None:
    """What keeps Spark from finding a Java that it can use, None when nothing does.

    Parameters
    ----------
    java_home, path : the values of JAVA_HOME and PATH
    """
    java = str(Path(java_home) / "bin" / "java") if java_home else shutil.which("java", path=path)
    mend = f"install Java {OLDEST_JAVA} or newer and put it on the PATH, or set JAVA_HOME to it"
    if java is None:
        return f"Spark needs Java {OLDEST_JAVA} or newer and found none: {mend}"
    try:
        ran = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    except OSError:
        return f"Spark needs Java {OLDEST_JAVA} or newer, but {java} can't be run: {mend}"
    version = re.search(r'version "(?:1\.)?(\d+)', ran.stderr + ran.stdout)
    if version is None:
        return f"Spark needs Java {OLDEST_JAVA} or newer, but {java} does not tell its version: {mend}"
    if int(version.group(1)) < OLDEST_JAVA:
        return f"Spark needs Java {OLDEST_JAVA} or newer, found Java {version.group(1)} ({java}): {mend}"
    return None


def main() -> int:
    """Print what is missing and return 1, or return 0."""
    import os

    problem = java_problem(os.environ.get("JAVA_HOME"), os.environ.get("PATH"))
    if problem:
        sys.stderr.write(problem + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
