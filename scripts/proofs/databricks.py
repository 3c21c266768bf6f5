"""The Databricks bundle: checked offline, then its tasks are run as Databricks runs them.

That is by the entry point of the installed wheel, in a session that is there already: on a Spark Connect
server with a process for each task, as on serverless compute; and in one driver, as on a job cluster. Delta's
catalog stands in for Unity Catalog, and a folder for a volume.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from databricks.bundles.jobs import Job
from deltalake import write_deltalake

from proofs.bundle import ROOT, bundle, commands, target_names
from proofs.demo import Failed, must
from proofs.lakes import Different, rows
from proofs.servers import BIN, DELTA, LOOPBACK, QUICK_JVM, REPOSITORY, connect_server, ended

#: as_of → the job's parameter `model`: the first day gets a new model, the second is assigned by it.
DAYS = {"2025-01-01": "train", "2025-01-08": "assign"}
#: Tasks that the condition `new_model` leaves out.
_LEFT_OUT = {"train": "assign", "assign": "train"}
#: Cheap, and still a choice.
_QUICK: dict[str, Any] = {
    "clustering": {"algorithms": ["kmeans"], "restarts": {"kmeans": 3}},
    "selection": {"k_min": 3, "k_max": 4, "resamples": 2},
    "privacy": {"raw_ids": True},
}
_SESSION = LOOPBACK | DELTA | {
    "spark.master": "local[2]",
    "spark.driver.memory": "2g",
    "spark.sql.shuffle.partitions": "4",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.driver.extraJavaOptions": QUICK_JVM,
}  # fmt: skip
#: Kind of customer → (days between orders, price, days since the last one).
_KINDS = {"often": (6, 40.0, 1), "seldom": (30, 25.0, 3), "dear": (45, 300.0, 10), "gone": (20, 60.0, 200)}
_PER_KIND = 40

Task = tuple[str, str, list[str]]


@dataclass(frozen=True)
class Place:
    """Where one way of running the bundle works: its folder, and the site of the installed wheel."""

    folder: Path
    site: Path

    def run(
        self, tasks: Sequence[Task], conf: Mapping[str, str], statements: Sequence[str] = ()
    ) -> list[int]:
        """Exit codes of tasks in one process. Raises `Failed` when it ends otherwise than by them."""
        what = json.dumps({"conf": conf, "statements": statements, "tasks": tasks})
        # -P: the folder of the script is no place to import from.
        command = [sys.executable, "-P", str(REPOSITORY / "scripts/proofs/wheel_task.py"), what]
        said = must(ended(command, self.folder, timeout=600, PYTHONPATH=str(self.site))).splitlines()
        if not said[0].startswith(f"spark_seg of {self.site}"):
            raise Failed(said[0])
        return list(json.loads(said[-1]))


def databricks() -> None:
    """Every target is valid, and both ways of running the tasks give the assignments of local mode."""
    for target in target_names():
        print(_valid(target))
    with tempfile.TemporaryDirectory(prefix="spark_seg_databricks_") as scratch:
        folder = Path(scratch)
        site = _installed(folder)
        _land(folder / "lake")
        alone = _local(folder, site)
        print(f"local mode    {len(alone)} assignments on {len(DAYS)} days")
        for way, run in (("one driver", _one_driver), ("Spark Connect", _connect)):
            codes = run(folder, site)
            root = folder / way.replace(" ", "_")
            if _assignments(root / "warehouse/segments.db") != alone:
                raise Different(f"{way}: other assignments than in local mode")
            pages = len(list((root / "files/reports").glob("*.html")))
            if pages != len(DAYS):
                raise Failed(f"{way}: {pages} reports of {len(DAYS)} days")
            told = ", ".join(f"{name} {code}" for name, code in codes)
            print(f"{way:<14}the same assignments, {pages} reports; exit codes: {told}")


def _valid(target: str) -> str:
    """Every job of a target, as databricks-bundles reads it."""
    deployed = bundle(target)
    for settings in deployed.jobs.values():
        Job.from_dict(settings)
    named = ", ".join(f"{name} ({len(job['tasks'])} tasks)" for name, job in sorted(deployed.jobs.items()))
    return f"valid         target {target}, {deployed.mode}: {named}"


def _installed(folder: Path) -> Path:
    """The wheel, built by the command of the bundle, in a folder of its own."""
    build = str(bundle("dev").rest["artifacts"]["spark_seg"]["build"]).removeprefix("uv ").split()
    uv, python, site = str(BIN / "uv"), sys.executable, folder / "site"
    subprocess.run([uv, *build, "--quiet", "--out-dir", str(folder / "dist")], cwd=REPOSITORY, check=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    install = [uv, "pip", "install", "--quiet", "--python", python, "--no-deps", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True)
    print(f"wheel         {wheel.name}")
    return site


def _land(lake: Path) -> None:
    """The tables that conf/databricks/shop.yaml names: kinds of customers, until the last day."""
    last = datetime.fromisoformat(max(DAYS))
    lines, customers = [], []
    for kind, (between, price, since) in _KINDS.items():
        for i in range(_PER_KIND):
            customer = f"{kind}-{i:03d}"
            customers.append({"customer": customer, "country": "DE" if i % 3 else "AT"})
            for n in range((350 - since) // between):
                created = last - timedelta(days=since + n * between + i % 5, hours=9)
                lines.append({
                    "customer": customer, "order_no": f"{customer}-{n}", "line_no": 1, "created": created,
                    "price": price + i % 7, "quantity": 1 + n % 2, "department": ("books", "music")[n % 2],
                })  # fmt: skip
    write_deltalake(str(lake / "order_lines"), pa.Table.from_pylist(lines))
    write_deltalake(str(lake / "customers"), pa.Table.from_pylist(customers))


def _local(folder: Path, site: Path) -> list[dict[str, Any]]:
    """The same jobs in local mode: tables are folders, and spark_seg starts its session itself."""
    root = folder / "local"
    shop = _shop()
    for source in shop["sources"].values():
        source["path"] = str(folder / "lake" / source.pop("table").rpartition(".")[2])
    overlay = {"publishing": {"root": str(root / "published")}, "session": {"conf": _SESSION}}
    tasks = [task for name, task in _tasks(root, shop, overlay) if name in ("features", "train", "assign")]
    Place(root, site).run(tasks, {})
    return _assignments(root / "published")


def _one_driver(folder: Path, site: Path) -> list[tuple[str, int]]:
    """All tasks in one driver, and the first day's training again, as when it is retried."""
    root = folder / "one_driver"
    tasks = _tasks(root, _shop(), _places(root))
    again = ("train again", tasks[1][1])
    conf = _SESSION | {"spark.sql.warehouse.dir": str(root / "warehouse")}
    named = [*tasks, again]
    codes = Place(root, site).run([task for _, task in named], conf, _statements(folder))
    if codes[-1] != codes[1]:
        raise Failed(f"a retry ended with {codes[-1]}, the first time with {codes[1]}")
    return [(name, code) for (name, _), code in zip(named, codes, strict=True)]


