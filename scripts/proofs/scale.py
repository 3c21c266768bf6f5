"""run_all on the cluster over twenty times the demo: who works, and what comes to the driver."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from proofs.demo import LAKE, Failed, land, must
from proofs.eventlog import Told, logging, told_by
from proofs.lakes import snapshot
from proofs.servers import REPOSITORY, cluster, ended
from proofs.standalone import submitted

TIMES = 20
#: What tells one copy from the next: column → by how much it is larger.
_APART = {"household_id": 100_000, "basket_id": 10**12}
#: Bytes of one result at the driver: the sample of 20,000 customers with some 20 numbers each, and room for
#: the answers of as many tasks.
_BOUND = 16 * 2**20


def scale() -> None:
    """Both executors work, and no result is larger than the bounded sample."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        must(ended([str(REPOSITORY / "scripts" / "build")], REPOSITORY))
        lines = _multiplied(folder / ".demo" / "raw")
        print(f"scale: {lines:,} purchase lines of {TIMES} times the demo's households", flush=True)
        log = folder / "log"
        log.mkdir()
        started = time.monotonic()
        with cluster(folder / "servers", memory="2g") as server:
            conf = logging(log) | {"spark.executor.memory": "1600m", "spark.sql.shuffle.partitions": "16"}
            submitted(server, folder / "published", lake=folder, conf=conf)
        customers = len(snapshot(folder / "published"))
        seconds = time.monotonic() - started
        print(f"scale: {customers:,} customers in {seconds:.0f} s, the cluster's start included")
        told = told_by(log)
        _print(told)
        if len(told.busy) != 2 or min(told.busy.values()) < 0.3 * sum(told.busy.values()):
            raise Failed(f"executors: both must work; busy for {told.busy}")
        if told.results[0][0] > _BOUND:
            raise Failed(f"driver: no result may be larger than {_BOUND:,} bytes; got {told.results[0]}")


def _print(told: Told) -> None:
    busy = ", ".join(f"{name}: {seconds:.0f} s" for name, seconds in sorted(told.busy.items()))
    print(f"scale: executors worked {busy}")
    largest = (f"{size / 2**20:.2f} MiB ({name})" for size, name in told.results[:3])
    print(f"scale: largest results at the driver: {'; '.join(largest)}")
    print(f"scale: {told.spilled / 2**20:,.0f} MiB spilled to disk")
    skew = (f"{ratio:.1f} × ({worst:.1f} s, {name})" for ratio, worst, name in told.skew[:3])
    print(f"scale: slowest task over the median of its stage: {'; '.join(skew)}")


def _multiplied(target: Path) -> int:
    """The demo's raw tables, those of households many times over. Returns the purchase lines."""
    land()
    for source in sorted((LAKE / "raw").iterdir()):
        table = DeltaTable(str(source)).to_pyarrow_table()
        apart = [name for name in _APART if name in table.column_names]
        for copy in range(TIMES if apart else 1):
            write_deltalake(str(target / source.name), _shifted(table, apart, copy), mode="append")
    return int(DeltaTable(str(target / "transactions")).to_pyarrow_dataset().count_rows())


def _shifted(table: pa.Table, columns: list[str], copy: int) -> pa.Table:
    for name in columns:
        other = pc.add(table[name], _APART[name] * copy)
        table = table.set_column(table.column_names.index(name), name, other)
    return table
