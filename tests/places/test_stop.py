"""Ctrl-C is a KeyboardInterrupt wherever a fit is, ends what the fit runs and keeps, and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

STOPPED = {
    "raised": "KeyboardInterrupt",
    "jobs ended": True,
    "persisted": 0,
    "handler is as before": True,
    "next fit": 8,
}
PHASES = ("packing", "one task", "dealing", "rounds", "sampler")
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("handler", ["pyspark", "python"])
def test_ctrl_c(handler):
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("stopped.py")), handler],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == {
        **dict.fromkeys(PHASES, STOPPED),
        "other job runs on": True,
    }
