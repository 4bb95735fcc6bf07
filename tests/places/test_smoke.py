"""The script for other places works in this one."""

import pytest

from tests.places.smoke import CHECKS


@pytest.mark.filterwarnings("ignore:maxIter", "ignore:cacheDir")
@pytest.mark.parametrize("check", CHECKS)
def test_smoke(spark, tmp_path, check):
    check(spark, str(tmp_path))
