"""The notebooks, run and written as .ipynb with their outputs, as GitHub shows them.

python -m benchmarks.notebooks --into notebooks/rendered
python -m benchmarks.notebooks --connect 1_ratings

With --connect they run as clients of a Spark Connect server, which is started for them.
"""

import os
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.common import show

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
HEAD, SEPARATOR, MAGIC = "# Databricks notebook source\n", "\n# COMMAND ----------\n", "# MAGIC"
SECONDS_A_CELL = 600
MOST_BYTES = 400 * 2**10


def cells(text: str) -> list[tuple[str, str]]:
    """The cells of a notebook in Databricks source form: (markdown or code, source).

    Raises
    ------
    ValueError
        When it is in another form, or has a magic other than ``%md``.
    """
    if not text.startswith(HEAD):
        raise ValueError(f"found {text.splitlines()[0]!r}, expected {HEAD.strip()!r}")
    found = []
    for cell in text.removeprefix(HEAD).split(SEPARATOR):
        lines = cell.strip("\n").splitlines()
        if not lines[0].startswith(MAGIC):
            found.append(("code", "\n".join(lines)))
            continue
        inner = [line.removeprefix(MAGIC).removeprefix(" ") for line in lines]
        if inner[0] != "%md":
            raise ValueError(f"found the magic {inner[0]!r}, expected %md")
        found.append(("markdown", "\n".join(inner[1:])))
    return found


def run(path: Path) -> Any:
    """A notebook (an nbformat object) with what its cells print and draw; what goes to stderr is left out.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        When a cell raises an error.
    ValueError
        When an output names a path of this machine.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(metadata={"language_info": {"name": "python"}})
    for number, (kind, source) in enumerate(cells(path.read_text())):
        make = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
        notebook.cells.append(make(source, id=f"cell-{number}"))
    with tempfile.TemporaryDirectory() as place:
        client = NotebookClient(
            notebook,
            timeout=SECONDS_A_CELL,
            record_timing=False,
            kernel_name="python3",
            resources={"metadata": {"path": place}},
        )
        # Spark ends before its Python does; that cell is none of the notebook's.
        notebook.cells.append(nbformat.v4.new_code_cell("spark.stop()", id="end"))
        client.execute()
        notebook.cells.pop()
    notebook.metadata = {"language_info": {"name": "python"}}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _tidy(cell.outputs)
    text = nbformat.writes(notebook)
    for place in (str(Path.home()), str(NOTEBOOKS.parent), sys.prefix, f"{tempfile.gettempdir()}/"):
        if place in text:
            raise ValueError(f"{path.name}: an output names {place}, expected no path of this machine")
    return notebook


def _tidy(outputs: list[Any]) -> list[Any]:
    """Without what went to stderr, and what a cell prints in one piece."""
    tidy: list[Any] = []
    for output in outputs:
        if output.get("name") == "stderr":
            continue
        if tidy and output.get("name") == "stdout" == tidy[-1].get("name"):
            tidy[-1].text += output.text
        else:
            tidy.append(output)
    return tidy


def write(notebook: Any, path: Path) -> None:
    """Write a notebook.

    Raises
    ------
    ValueError
        When it is too large to be committed.
    """
    import nbformat

    text = nbformat.writes(notebook) + "\n"
    if len(text) > MOST_BYTES:
        raise ValueError(f"{path.name}: found {len(text)} bytes, expected at most {MOST_BYTES}")
    path.write_text(text)


@contextmanager
def connected() -> Iterator[None]:
    """Within it, SPARK_REMOTE names a Spark Connect server, which ends with it."""
    from tests.places import connect

    port, before = connect.free_port(), Path.cwd()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        server = connect.start(port)
        try:
            connect.wait_until_it_listens(server, port)
            os.environ["SPARK_REMOTE"] = f"sc://127.0.0.1:{port}"
            yield
        finally:
            server.terminate()
            server.wait(60)
            os.chdir(before)


def main() -> None:
    """Run the notebooks that are named, or all."""
    options = ArgumentParser(description=str(__doc__).splitlines()[0])
    options.add_argument("names", nargs="*", help="files of notebooks/, without .py; all unless given")
    options.add_argument("--into", type=Path, help="a folder to write .ipynb to")
    options.add_argument("--connect", action="store_true", help="on a Spark Connect server")
    args = options.parse_args()
    paths = [NOTEBOOKS / f"{name}.py" for name in args.names] or sorted(NOTEBOOKS.glob("*.py"))
    into = args.into and args.into.resolve()
    if into:
        into.mkdir(parents=True, exist_ok=True)

    def run_all() -> None:
        for path in paths:
            notebook = run(path)
            if into:
                write(notebook, into / f"{path.stem}.ipynb")
            show(f"{path.stem}: passed{' on Spark Connect' if args.connect else ''}")

    if not args.connect:
        run_all()
        return
    with connected():
        run_all()


if __name__ == "__main__":
    main()
