"""spark-submit jobs/evaluate.py --config conf/ratings.toml; --help lists the flags."""

import sys

from spark_fm.cli import evaluate_main

sys.exit(evaluate_main())
