"""The versions that spark_fm works with: `make matrix` runs the smoke test on each, and loads each one's model in all.

nox makes an environment for each session; the wheel is in dist/wheel (`make wheel`).
"""

from pathlib import Path

import nox

nox.options.error_on_missing_interpreters = True
ROOT = Path(__file__).parent
PLACES = ROOT / "tests" / "places"
MODELS = ROOT / ".places" / "models"
# pyspark with the Python that it is tried on: the oldest and the newest of each other, and Databricks' runtimes.
VERSIONS = [("3.11", "3.5"), ("3.10", "4.0"), ("3.12", "4.1"), ("3.11", "4.3"), ("3.13", "4.3")]
LOCAL = "--master local[2] --conf spark.ui.enabled=false --driver-java-options -XX:TieredStopAtLevel=1 pyspark-shell"


def run(session: nox.Session, *command: str) -> None:
    """Run a script of tests/places with the session's Python, outside the project's folder."""
    python = str(Path(session.bin) / "python")
    environment = {
        "PYSPARK_PYTHON": python,
        "PYSPARK_DRIVER_PYTHON": python,
        "PYSPARK_SUBMIT_ARGS": LOCAL,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    session.chdir(session.create_tmp())
    session.run("python", *command, env=environment)


def wheel() -> str:
    """The wheel that `make wheel` has built."""
    (found,) = (ROOT / "dist" / "wheel").glob("spark_fm-*.whl")
    return str(found)


@nox.session
@nox.parametrize(("python", "pyspark"), VERSIONS)
def smoke(session: nox.Session, pyspark: str) -> None:
    """The smoke test, and a saved model."""
    session.install(f"pyspark=={pyspark}.*", wheel())
    run(session, str(PLACES / "smoke.py"))
    run(session, str(PLACES / "models.py"), "save", str(MODELS / f"{session.python}-{pyspark}"))


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """The lowest versions of all packages that spark_fm allows."""
    session.install("--requirement", str(PLACES / "oldest.txt"))
    session.install("--no-deps", wheel())
    run(session, str(PLACES / "smoke.py"))
    run(session, str(PLACES / "models.py"), "save", str(MODELS / "lowest"))


@nox.session
@nox.parametrize(("python", "pyspark"), VERSIONS)
def load(session: nox.Session, pyspark: str) -> None:
    """Load the models that the other sessions have saved."""
    session.install(f"pyspark=={pyspark}.*", wheel())
    run(session, str(PLACES / "models.py"), "load", str(MODELS))
