"""A Spark standalone cluster of this machine: a master and workers, processes of the installed pyspark on 127.0.0.1.

A context manager; its end stops what it started, by their process ids. Every worker has a folder and a port of its own.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import psutil
import pyspark

SPARK = Path(pyspark.__file__).parent
SECONDS_TO_START = 60
MASTER, WORKER = "org.apache.spark.deploy.master.Master", "org.apache.spark.deploy.worker.Worker"
EXECUTOR = "CoarseGrainedExecutorBackend"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody listens on a port."""
    with socket.socket() as client:
        return client.connect_ex((host, port)) == 0


def kill(process: psutil.Process) -> None:
    """Kill it with SIGKILL, if it is still there."""
    try:
        process.send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return


class Cluster:
    """A master and so many workers of one core each, whose files are in ``folder``."""

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self._folder, self._count = folder, workers
        self._port = free_port()
        self._master: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        """What spark-submit takes as master."""
        return f"spark://127.0.0.1:{self._port}"

    def __enter__(self) -> "Cluster":
        try:
            self._master = self._started(MASTER, "master", "--host", "127.0.0.1", "--port", str(self._port))
            self._wait(lambda: listens(self._port))
            for _ in range(self._count):
                self.add_worker()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def add_worker(self) -> None:
        """One more worker node, once it listens."""
        port, name = free_port(), f"worker-{len(self.workers)}"
        # A speculative copy of a task runs on another host only.
        host = f"127.0.0.{len(self.workers) % 250 + 1}"
        arguments = [
            "--host",
            host,
            "--cores",
            "1",
            "--memory",
            "1g",
            "--port",
            str(port),
            "--work-dir",
            str(self._folder / name),
        ]
        self.workers.append(self._started(WORKER, name, *arguments, self.url))
        self._wait(lambda: listens(port, host))

    def executors(self) -> list[psutil.Process]:
        """The executors of all workers."""
        found = []
        for worker in self.workers:
            if worker.poll() is None:
                children = psutil.Process(worker.pid).children(recursive=True)
                found += [child for child in children if EXECUTOR in " ".join(_command(child))]
        return found

    def python_workers(self) -> list[psutil.Process]:
        """The Python processes that run tasks: children of the executors' daemons."""
        children = [child for one in self.executors() for child in _children(one)]
        daemons = [one for one in children if "pyspark.daemon" in " ".join(_command(one))]
        return [worker for daemon in daemons for worker in _children(daemon, recursive=False)]

    def _started(self, kind: str, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [
            str(SPARK / "bin" / "spark-class"),
            kind,
            "--webui-port",
            str(free_port()),
        ]
        own = {
            "SPARK_HOME": str(SPARK),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": sys.executable,
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen([*command, *arguments], env=os.environ | own, stdout=log, stderr=log)

    def _wait(self, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < end:
            if ready():
                return
            time.sleep(0.1)
        raise RuntimeError(f"the cluster did not start: see the logs in {self._folder}")

    def _stop(self) -> None:
        for process in [*self.workers, *([self._master] if self._master else [])]:
            with_children = _children(psutil.Process(process.pid)) if process.poll() is None else []
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
            for child in with_children:
                kill(child)


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _children(process: psutil.Process, recursive: bool = True) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=recursive))
    except psutil.Error:
        return []