def _connect(folder: Path, site: Path) -> list[tuple[str, int]]:
    """Each task in a process of its own, with a session on a Spark Connect server."""
    root = folder / "Spark_Connect"
    tasks = _tasks(root, _shop(), _places(root))
    with connect_server(root) as server:
        place, conf = Place(root, site), {"spark.remote": server.address}
        return [(name, place.run([task], conf, _statements(folder))[0]) for name, task in tasks]


def _tasks(root: Path, shop: dict[str, Any], overlay: dict[str, Any]) -> list[tuple[str, Task]]:
    """What the job `segments` runs on both days, with these files as `config` and `overlay`."""
    root.mkdir(parents=True, exist_ok=True)
    files = {"config": root / "shop.yaml", "overlay": root / "overlay.yaml"}
    files["config"].write_text(yaml.safe_dump(shop), encoding="utf-8")
    files["overlay"].write_text(yaml.safe_dump(_QUICK | overlay), encoding="utf-8")
    job = bundle("dev").jobs["segments"]
    called = {task["task_key"]: task.get("python_wheel_task") for task in job["tasks"]}
    return [
        (name, (called[name]["package_name"], called[name]["entry_point"], arguments))
        for day, model in DAYS.items()
        for name, arguments in commands(job, as_of=day, **{n: str(f) for n, f in files.items()}).items()
        if name != _LEFT_OUT[model]
    ]


def _shop() -> dict[str, Any]:
    """The example of the bundle, in Delta's catalog."""
    text = (ROOT / "shop.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text.replace("table: lake.", "table: spark_catalog.")))


def _places(root: Path) -> dict[str, Any]:
    """The example of the target dev, in Delta's catalog and with a folder as its volume."""
    text = (ROOT / "dev.yaml").read_text(encoding="utf-8")
    text = text.replace("database: dev.", "database: spark_catalog.")
    return dict(yaml.safe_load(text.replace("/Volumes/dev/segments/files", str(root / "files"))))


def _statements(folder: Path) -> list[str]:
    """What stands in the catalog before the first run."""
    tables = {"sales.order_lines": "order_lines", "crm.customers": "customers"}
    schemas = ("sales", "crm", "segments")
    return [f"CREATE SCHEMA IF NOT EXISTS spark_catalog.{schema}" for schema in schemas] + [
        f"CREATE TABLE IF NOT EXISTS spark_catalog.{name} USING delta LOCATION '{folder / 'lake' / place}'"
        for name, place in tables.items()
    ]


def _assignments(root: Path) -> list[dict[str, Any]]:
    """Who is in which segment on which day, with every figure, and without what names the run."""
    found = [
        {name: value for name, value in row.items() if name not in ("run_id", "attempt_id")}
        for row in rows(root, "assignments")
    ]
    return sorted(found, key=lambda row: (row["as_of"], row["customer_id"]))
