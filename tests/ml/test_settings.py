"""All of the package under Spark's settings that change what Arrow or SQL gives it: as under the defaults."""

import json
import os
import subprocess
import sys

import pytest

from tests.ml import whole

ARROW = "spark.sql.execution.arrow"
SETTINGS = {
    "large types": {
        f"{ARROW}.useLargeVarTypes": "true",
        f"{ARROW}.pyspark.enabled": "true",
        f"{ARROW}.pyspark.selfDestruct.enabled": "true",
        f"{ARROW}.maxBytesPerBatch": "100",
    },
    "a row a batch": {f"{ARROW}.maxRecordsPerBatch": "1", "spark.sql.shuffle.partitions": "1000"},
    "other SQL": {
        "spark.sql.ansi.enabled": "false",
        "spark.sql.caseSensitive": "true",
        "spark.sql.session.timeZone": "+05:45",
    },
    "one shuffled partition": {
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.ansi.enabled": "true",
        f"{ARROW}.pyspark.enabled": "false",
        f"{ARROW}.maxRecordsPerBatch": "1000000",
    },
}
EXACT = ("split", "last", "names", "features", "vectors", *whole.FITS)


@pytest.fixture(scope="module")
def expected(spark, tmp_path_factory):
    return whole.run(spark, str(tmp_path_factory.mktemp("defaults")))


@pytest.fixture(params=SETTINGS)
def setting(spark, request):
    """The session under some settings, which it has no more afterwards."""
    wanted = SETTINGS[request.param]
    before = {name: spark.conf.get(name, None) for name in wanted}
    for name, value in wanted.items():
        spark.conf.set(name, value)
    yield spark
    for name, value in before.items():
        if value is None:
            spark.conf.unset(name)
        else:
            spark.conf.set(name, value)


def assert_alike(found, expected, path):
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected), path
        for i, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_alike(one, other, f"{path}[{i}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12), path
    else:
        assert found == expected, path


def assert_same(found, expected):
    """Models and features to the bit; metrics and ratings, whose sums may run in another order, to rounding."""
    assert found.keys() == expected.keys()
    for name in expected:
        if name in EXACT:
            assert found[name] == expected[name], name
        else:
            assert_alike(found[name], expected[name], name)


def test_all_is_as_under_the_defaults(setting, expected, tmp_path):
    assert_same(whole.run(setting, str(tmp_path)), expected)


@pytest.mark.slow
def test_all_is_as_with_kryo_in_another_time_zone(expected):
    options = [
        "--master local[2]",
        "--conf spark.ui.enabled=false",
        "--conf spark.sql.shuffle.partitions=2",
        "--conf spark.serializer=org.apache.spark.serializer.KryoSerializer",
        "pyspark-shell",
    ]
    environment = os.environ | {"TZ": "Asia/Kathmandu", "PYSPARK_SUBMIT_ARGS": " ".join(options)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.ml.whole"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert_same(json.loads(done.stdout.splitlines()[-1]), json.loads(json.dumps(expected)))
