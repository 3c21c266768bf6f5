"""Servers that stay up between commands: `cluster` or `connect`, with `up`, `status` and `down`."""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from proofs.servers import REPOSITORY, Server, start_cluster, start_connect_server, stop

#: Where each keeps its log, and what it was started as.
_FOLDERS = {"cluster": REPOSITORY / ".cluster", "connect": REPOSITORY / ".connect"}
_STARTERS: dict[str, Callable[[Path], Server]] = {
    "cluster": start_cluster,
    "connect": lambda folder: start_connect_server(folder, {}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", choices=sorted(_STARTERS))
    parser.add_argument("verb", choices=("up", "status", "down"))
    arguments = parser.parse_args()
    folder = _FOLDERS[arguments.server]
    state = folder / "state.json"
    known = json.loads(state.read_text()) if state.exists() else None
    alive = [pid for pid in known["pids"] if _ours(pid, known["started"][str(pid)])] if known else []
    if arguments.verb == "down":
        for pid in alive:
            stop(pid)
        state.unlink(missing_ok=True)
        print(f"stopped {len(alive)} processes")
    elif known and len(alive) == len(known["pids"]):
        print(known["address"])
    elif arguments.verb == "status":
        raise SystemExit(f"no {arguments.server} is up; scripts/{arguments.server} up starts it")
    else:
        for pid in alive:
            stop(pid)
        server = _STARTERS[arguments.server](folder)
        born = {pid: _born(pid) for pid in server.pids}
        state.write_text(json.dumps({"address": server.address, "pids": server.pids, "started": born}))
        print(server.address)


def _born(pid: int) -> str:
    """When a process was started: with its id it is told from every other. Empty: it is gone."""
    told = subprocess.run(
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return told.stdout.strip()


def _ours(pid: int, born: str) -> bool:
    """Is that process still the one that was started here?"""
    return born != "" and _born(pid) == born


if __name__ == "__main__":
    main()
