"""Proofs that can be run. Each prints what it found, line by line, and ends with a code other than 0 where
something is not as it must be."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from proofs.airflow import airflow
from proofs.connect import connect
from proofs.container import container
from proofs.databricks import databricks
from proofs.install import install
from proofs.scale import scale
from proofs.standalone import standalone
from proofs.tracking import tracking
from proofs.versions import versions

PROOFS: dict[str, Callable[[], None]] = {
    "airflow": airflow,
    "cluster": standalone,
    "connect": connect,
    "container": container,
    "databricks": databricks,
    "install": install,
    "scale": scale,
    "tracking": tracking,
    "versions": versions,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(PROOFS))
    started, name = time.monotonic(), parser.parse_args().name
    PROOFS[name]()
    print(f"{name}: proved in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
