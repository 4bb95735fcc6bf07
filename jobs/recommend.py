"""spark-submit jobs/recommend.py --config conf/movies.toml; --help lists the flags."""

import sys

from spark_fm.cli import recommend_main

sys.exit(recommend_main())
