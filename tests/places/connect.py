"""Starts a Spark Connect server, runs smoke.py as its client with each Python that it is given, and stops the server.

Run it with the server's Python, which has pyspark and spark_fm. Its status is 1 where a client's is not 0.
"""

import logging
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyspark

SECONDS_TO_START = 120
SMOKE = Path(__file__).with_name("smoke.py")
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


def main() -> int:
    logging.basicConfig(format="connect: %(message)s", stream=sys.stdout, level=logging.INFO)
    port = free_port()
    server = start(port)
    failed = 0
    try:
        wait_until_it_listens(server, port)
        for python in sys.argv[1:]:
            logger.info("client %s", python)
            environment = os.environ | {"SPARK_REMOTE": f"sc://127.0.0.1:{port}"}
            failed += subprocess.run([python, str(SMOKE)], env=environment, check=False).returncode != 0
    finally:
        server.terminate()
        server.wait(60)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
