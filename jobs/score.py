"""spark-submit jobs/score.py --config conf/ratings.toml; --help lists the flags."""

import sys

from spark_fm.cli import score_main

sys.exit(score_main())
