"""`import spark_fm` needs of pyspark only what pyspark-client has: neither py4j nor pyspark.core (RDD, Broadcast)."""

import subprocess
import sys

BLOCKED = """
import importlib.abc
import sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("py4j", "pyspark.core")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, Blocked())
import pyspark
assert not hasattr(pyspark, "Broadcast")
"""


def test_import_with_pyspark_client():
    code = (
        BLOCKED + "from spark_fm import FMClassificationModel, FMClassifier, FMRegressionModel, FMRegressor\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False
    )
    assert ran.returncode == 0, ran.stderr
