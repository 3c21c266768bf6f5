"""The whole pipeline by spark-submit on a cluster of two workers, from what scripts/build makes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from proofs.demo import CONFIGS, RUN_ALL, Failed, arguments, in_local_mode, must
from proofs.lakes import compared
from proofs.servers import BIN, LOOPBACK, QUICK_JVM, REPOSITORY, Server, cluster, ended, environment, stop

#: What an application needs on two workers of one core; the rest is conf/spark-defaults.conf.
APPLICATION = LOOPBACK | {
    "spark.executor.memory": "800m",
    "spark.executor.cores": "1",
    "spark.executor.memoryOverheadFactor": "0.1",
    "spark.executor.extraJavaOptions": QUICK_JVM,
    "spark.sql.shuffle.partitions": "4",
    "spark.databricks.delta.snapshotPartitions": "2",
}
#: For workers whose Python has what the package depends on; and for those whose Python has nothing.
_PACKAGE = ("--py-files", str(REPOSITORY / "dist" / "spark_seg.zip"))
_PACKED = (
    "--archives", f"{REPOSITORY / 'dist' / 'environment.tar.gz'}#environment",
    "--conf", "spark.pyspark.python=./environment/bin/python",
    "--conf", f"spark.pyspark.driver.python={sys.executable}",
)  # fmt: skip
#: The line after which candidates are fitted.
_FITTING = " prepare "


def standalone() -> None:
    """Assignments on the cluster are those of local mode, also when an executor is killed in the middle."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        must(ended([str(REPOSITORY / "scripts" / "build"), "--environment"], REPOSITORY, timeout=900))
        in_local_mode(folder / "local")
        print("cluster: local mode has published")
        with cluster(folder / "servers") as server:
            submitted(server, folder / "submitted", python=_PACKED)
            told = compared(folder / "submitted", folder / "local")
            print(f"cluster: {told}; executors on the two workers: {executors(folder / 'servers')}, with")
            print("cluster: no Python packages but those of environment.tar.gz")
            killed: list[int] = []
            submitted(server, folder / "wounded", lambda: killed.append(kill_an_executor(server)))
            if not killed or sum(executors(folder / "servers")) != 5:
                raise Failed(
                    f"executors: {executors(folder / 'servers')} in two applications, killed {killed}"
                )
            told = compared(folder / "wounded", folder / "local")
            print(f"cluster: an executor killed while candidates were fitted, another came: {told}")


def submitted(
    server: Server,
    root: Path,
    meanwhile: Callable[[], None] | None = None,
    lake: Path = REPOSITORY,
    conf: Mapping[str, str] | None = None,
    python: Sequence[str] = _PACKAGE,
) -> None:
    """run_all over the demo by spark-submit: executors have nothing of the checkout but what was built.

    `meanwhile` is called once, when candidates are about to be fitted. `lake`: the folder with `.demo/raw`.
    `python`: what executors run and import.
    """
    settings = APPLICATION | dict(conf or {})
    command = [
        str(BIN / "spark-submit"), "--master", server.address, "--driver-memory", "2g",
        "--properties-file", str(REPOSITORY / "conf" / "spark-defaults.conf"),
        "--driver-java-options", QUICK_JVM,
        *python, *(part for key, value in settings.items() for part in ("--conf", f"{key}={value}")),
        str(RUN_ALL), *arguments(root, configs=CONFIGS[:1]),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=lake, env=environment(), text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=(root.parent / f"{root.name}.err").open("w"),
    )  # fmt: skip
    late = threading.Timer(3600, stop, [process.pid])
    late.start()
    said = []
    try:
        assert process.stdout is not None  # noqa: S101 - asked for above
        for line in process.stdout:
            said.append(line)
            if meanwhile is not None and _FITTING in line:
                meanwhile()
        must(subprocess.CompletedProcess(command, process.wait(60), "".join(said), _tail(root)))
    finally:
        late.cancel()
        stop(process.pid)


def _tail(root: Path) -> str:
    return (root.parent / f"{root.name}.err").read_text()[-3000:]


def executors(folder: Path) -> list[int]:
    """Executors that each worker has started, of all applications."""
    return [len(list((folder / f"worker{i}").glob("app-*/[0-9]*"))) for i in range(2)]


def kill_an_executor(server: Server) -> int:
    """One of the executors below the workers; returns its process id."""
    listed = must(ended(["/bin/ps", "-eo", "pid=,ppid=,args="], REPOSITORY))
    for line in listed.splitlines():
        pid, parent, command = line.split(None, 2)
        if int(parent) in server.pids and "CoarseGrainedExecutorBackend" in command:
            subprocess.run(["/bin/kill", "-KILL", pid], check=True)
            return int(pid)
    raise Failed("no executor was found below the workers")
