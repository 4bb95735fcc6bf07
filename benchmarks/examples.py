"""The examples of the documentation's pages: run, with what they print and draw written to the pages.

python -m benchmarks.examples

The tests run them too, and expect what stands there.
"""

import contextlib
import io
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import show, spark_session

ROOT = Path(__file__).parent.parent
# The pages, and the pictures that their examples draw.
EXAMPLES = {
    ROOT / "README.md": ["learning-curve.png"],
    ROOT / "docs" / "explain.md": ["waterfall.png", "field-matrix.png"],
}
EXAMPLE = re.compile(r"```python\n(.*?)```\n\n<!-- output -->\n```text\n(.*?)```", re.DOTALL)


def run_example(code: str, spark: Any, pictures: list[str], folder: Path) -> str:
    """What an example prints; the pictures that it draws go to ``folder``."""
    printed, before = io.StringIO(), Path.cwd()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        try:
            with contextlib.redirect_stdout(printed):
                exec(code, {"spark": spark})
            for name in pictures:
                (folder / name).write_bytes(Path(name).read_bytes())
        finally:
            os.chdir(before)
    # Spark pads its tables; a Markdown file has no blanks at the end of a line.
    return "".join(f"{line.rstrip()}\n" for line in printed.getvalue().splitlines() if line.strip())


def main() -> None:
    """Run all, and rewrite the pages."""
    spark = spark_session(memory="2g")
    try:
        for page, pictures in EXAMPLES.items():
            text = page.read_text()
            ((code, before),) = EXAMPLE.findall(text)
            printed = run_example(code, spark, pictures, ROOT / "docs")
            page.write_text(text.replace(f"```text\n{before}```", f"```text\n{printed}```"))
            show(printed)
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
