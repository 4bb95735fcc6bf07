"""Nothing is left behind by fits; `make leaks` counts more of them, and what a busy machine blurs."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.places.leaks import KINDS, SLACK, grown, held_now, rows_of

EXACT = [name for name, slack in SLACK.items() if slack == 0]
FEW = ["one task", "gibbs", "validation", "refused", "failed", "several"]


def test_few_fits_leave_nothing(spark):
    data, temporary = rows_of(spark), Path(spark.sparkContext._temp_dir)
    for name in FEW:
        KINDS[name](data)
    before = held_now(spark, temporary)
    for name in FEW:
        KINDS[name](data)
    after = held_now(spark, temporary)
    rows = [{"held": name, "before": before[name], "after": after[name], "slack": 0} for name in EXACT]
    assert grown(rows) == []


@pytest.mark.exhaustive
@pytest.mark.timeout(1800)
def test_many_fits_and_stops_leave_nothing():
    command = [sys.executable, "-m", "tests.places.leaks", "--fits", "20"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=1700, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-2000:]
