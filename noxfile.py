"""The versions that spark_fm works with: `make matrix` runs the smoke test on each, and loads each one's model in all.

nox makes an environment for each session; the wheel is in dist/wheel (`make wheel`).
"""

from pathlib import Path

import nox

nox.options.error_on_missing_interpreters = True
ROOT = Path(__file__).parent
PLACES = ROOT / "tests" / "places"
MODELS = ROOT / ".places" / "models"
# Each pyspark with a Python: the oldest and the newest of both, and what Databricks has.
VERSIONS = [("3.11", "3.5"), ("3.10", "4.0"), ("3.12", "4.1"), ("3.11", "4.3"), ("3.13", "4.3")]
LOCAL = "--master local[2] --conf spark.ui.enabled=false --driver-java-options -XX:TieredStopAtLevel=1 pyspark-shell"


def run(session: nox.Session, python: Path, *command: str) -> None:
    """Run a script of tests/places with a Python, outside the project's folder."""
    environment = {
        "PYSPARK_PYTHON": str(python),
        "PYSPARK_DRIVER_PYTHON": str(python),
        "PYSPARK_SUBMIT_ARGS": LOCAL,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    session.chdir(session.create_tmp())
    session.run(str(python), *command, env=environment, external=True)


def try_all(session: nox.Session, name: str) -> None:
    """The smoke test, and models that are saved for the other sessions, with the Python that is to load theirs."""
    python = Path(session.bin) / "python"
    run(session, python, str(PLACES / "smoke.py"))
    run(session, python, str(PLACES / "models.py"), "save", str(MODELS / name))
    (MODELS / f"{name}.txt").write_text(str(python))


def wheel() -> str:
    """The wheel that `make wheel` has built."""
    (found,) = (ROOT / "dist" / "wheel").glob("spark_fm-*.whl")
    return str(found)


@nox.session
@nox.parametrize(("python", "pyspark"), VERSIONS)
def smoke(session: nox.Session, pyspark: str) -> None:
    """A version of Spark with the newest of all other packages."""
    session.install(f"pyspark=={pyspark}.*", wheel())
    try_all(session, f"{session.python}-{pyspark}")


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """The lowest versions of all packages that spark_fm allows."""
    session.install("--requirement", str(PLACES / "oldest.txt"))
    session.install("--no-deps", wheel())
    try_all(session, "lowest")


@nox.session(venv_backend="none")
def load(session: nox.Session) -> None:
    """Each of the other sessions' environments loads the models that all of them have saved."""
    for python in sorted(MODELS.glob("*.txt")):
        run(session, Path(python.read_text()), str(PLACES / "models.py"), "load", str(MODELS))
