"""Spark's servers on loopback, from the installed pyspark: a standalone cluster, and Spark Connect."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyspark

REPOSITORY = Path(__file__).parents[2]
SPARK_HOME = Path(pyspark.__file__).parent
BIN = Path(sys.executable).parent
#: Options of the JVM for a quicker start, with the classes that scripts/setup keeps.
KEPT_CLASSES = f"-XX:SharedArchiveFile={Path(sys.prefix, 'spark.jsa')} -Xlog:cds*=off"
#: Short runs are over before the second compiler of the JVM pays.
QUICK_JVM = f"-XX:TieredStopAtLevel=1 -XX:+UseSerialGC {KEPT_CLASSES}"
#: Of every application on loopback.
LOOPBACK = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
}
#: What a session of ours needs, for servers that others configure.
DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.runSQLOnFiles": "false",
}
_WORKERS = 2


@dataclass(frozen=True)
class Server:
    """What was started: its address, and the processes that make it."""

    address: str
    processes: tuple[subprocess.Popen[str], ...]

    @property
    def pids(self) -> list[int]:
        """Process ids; each leads a group of its own."""
        return [process.pid for process in self.processes]


def environment(**more: str) -> dict[str, str]:
    """Of a fresh process: this Python for Spark too, and nothing of a session that runs here."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYSPARK_", "SPARK_", "PYTHONPATH"))}
    return clean | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
    } | more  # fmt: skip


def ended(command: list[str], cwd: Path, timeout: int = 300, **env: str) -> subprocess.CompletedProcess[str]:
    """A command in its own process group, which is gone when this returns."""
    process = subprocess.Popen(
        command, cwd=cwd, env=environment(**env), text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        stop(process.pid)
        process.wait(10)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def stop(pid: int) -> None:
    """End a process that was started here, and all that it started."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def cluster(folder: Path, memory: str = "1g") -> Iterator[Server]:
    """A Spark master with two workers: their work lies in `folder`/worker0 and worker1."""
    with _stopped(start_cluster(folder, memory)) as server:
        yield server


@contextmanager
def connect_server(folder: Path, conf: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A Spark Connect server with Delta, in local mode; its address is `sc://…`."""
    with _stopped(start_connect_server(folder, conf or {})) as server:
        yield server


def start_cluster(folder: Path, memory: str = "1g") -> Server:
    """The same; whoever calls it stops it."""
    port, web = free_port(), free_port()
    master = f"spark://127.0.0.1:{port}"
    daemons = {"SPARK_HOME": str(SPARK_HOME), "SPARK_DAEMON_MEMORY": "256m", "SPARK_NO_DAEMONIZE": "1",
               "SPARK_DAEMON_JAVA_OPTS": QUICK_JVM}  # fmt: skip
    classes = [["master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", str(web)]]
    classes += [
        ["worker.Worker", "--host", "127.0.0.1", "--cores", "1", "--memory", memory, "--webui-port", "0",
         "--work-dir", str(folder / f"worker{i}"), master]
        for i in range(_WORKERS)
    ]  # fmt: skip
    commands = [
        [str(SPARK_HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", *rest]
        for name, *rest in classes
    ]
    return _started(master, commands, folder, daemons, lambda: _workers_alive(web) == _WORKERS)


def start_connect_server(folder: Path, conf: Mapping[str, str]) -> Server:
    """The same; whoever calls it stops it."""
    port = free_port()
    settings = LOOPBACK | DELTA | {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.sql.shuffle.partitions": "4",
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
    } | dict(conf)  # fmt: skip
    command = [
        str(SPARK_HOME / "bin" / "spark-submit"), "--master", "local[2]", "--driver-memory", "3g",
        "--driver-java-options", f"{QUICK_JVM} -Dderby.system.home={folder / 'derby'}",
        "--class", "org.apache.spark.sql.connect.service.SparkConnectServer",
        *(part for key, value in settings.items() for part in ("--conf", f"{key}={value}")),
        "spark-internal",
    ]  # fmt: skip
    return _started(f"sc://127.0.0.1:{port}", [command], folder, {}, lambda: _listens(port))


def _started(
    address: str, commands: list[list[str]], folder: Path, env: Mapping[str, str], ready: Callable[[], bool]
) -> Server:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    started: list[subprocess.Popen[str]] = []
    try:
        with log.open("w") as out:
            for command in commands:
                started.append(
                    subprocess.Popen(
                        command, env=environment(**env), cwd=folder, stdout=out, stderr=out, text=True,
                        start_new_session=True,
                    )
                )  # fmt: skip
        deadline = time.monotonic() + 90
        while not ready():
            if time.monotonic() > deadline or any(process.poll() is not None for process in started):
                raise RuntimeError(f"{address} did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
    except BaseException:
        for process in started:
            stop(process.pid)
        raise
    return Server(address, tuple(started))


@contextmanager
def _stopped(server: Server) -> Iterator[Server]:
    try:
        yield server
    finally:
        for process in server.processes:
            stop(process.pid)
            process.wait(10)


def _workers_alive(web: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{web}/json/", timeout=5) as answer:
            return sum(w["state"] == "ALIVE" for w in json.load(answer)["workers"])
    except (OSError, ValueError):
        return 0


def _listens(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def served(address: str, command: list[str], folder: Path, ready: Callable[[], bool]) -> Iterator[Server]:
    """Any other server: `command`, once it is `ready`. Its log lies in `folder`."""
    with _stopped(_started(address, [command], folder, {}, ready)) as server:
        yield server
