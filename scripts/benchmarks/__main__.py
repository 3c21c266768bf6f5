"""Benchmarks that can be rerun. Each comparison is measured side by side in one run.

With --json one object a line: name, ours, other, ratio (other / ours, or the share for a part), unit.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict

from comparison import Comparison
from demo import demo
from features import features
from incremental import incremental
from protocol import protocol
from rich.console import Console
from rich.table import Table
from score import score
from start import start
from sweep import sweep

BENCHMARKS: dict[str, Callable[..., list[Comparison]]] = {
    "demo": demo,
    "features": features,
    "incremental": incremental,
    "protocol": protocol,
    "score": score,
    "start": start,
    "sweep": sweep,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, help="customers, events or orders; not for demo and protocol")
    arguments = parser.parse_args()
    results = BENCHMARKS[arguments.name](*([arguments.rows] if arguments.rows else []))
    if arguments.json:
        for result in results:
            print(json.dumps(asdict(result)))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("comparison", "ours", "other", "ratio", "unit"):
        table.add_column(column, justify="left" if column in ("comparison", "unit") else "right")
    for r in results:
        table.add_row(r.name, f"{r.ours:.1f}", f"{r.other:.1f}", f"{r.ratio:.2f}", r.unit)
    Console().print(table)


if __name__ == "__main__":
    main()
