"""Nothing is left behind by fits, in a Spark of their own: what other tests drop is collected when Java likes."""

import subprocess
import sys

import pytest


@pytest.mark.exhaustive
@pytest.mark.timeout(1800)
def test_many_fits_and_stops_leave_nothing():
    command = [sys.executable, "-m", "tests.places.leaks", "--fits", "20"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=1700, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-2000:]
