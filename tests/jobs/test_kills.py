"""A process that is killed anywhere in a run leaves what was published, and its retry publishes it once."""

from __future__ import annotations

import signal
import sys
from datetime import date
from pathlib import Path

import pytest
from landed import AS_OF, Rows, arguments, planted_orders, published, settings_of, write_delta, write_settings
from test_entry_points import LIGHT, ended

from spark_seg.publishing.points import POINTS

KILLED = str(Path(__file__).with_name("killed.py"))
SEEDS = (1, 2, 3)
TABLES = ("features", "assignments", "profiles", "rejects")


def shown(root: Path) -> tuple[str, dict[str, list[str]]]:
    """The run that counts for `AS_OF`, and its rows of each table, as a reader without Spark sees them."""
    runs = [run for run in published(root, "runs") if run["as_of"] == date.fromisoformat(AS_OF)]
    run = max(runs, key=lambda run: run["revision"])
    who = (run["run_id"], run["attempt_id"])
    rows = {
        t: [row for row in published(root, t) if (row["run_id"], row["attempt_id"]) == who] for t in TABLES
    }
    for receipt in run["receipts"]:
        if receipt["table"] in rows:
            assert len(rows[receipt["table"]]) == receipt["rows"], receipt
    clusters = [row for row in rows["profiles"] if row["scheme"] == "clusters"]
    assert sum(row["customers"] for row in clusters) == len(rows["assignments"])
    return run["run_id"], {table: content(found) for table, found in rows.items()}


def content(rows: Rows) -> list[str]:
    """Rows without the run that wrote them, in an order of their own."""
    run = ("run_id", "attempt_id")
    return sorted(str({name: value for name, value in row.items() if name not in run}) for row in rows)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    rows = planted_orders()
    rows.append(rows[0] | {"order_no": "zero", "price": 0.0})
    write_delta(folder / "orders", rows)
    return folder


def run(lake: Path, root: Path, overlay: Path, seed: int, number: int, point: str = "none") -> int:
    """A revision of the shop, as a process that may be killed at `point`.

    `number` makes it another run and changes no row: there is one candidate only.
    """
    selection = {"tolerance": 0.01 + 0.001 * number}
    settings = settings_of(lake, publishing={"root": str(root)}, seed=seed, selection=selection)
    config = write_settings(lake, settings, f"{root.name}.yaml")
    words = [*arguments("run-all", config, overlay, sets=LIGHT), "--revise"]
    return ended([sys.executable, KILLED, point, str(root), *words], lake).returncode


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_case_01_and_02_killed_anywhere_readers_see_a_whole_run_and_a_retry_makes_it_once(
    lake: Path, overlay: Path, seed: int
) -> None:
    root = lake / f"published{seed}"
    assert run(lake, root, overlay, seed, 0) == 0
    former, expected = shown(root)
    for number, point in enumerate(POINTS, 1):
        assert run(lake, root, overlay, seed, number, point) == -signal.SIGKILL
        committed = POINTS.index(point) >= POINTS.index("after_commit")
        left, rows = shown(root)
        assert (left != former) is committed, point
        assert rows == expected, point
        assert run(lake, root, overlay, seed, number) == 0
        former, rows = shown(root)
        assert rows == expected, point
        assert left == former or not committed
        assert [r["run_id"] for r in published(root, "runs")].count(former) == 1
