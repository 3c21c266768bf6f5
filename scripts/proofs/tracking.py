"""Runs that are told to an MLflow server and to a receiver of events, beside one that tells nobody."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from landed import FAST, GROUPS, PER_GROUP, planted_orders, settings_of, write_delta, write_settings

from proofs.demo import RUN_ALL, Failed, must
from proofs.lakes import rows, snapshot
from proofs.servers import BIN, REPOSITORY, Server, ended, free_port, served

#: Environments beside the project's own: MLflow's server, and its client together with the project.
ENVIRONMENTS = REPOSITORY / ".mlflow"
VERSION = "3.17.2"
LOCAL = REPOSITORY / "conf" / "local.yaml"
DAY, EARLIER = "2025-01-01", "2024-12-15"
#: Files of a run that fitted a model.
FILES = ["candidates.json", "card.md", "config.json", "model", "report.html", "segments.json"]
_KILLED = -9


@dataclass
class Received:
    """What was posted to the receiver of events."""

    address: str
    events: list[dict[str, Any]] = field(default_factory=list)

    def of(self, run_id: str) -> list[dict[str, Any]]:
        """Events of a run."""
        tag = {"key": "run_id", "value": run_id, "source": "spark_seg"}
        return [event for event in self.events if tag in event["run"]["facets"]["tags"]["tags"]]


def tracking() -> None:
    """The same segments as without; one run, and one version for each fit; the alias where it belongs."""
    client, server = environments()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_delta(folder / "orders", planted_orders())
        alone = config(folder, "alone")
        done = must(job(sys.executable, alone))
        expect("mlflow" not in done and "lineage" not in done, f"nobody is told of a run alone:\n{done}")
        print("tracking: a run that tells nobody has published")
        with receiver() as received, mlflow_server(server, folder / "mlflow") as held:
            told = config(folder, "told", received.address, held.address)
            first = killed_between_commit_and_telling(client, folder, told, held)
            same_segments(client, folder, told, held)
            alias_stays(client, told, held, first)
            lineage(folder, received)
            nobody_is_named(folder)
        expect(all(gone(pid) for pid in held.pids), f"the server is stopped; {held.pids} are alive")
        without_a_server(client, told)


def killed_between_commit_and_telling(client: str, folder: Path, told: Path, held: Server) -> str:
    """A job killed right after its commit has told nobody; the same command tells, and publishes nothing."""
    killed = [client, str(REPOSITORY / "tests" / "jobs" / "killed.py"), "after_commit", str(folder / "told")]
    must(in_repository([*killed, "run-all", *arguments(told)]), _KILLED)
    (run,) = rows(folder / "told", "runs")
    expect(not look(client, held)["runs"], "a run that was killed after its commit has told nobody")
    said = must(job(client, told))
    expect(f"run {run['run_id']} was published already" in said, f"nothing is published again:\n{said}")
    found = look(client, held)
    (logged,) = found["runs"].values()
    expect(logged["status"] == "FINISHED" and logged["files"] == FILES, f"the run is there: {logged}")
    expect(
        logged["silhouettes"] == [3, 4] and logged["params"] > 50, f"with parameters and indices: {logged}"
    )
    expect(logged["user"] == "unknown", f"and without who started it: {logged}")
    expect(found["versions"] == {"1": run["run_id"]}, f"it has registered its model: {found}")
    expect(found["aliases"] == {"champion": "1"}, f"and the alias names it: {found}")
    print("tracking: killed between commit and telling, the same command told one run, one model, one alias")
    return str(run["run_id"])


def same_segments(client: str, folder: Path, told: Path, held: Server) -> None:
    """What is published is what is published without; the registered model labels everybody likewise."""
    mine, other = snapshot(folder / "told"), snapshot(folder / "alone")
    expect(mine == other, "assignments are those of the run alone, to the bit")
    expect(len(mine) == PER_GROUP * len(GROUPS), f"everybody is assigned; got {len(mine)}")
    command = [client, "-m", "proofs.tracked", "score", held.address, str(told), str(LOCAL)]
    scored = json.loads(must(in_repository(command)).splitlines()[-1])
    expect(scored["same"] == scored["customers"] == len(mine), f"the champion labels as published: {scored}")
    print(f"tracking: {len(mine)} customers in the segments of the run alone, to the bit")
    print(
        f"tracking: the registered champion labels all of them likewise from {', '.join(scored['columns'])}"
    )


def alias_stays(client: str, told: Path, held: Server, first: str) -> None:
    """Refused runs tell nobody; an earlier day is told and leaves the alias; assigning fits nothing."""
    refused = job(client, told, "--revise", "--set", "selection.rules.min_segment_customers=1000")
    must(refused, 4)
    expect(list(look(client, held)["runs"]) == [first], "a run that was refused has told nobody")
    must(job(client, told, day=EARLIER))
    must(job(client, told, "--revise", name="assign_segments"))
    found = look(client, held)
    jobs = {run["tags"]["spark_seg.job"]: run["files"] for run in found["runs"].values()}
    expect(len(found["runs"]) == 3, f"each committed run is told once: {found}")
    expect(jobs["assign_segments"] == ["card.md", "config.json", "report.html", "segments.json"], f"{jobs}")
    expect(set(found["versions"]) == {"1", "2"}, f"each fit has a version, and nothing else has one: {found}")
    expect(found["aliases"] == {"champion": "1"}, f"the alias names the model of the newest day: {found}")
    print(
        "tracking: refused (4) told nobody; an earlier day got version 2, and the alias stayed at version 1"
    )


def lineage(folder: Path, received: Received) -> None:
    """Each committed run has a beginning and an end, with the versions and rows of the ledger."""
    runs = rows(folder / "told", "runs")
    for run in runs:
        kinds = {event["eventType"] for event in received.of(run["run_id"])}
        expect(kinds == {"START", "COMPLETE"}, f"{run['job']} {run['as_of']} began and ended; got {kinds}")
        (complete,) = [e for e in received.of(run["run_id"]) if e["eventType"] == "COMPLETE"]
        wrote = {one["name"].rpartition("/")[2]: one for one in complete["outputs"]}
        for receipt in run["receipts"]:
            event = wrote[receipt["table"]]
            told = (
                int(event["facets"]["version"]["datasetVersion"]),
                event["outputFacets"]["outputStatistics"]["rowCount"],
            )
            expect(told == (receipt["version"], receipt["rows"]), f"{receipt}: the event says {told}")
    expect(len(received.events) == 2 * len(runs), f"nothing else was sent; got {len(received.events)} events")
    sent = f"{len(received.events)} OpenLineage events of {len(runs)} runs"
    print(f"tracking: {sent}, with the versions and rows of the ledger")


def nobody_is_named(folder: Path) -> None:
    """No id of a customer stands in anything that the server holds."""
    ids = [f"{group}{i:02d}".encode() for group in GROUPS for i in range(PER_GROUP)]
    files = [file for file in (folder / "mlflow").rglob("*") if file.is_file()]
    named = [str(file) for file in files if any(one in file.read_bytes() for one in ids)]
    expect(not named, f"nobody is named at the server; got {named}")
    print(f"tracking: none of {len(ids)} customers is named in {len(files)} files of the server")


def without_a_server(client: str, told: Path) -> None:
    """With nobody there, a run says so and ends as it would."""
    said = must(job(client, told, "--revise", "--set", "seed=7"))
    expect(said.count("not told: ") == 2 and said.count("Again: spark-seg track ") == 2, f"says so:\n{said}")
    print("tracking: with both servers gone a run is published, says who was not told, and ends with 0")


def config(folder: Path, name: str, events: str | None = None, server: str | None = None) -> Path:
    """The shop, published to a folder of that name."""
    more = {"mlflow": {"uri": server}, "openlineage": {"to": events, "namespace": "proof"}}
    settings = settings_of(folder, publishing={"root": str(folder / name)}, tracking=more if server else {})
    return Path(write_settings(folder, settings, f"{name}.yaml"))


def job(
    python: str, config: Path, *more: str, name: str = RUN_ALL.stem, day: str = DAY
) -> subprocess.CompletedProcess[str]:
    """A job of the project in a process of its own."""
    script = RUN_ALL.with_stem(name)
    return in_repository([python, str(script), *arguments(config, day), *more])


def arguments(config: Path, day: str = DAY) -> list[str]:
    """Of a job."""
    sets = [part for one in FAST for part in ("--set", one)]
    return ["--config", str(config), "--config", str(LOCAL), "--as-of", day, *sets]


def in_repository(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """A command with the packages of this checkout, in its folder."""
    path = f"{REPOSITORY}:{REPOSITORY / 'scripts'}"
    return ended(list(command), REPOSITORY, timeout=900, PYTHONPATH=path, MLFLOW_DISABLE_TELEMETRY="true")


def look(client: str, held: Server) -> dict[str, Any]:
    """What stands at the server."""
    command = [client, "-m", "proofs.tracked", "look", held.address, "shop", "shop"]
    found: dict[str, Any] = json.loads(must(in_repository(command)).splitlines()[-1])
    return found


def expect(holds: bool, sentence: str) -> None:
    """Raises `Failed` with the sentence unless it holds."""
    if not holds:
        raise Failed(sentence)


def environments() -> tuple[str, str]:
    """Pythons of MLflow's client, beside the project's packages, and of its server; made once."""
    for name, package in (("client", "mlflow-skinny"), ("server", "mlflow")):
        place = ENVIRONMENTS / name
        wanted = f"{package}=={VERSION}"
        stamp = place / ".stamp"
        if stamp.exists() and stamp.read_text() == wanted:
            continue
        uv = str(BIN / "uv")
        must(ended([uv, "venv", "--clear", "--python", sys.executable, str(place)], REPOSITORY))
        python = str(place / "bin" / "python")
        must(ended([uv, "pip", "install", "--python", python, wanted], REPOSITORY, timeout=900))
        if name == "client":
            (packages,) = place.glob("lib/python*/site-packages")
            (own,) = Path(sys.prefix).glob("lib/python*/site-packages")
            (packages / "project.pth").write_text(f"{own}\n")
        stamp.write_text(wanted)
    return str(ENVIRONMENTS / "client" / "bin" / "python"), str(ENVIRONMENTS / "server" / "bin" / "python")


@contextmanager
def mlflow_server(python: str, folder: Path) -> Iterator[Server]:
    """MLflow with a sqlite store, which keeps artifacts itself."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [
        python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    with served(address, command, folder, lambda: healthy(address)) as server:
        yield server


def healthy(address: str) -> bool:
    """Does an MLflow server answer?"""
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:  # noqa: S310 - loopback
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def receiver() -> Iterator[Received]:
    """Someone who listens for events on loopback, and keeps them."""
    kept = Received("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            kept.events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def gone(pid: int) -> bool:
    """Is there no such process?"""
    return not Path(f"/proc/{pid}").exists()
