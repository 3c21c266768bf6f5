"""A small shop from a process start: 50,000 orders to published segments, and where the seconds go.

`plain`: what one would write by hand on the same session settings: RFM, three algorithms × k fitted,
transformed and evaluated one after the other, the best silhouette written to Delta.
"""

from __future__ import annotations

import shutil
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml
from comparison import Comparison, against
from deltalake import write_deltalake
from process import by_room, seconds

AS_OF = datetime(2025, 1, 1)
K_MAX = 6


def start(orders: int = 50_000) -> list[Comparison]:
    folder = Path(tempfile.mkdtemp(prefix="spark_seg_bench_"))
    try:
        write_deltalake(str(folder / "orders"), orders_of(orders))
        config = folder / "shop.yaml"
        config.write_text(yaml.safe_dump(settings(folder)), encoding="utf-8")
        configs = ("--config", str(config), "--config", "conf/local.yaml")
        ours = seconds("jobs/run_all.py", *configs, "--as-of", AS_OF.date().isoformat())
        other = seconds("scripts/benchmarks/plain_loop.py", str(folder), str(K_MAX))
        return [against("start/plain", ours, other, "s"), *by_room("start", folder / "published", ours)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def orders_of(rows: int) -> pa.Table:
    """Orders of a tenth as many customers: a few buy often, most rarely, and many have stopped."""
    rng = np.random.default_rng(5)
    customers = rows // 10
    often = rng.pareto(1.2, customers) + 0.2
    who = rng.choice(customers, rows, p=often / often.sum())
    left = rng.choice([0, 1], customers, p=[0.6, 0.4]) * rng.uniform(0, 300, customers)
    age = left[who] + rng.exponential(90, rows) % (364 - left[who])
    amount = np.exp(rng.normal(3, 0.7, customers))[who] * rng.uniform(0.5, 1.5, rows)
    return pa.table(
        {
            "customer": [f"c{i}" for i in who],
            "order_no": [f"o{i}" for i in range(rows)],
            "created": pa.array(
                [AS_OF - timedelta(days=float(d) + 0.5) for d in age], type=pa.timestamp("us")
            ),
            "price": np.round(amount, 2),
        }
    )


def settings(folder: Path) -> dict[str, object]:
    columns = {"customer_id": "customer", "order_id": "order_no", "ordered_at": "created", "amount": "price"}
    return {
        "pipeline": "small_shop",
        "sources": {"orders": {"path": str(folder / "orders"), "columns": columns}},
        "selection": {"k_max": K_MAX, "rules": {"max_segment_share": 0.9, "min_stability": 0.0}},
        "privacy": {"raw_ids": True},
        "publishing": {"root": str(folder / "published")},
    }
