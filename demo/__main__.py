"""python -m demo [FILE]: write the page, output/demo.html unless told otherwise."""

import logging
import sys
import time
from pathlib import Path

from demo.page import page_of
from spark_fm.cli.session import open_session

logger = logging.getLogger("demo")


def main(target: Path) -> int:
    """Write the page; the exit status."""
    begun = time.perf_counter()
    with open_session("spark_fm demo", debug=False) as spark:
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        spark.conf.set("spark.sql.shuffle.partitions", "2")
        text = page_of(spark)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, "utf-8")
    logger.info(
        "%s: %.0f KB, %.0f s; open it in a browser", target, len(text) / 1e3, time.perf_counter() - begun
    )
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("py4j").setLevel(logging.ERROR)
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "output/demo.html")))
