"""The DAGs of conf/airflow, copied, parsed and run: by spark-submit on a cluster of two workers, and against
Databricks' Jobs API as a server on loopback gives it."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from deltalake import write_deltalake

from proofs.airflow_home import Home, Ran, install
from proofs.demo import Failed, must
from proofs.jobs_api import JobsApi, jobs_api
from proofs.lakes import rows
from proofs.servers import BIN, QUICK_JVM, REPOSITORY, cluster, ended
from proofs.standalone import APPLICATION

FIRST, KEPT, SHIFTED, BAD = "2025-01-01", "2025-01-02", "2025-01-03", "2025-01-04"
#: Kind of customer → (days before `FIRST` of each order, amount of an order). Twelve customers of each kind.
KINDS: dict[str, tuple[Sequence[int], float]] = {
    "star": (range(2, 42, 4), 90.0),
    "steady": ((12, 40, 70, 100, 130), 35.0),
    "fresh": ((9,), 20.0),
    "gone": ((260, 290), 60.0),
}
#: Runs jobs in one session of local mode; prints the exit code of each.
_LOCALLY = """
import json, sys
from spark_seg.cli import main
for arguments in json.loads(sys.argv[1]):
    code = 0
    try:
        main(arguments)
    except SystemExit as end:
        code = end.code
    print("CODE", arguments[0], code)
"""
_PLACED = {"shop.assignments", "shop.profiles", "shop.rules", "shop.explanations"}
_NEW = {
    "build_features": {"shop.features", "shop.rejects"},
    "assign_segments": _PLACED,
    "monitor_segments": {"shop.drift", "shop.decisions"},
    "train_segments": _PLACED | {"shop.candidates"},
}
_JOBS = ("build_features", "assign_segments", "monitor_segments")
_ALL = (*_JOBS, "train_segments", "monitor_segments")


def airflow() -> None:
    """Both DAGs parse and run; tables are those of local mode; exit codes mean what they say."""
    install()
    with tempfile.TemporaryDirectory() as scratch, jobs_api() as api:
        folder = Path(scratch)
        must(ended([str(REPOSITORY / "scripts" / "build")], REPOSITORY))
        with cluster(folder / "servers") as server:
            address, port = server.address.rsplit(":", 1)
            home = Home(folder / "airflow", {
                "spark_default": {"conn_type": "spark", "host": address, "port": int(port)},
                "databricks_default": {
                    "conn_type": "databricks", "host": "127.0.0.1", "schema": "http", "password": "none",
                    "port": api.server_address[1],
                },
            })  # fmt: skip
            home.set_up()
            _copied(home, folder)
            parsed = home.parse()
            print(f"airflow: {', '.join(sorted(parsed))} parse, {len(parsed['spark_seg_submit'])} tasks each")
            exit_codes(home, folder)
            on_databricks(home, api)
            on_a_cluster(home, folder)


def _copied(home: Home, folder: Path) -> None:
    conf = APPLICATION | {"spark.driver.extraJavaOptions": QUICK_JVM}
    soon = "timedelta(seconds=1)"
    home.copy(
        "spark_seg_submit",
        HOME=repr(str(REPOSITORY)),
        CONFIG=repr([str(folder / "shop.yaml")]),
        DRIVER_MEMORY=repr("1g"),
        SPARK_CONF=repr(conf),
        RETRY_DELAY=soon,
    )
    home.copy("spark_seg_databricks", RETRY_DELAY=soon)


# ---------------------------------------------------------------- exit codes, without Spark


def exit_codes(home: Home, folder: Path) -> None:
    """A spark-submit that ends with the codes it is told, one after the other."""
    fake = folder / "bin" / "spark-submit"
    fake.parent.mkdir()
    codes = folder / "codes"
    codes.mkdir()
    fake.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        "job = next(pathlib.Path(a).stem for a in sys.argv if a.endswith('.py'))\n"
        f"left = pathlib.Path({str(codes)!r}, job)\n"
        "first, *rest = left.read_text().split() if left.exists() else ['0']\n"
        "left.write_text(' '.join(rest or ['0']))\n"
        "sys.exit(int(first))\n"
    )
    fake.chmod(0o755)

    def run(**told: str) -> Ran:
        for job in _NEW:
            (codes / job).write_text(told.get(job, "0"))
        return home.test("spark_seg_submit", FIRST, PATH=f"{fake.parent}{os.pathsep}{os.environ['PATH']}")

    run(build_features="1", assign_segments="5").must_be(
        True, build_features="success@2", assign_segments="success@1", monitor_segments="success",
        fit_anew="success", train_segments="skipped", monitor_new_model="skipped", look="success",
    )  # fmt: skip
    print("airflow: exit code 1 is tried again, 5 is a success at which a person looks")
    for code in ("2", "4", "6"):
        run(assign_segments="7", train_segments=code).must_be(
            False, build_features="success", assign_segments="skipped", monitor_segments="skipped",
            fit_anew="success", train_segments="failed@1", monitor_new_model="upstream_failed",
            look="upstream_failed",
        )  # fmt: skip
    print("airflow: exit codes 2, 4 and 6 fail at once; 7 of assign_segments leads to training")


# ---------------------------------------------------------------- Databricks


def on_databricks(home: Home, api: JobsApi) -> None:
    """What is submitted, and how the answers are understood; once waiting in place, once deferred."""
    api.codes = {"assign_segments": 7, "train_segments": 5}
    ran = home.test("spark_seg_databricks", FIRST)
    ran.must_be(
        True, build_features="success", assign_segments="skipped", monitor_segments="skipped",
        fit_anew="success", train_segments="success@1", monitor_new_model="success", look="success",
    )  # fmt: skip
    _must(ran.assets, _NEW["build_features"] | _NEW["train_segments"] | _NEW["monitor_segments"], "assets")
    jobs = ["build_features", "assign_segments", "train_segments", "monitor_segments"]
    _must(len(api.submitted), len(jobs), "runs submitted")
    for sent, job in zip(api.submitted, jobs, strict=True):
        _must(sent, _payload(job, FIRST), f"what was submitted for {job}")
    api.codes, api.busy, api.already = {}, 2, True
    ran = home.test("spark_seg_databricks", KEPT, AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE="True")
    ran.must_be(
        True, build_features="success", assign_segments="success", monitor_segments="success",
        fit_anew="success", train_segments="skipped", monitor_new_model="skipped", look="skipped",
    )  # fmt: skip
    _must(ran.assets, set(), "assets of what was published already")
    api.codes = {"build_features": 3}
    home.test("spark_seg_databricks", BAD, AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE="True").must_be(
        False, build_features="failed@1", assign_segments="upstream_failed",
        monitor_segments="upstream_failed", fit_anew="upstream_failed", train_segments="upstream_failed",
        monitor_new_model="upstream_failed", look="upstream_failed",
    )  # fmt: skip
    print(
        "airflow: Databricks gets one run for each job; its SystemExit is understood, waited for or deferred"
    )


def _payload(job: str, as_of: str) -> dict[str, Any]:
    """What the Jobs API takes, with the operator's numbers as text."""
    bundle = "/Workspace/Users/SERVICE_PRINCIPAL/.bundle/spark_seg/prod"
    place = f"{bundle}/files/conf/databricks"
    revise = ["--revise"] if job in ("train_segments", "monitor_segments") else []
    files = ["--config", f"{place}/shop.yaml", "--config", f"{place}/prod.yaml"]
    wheel = f"{bundle}/artifacts/.internal/spark_seg-0.1.0-py3-none-any.whl"
    spec = {"environment_version": "4", "dependencies": [wheel]}
    return {
        "run_name": f"{job} {as_of}",
        "tasks": [{
            "task_key": job,
            "python_wheel_task": {
                "package_name": "spark_seg", "entry_point": "spark-seg",
                "parameters": [job, *files, "--as-of", as_of, *revise],
            },
            "environment_key": "spark_seg",
        }],
        "timeout_seconds": "10800",
        "environments": [{"environment_key": "spark_seg", "spec": spec}],
    }  # fmt: skip


