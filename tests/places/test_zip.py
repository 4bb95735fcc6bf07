"""spark-submit --py-files with a zip: neither the driver's Python nor the workers' has spark_fm itself."""

import json
import os
import subprocess
import sysconfig
import venv
import zipfile
from pathlib import Path

import pyspark
import pytest

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "spark_fm"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A Python with the packages of this one, but no spark_fm: what .pth files in their folder add is left out."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    found = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    (Path(found.stdout.strip()) / "packages.pth").write_text(sysconfig.get_path("purelib"), "utf-8")
    return python


@pytest.fixture(scope="module")
def zipped(tmp_path_factory):
    """What `make zip` makes: the package at the root."""
    path = tmp_path_factory.mktemp("zip") / "spark_fm-0.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(PACKAGE.rglob("*.py")):
            archive.write(file, file.relative_to(PACKAGE.parent))
    return path


def submit(python, *arguments):
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYSPARK", "SPARK", "PYTHONPATH"))
    }
    environment |= {"PYSPARK_PYTHON": str(python), "PYSPARK_DRIVER_PYTHON": str(python)}
    return subprocess.run(
        [Path(pyspark.__file__).parent / "bin" / "spark-submit", *arguments],
        env=environment | {"SPARK_LOCAL_IP": "127.0.0.1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )


def test_fit_and_score_from_a_zip(bare, zipped):
    # In local mode the workers read what the driver has on its path; these are processes of an executor.
    flags = ["--master", "local-cluster[1,2,1024]", "--driver-java-options", "-XX:TieredStopAtLevel=1"]
    ran = submit(bare, *flags, "--py-files", str(zipped), str(HERE / "zipped.py"))
    assert ran.returncode == 0, ran.stdout
    told = json.loads(next(line for line in ran.stdout.splitlines() if line.startswith("{")))
    assert told["scored"] == 200
    for place in ("driver", "workers"):
        assert told[place].endswith("/spark_fm-0.zip/spark_fm/__init__.py")
