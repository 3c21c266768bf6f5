"""A small shop with planted kinds of customers, written without a JVM, and what it published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from deltalake import DeltaTable, write_deltalake

AS_OF = "2025-01-01"
TABLES = ("runs", "candidates", "features", "assignments", "profiles", "rejects")

#: Group → (days before `as_of` of each order, amount of an order). Twelve customers in each group.
GROUPS: dict[str, tuple[tuple[int, ...], float]] = {
    "star": (tuple(range(2, 42, 4)), 90.0),
    "steady": ((12, 40, 70, 100, 130), 35.0),
    "fresh": ((9,), 20.0),
    "gone": ((260, 290), 60.0),
}
PER_GROUP = 12
#: Cheap, and still a real choice between k = 3 and k = 4.
FAST = ("clustering.algorithms=[kmeans]", "selection.k_min=3", "selection.k_max=4")

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Everything it said, with line breaks and columns taken out."""
        return " ".join(f"{self.out} {self.err}".split())


Cli = Callable[[list[str]], Ended]


def planted_orders(until: str = AS_OF) -> Rows:
    """One row per order: `customer, order_no, created, price`."""
    end = datetime.fromisoformat(until)
    return [
        {
            "customer": f"{group}{i:02d}",
            "order_no": f"{group}{i:02d}-{n}",
            "created": end - timedelta(days=day + i % 3, hours=-9),
            "price": amount + i,
        }
        for group, (days, amount) in GROUPS.items()
        for i in range(PER_GROUP)
        for n, day in enumerate(days)
    ]


def group_of(customer: str) -> str:
    """The planted group of a customer."""
    return customer.rstrip("0123456789")


def write_delta(path: Path, rows: Rows | pa.Table, mode: str = "overwrite") -> None:
    """A Delta table from rows."""
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
    write_deltalake(str(path), table, mode=mode)  # type: ignore[arg-type, call-overload]


def settings_of(folder: Path, **sections: Any) -> dict[str, Any]:
    """A configuration of the shop in `folder`, with whole sections replaced."""
    return {
        "pipeline": "shop",
        "sources": {
            "orders": {
                "path": str(folder / "orders"),
                "columns": {
                    "customer_id": "customer",
                    "order_id": "order_no",
                    "ordered_at": "created",
                    "amount": "price",
                },
            }
        },
        "privacy": {"raw_ids": True},
        "publishing": {"root": str(folder / "published")},
    } | sections


def write_settings(folder: Path, settings: Mapping[str, Any], name: str = "shop.yaml") -> Path:
    """The configuration as a file."""
    path = folder / name
    path.write_text(yaml.safe_dump(dict(settings), sort_keys=False), encoding="utf-8")
    return path


def arguments(job: str, *configs: Path, as_of: str = AS_OF, sets: Sequence[str] = FAST) -> list[str]:
    """Arguments of the command line."""
    files = [part for config in configs for part in ("--config", str(config))]
    return [job, *files, "--as-of", as_of, *(part for value in sets for part in ("--set", value))]


def published(root: Path, table: str) -> Rows:
    """All rows of a published table, staged ones included."""
    if not (root / table / "_delta_log").is_dir():
        return []
    return list(DeltaTable(str(root / table)).to_pyarrow_table().to_pylist())


def version_of(root: Path, table: str) -> int:
    """Version of a published table; -1 when there is none."""
    return DeltaTable(str(root / table)).version() if (root / table / "_delta_log").is_dir() else -1


def versions(root: Path) -> dict[str, int]:
    """Version of every published table."""
    return {table: version_of(root, table) for table in TABLES}


def segments(root: Path, as_of: str = AS_OF) -> dict[str, tuple[int, str]]:
    """Customer → segment of one committed snapshot."""
    runs = [r for r in published(root, "runs") if r["as_of"] == date.fromisoformat(as_of)]
    written = [r for r in runs if any(receipt["table"] == "assignments" for receipt in r["receipts"])]
    run_id = max(written, key=lambda r: r["revision"])["run_id"]
    return {
        row["customer_id"]: (row["segment_id"], row["segment_name"])
        for row in published(root, "assignments")
        if row["run_id"] == run_id
    }


def same_groups(found: Mapping[str, Any], truth: Callable[[str], str] = group_of) -> bool:
    """Do the segments divide the customers exactly as the groups do?"""
    pairs = {(truth(customer), segment) for customer, segment in found.items()}
    return len(pairs) == len({g for g, _ in pairs}) == len({s for _, s in pairs})