# ---------------------------------------------------------------- a cluster


def on_a_cluster(home: Home, folder: Path) -> None:
    """Four days by `airflow dags test`, beside the same jobs in local mode."""
    _land(folder, 1.0)
    ours, other = folder / "published", folder / "local"
    _configure(folder, "shop", ours)
    _configure(folder, "local", other)
    _configure(folder, "bad", folder / "nowhere", ordered_at="ordered")

    ran = home.test("spark_seg_submit", FIRST)
    ran.must_be(
        True, build_features="success", assign_segments="skipped", monitor_segments="skipped",
        fit_anew="success", train_segments="success", monitor_new_model="success", look="skipped",
    )  # fmt: skip
    _must(ran.assets, _NEW["build_features"] | _NEW["train_segments"] | _NEW["monitor_segments"], "assets")
    print("airflow: the first day has no model and trains one")
    home.test("spark_seg_submit", KEPT).must_be(
        True, build_features="success", assign_segments="success", monitor_segments="success",
        fit_anew="success", train_segments="skipped", monitor_new_model="skipped", look="skipped",
    )  # fmt: skip
    print("airflow: the second is assigned; the monitor keeps the model, which stops there")
    first = ("build_features", "assign_segments", "train_segments", "monitor_segments")
    codes = _locally(folder, [*((job, FIRST) for job in first), *((job, KEPT) for job in _JOBS)])
    _must(codes, [0, 7, 0, 0, 0, 0, 0], "exit codes in local mode")

    _land(folder, 5.0)
    ran = home.test("spark_seg_submit", SHIFTED)
    refit = {
        "build_features": "success", "assign_segments": "success", "monitor_segments": "success",
        "fit_anew": "success", "train_segments": "success", "monitor_new_model": "success",
    }  # fmt: skip
    look = ran.tasks["look"][0]
    ran.must_be(True, look=look, **refit)
    codes = _locally(folder, [(job, SHIFTED) for job in _ALL])
    _must(codes[2], 7, "what the monitor says in local mode of the third day")
    print("airflow: spending has shifted on the third, the monitor asks for a new model, and it is trained")
    print(f"airflow: {_same(ours, other)}")

    before = _versions(ours)
    ran = home.test("spark_seg_submit", SHIFTED)
    ran.must_be(True, look=look, **_again(ours, refit))
    _must(
        (_versions(ours), ran.assets), (before, set()), "tables and assets of a second run of the third day"
    )
    print("airflow: the same day once more writes nothing, and tells nobody of anything new")

    home.test("spark_seg_submit", BAD, {"config": [str(folder / "bad.yaml")]}).must_be(
        False, build_features="failed@1", assign_segments="upstream_failed",
        monitor_segments="upstream_failed", fit_anew="upstream_failed", train_segments="upstream_failed",
        monitor_new_model="upstream_failed", look="upstream_failed",
    )  # fmt: skip
    _must((folder / "nowhere").exists(), False, "tables of a run with bad input")
    print("airflow: an input that breaks its contract (exit code 3) fails at once, and nothing is written")


