"""spark-submit jobs/train.py --config conf/ratings.toml; --help lists the flags."""

import sys

from spark_fm.cli import train_main

sys.exit(train_main())
