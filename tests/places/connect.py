"""Runs the tests of this folder in other places than this machine's Spark, with the Python that it is run with:

    python connect.py [--slice] [CLIENT ...]

on two executors that are processes of their own, as a client of a Spark Connect server that it starts, and there with
what serverless compute refuses; then a notebook, and the tests as clients of that server with each Python that it is
given, which may have pyspark-client only. ``--slice`` is a part of it, for each change. Its status is 1 where one of
them fails.
"""

import argparse
import logging
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyspark

SECONDS_TO_START = 120
TESTS = Path(__file__).parent
NOTEBOOK = TESTS.parents[1] / "notebooks" / "1_ratings.py"
SLICE = "two_partitions or cross_validator or folder or large or jobs or refuses or checkpoint"
SPARK = Path(pyspark.__file__).parent
logger = logging.getLogger("connect")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(port: int) -> subprocess.Popen[bytes]:
    """The server: one process, which listens on 127.0.0.1 only."""
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
    }
    command = [str(SPARK / "bin" / "spark-submit"), "--master", "local[2]"]
    for name, value in settings.items():
        command += ["--conf", f"{name}={value}"]
    command += ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal"]
    python = {"PYSPARK_PYTHON": sys.executable, "SPARK_HOME": str(SPARK)}
    with Path("connect-server.log").open("wb") as log:
        return subprocess.Popen(command, env=os.environ | python, stdout=log, stderr=log)


def wait_until_it_listens(server: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end and server.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"found no Spark Connect server on port {port}: see connect-server.log")


def passes(python: str, place: str, environment: dict[str, str], chosen: str) -> bool:
    """Whether the tests pass in a place."""
    logger.info("%s, %s", place, python)
    files = [str(TESTS / name) for name in ("test_smoke.py", "test_places.py")]
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--place", place, "-k", chosen, *files]
    return (
        subprocess.run(command, env=os.environ | environment, cwd=TESTS.parents[1], check=False).returncode
        == 0
    )


def main() -> int:
    logging.basicConfig(format="connect: %(message)s", stream=sys.stdout, level=logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slice", action="store_true", help="a part of the tests, on Spark Connect")
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help="a Python that has pyspark-client")
    asked = parser.parse_args()
    chosen = SLICE if asked.slice else ""
    passed = (
        [] if asked.slice else [passes(sys.executable, "local-cluster", {"SPARK_HOME": str(SPARK)}, chosen)]
    )
    port = free_port()
    server = start(port)
    remote = {"SPARK_REMOTE": f"sc://127.0.0.1:{port}"}
    try:
        wait_until_it_listens(server, port)
        if not asked.slice:
            passed.append(passes(sys.executable, "connect", remote, chosen))
        passed.append(passes(sys.executable, "serverless", remote, chosen))
        notebook = subprocess.run([sys.executable, str(NOTEBOOK)], env=os.environ | remote, check=False)
        passed.append(notebook.returncode == 0)
        passed += [passes(client, "connect", remote, chosen) for client in asked.clients]
    finally:
        server.terminate()
        server.wait(60)
    return int(not all(passed))


if __name__ == "__main__":
    sys.exit(main())