def _again(root: Path, first: dict[str, str]) -> dict[str, str]:
    """What the same day's second run looks like: the monitor speaks of the model that was trained."""
    last = max(
        (r for r in rows(root, "runs") if r["job"] == "monitor_segments"),
        key=lambda r: (r["as_of"], r["revision"]),
    )
    (said,) = (row["action"] for row in rows(root, "decisions") if row["run_id"] == last["run_id"])
    if said == "refit":
        return first
    return first | {"train_segments": "skipped", "monitor_new_model": "skipped"}


def _land(folder: Path, price: float) -> None:
    end = datetime.fromisoformat(FIRST)
    orders = [
        {
            "customer": f"{kind}{i:02d}",
            "order_no": f"{kind}{i:02d}-{day}",
            "created": end - timedelta(days=day + i % 3, hours=-9),
            "price": price * (amount + i),
        }
        for kind, (days, amount) in KINDS.items()
        for i in range(12)
        for day in days
    ]
    write_deltalake(str(folder / "orders"), pa.Table.from_pylist(orders), mode="overwrite")


def _configure(folder: Path, name: str, root: Path, ordered_at: str = "created") -> None:
    columns = {"customer_id": "customer", "order_id": "order_no", "ordered_at": ordered_at, "amount": "price"}
    settings = {
        "pipeline": "shop",
        "sources": {"orders": {"path": str(folder / "orders"), "columns": columns}},
        "privacy": {"raw_ids": True},
        "publishing": {"root": str(root)},
        "preparation": {"features": {"frequency": {"log": True}, "monetary": {"log": True}}},
        "clustering": {"algorithms": ["kmeans"], "restarts": {"kmeans": 1}},
        "selection": {"k_min": 4, "k_max": 4},
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")


def _locally(folder: Path, jobs: Sequence[tuple[str, str]]) -> list[int]:
    """Exit codes of the same jobs with the same arguments, in one session of local mode."""
    files = ["--config", str(folder / "local.yaml"), "--config", str(REPOSITORY / "conf" / "local.yaml")]
    revise = {"train_segments": ["--revise"], "monitor_segments": ["--revise"]}
    asked = [[job, *files, "--as-of", day, *revise.get(job, [])] for job, day in jobs]
    said = must(ended([str(BIN / "python"), "-c", _LOCALLY, json.dumps(asked)], REPOSITORY, timeout=1200))
    codes = [line.split()[1:] for line in said.splitlines() if line.startswith("CODE ")]
    _must([job for job, _ in codes], [job for job, _ in jobs], "jobs in local mode")
    return [int(code) for _, code in codes]


def _same(ours: Path, other: Path) -> str:
    """The assignments of all runs of two places, figure by figure to nine digits."""

    def told(root: Path) -> list[list[tuple[str, Any]]]:
        kept = [
            [(n, round(v, 9) if isinstance(v, float) else v) for n, v in sorted(row.items())
             if n not in ("run_id", "attempt_id")]
            for row in rows(root, "assignments")
        ]  # fmt: skip
        return sorted(kept, key=repr)

    mine, theirs = told(ours), told(other)
    _must(mine == theirs, True, f"assignments in {ours} and in {other} agree")
    return f"{len(mine)} assignments of four runs are those of local mode"


def _versions(root: Path) -> dict[str, int]:
    """Table → entries of its Delta log."""
    return {table.name: len(list(table.glob("_delta_log/*.json"))) for table in sorted(root.iterdir())}


def _must(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise Failed(f"{what}: found {found}, wanted {wanted}")
