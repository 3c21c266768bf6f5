"""A small valid configuration for tests that need one."""

from __future__ import annotations

from pathlib import Path

from spark_seg.config import Settings, load_settings

#: Environment variable with the key of pseudonyms, for this process and every worker below it.
KEY = "SPARK_SEG_TEST_KEY"


def settings_for(root: Path, **changes: object) -> Settings:
    """A small valid configuration: orders, events and customers as Delta folders under `root`."""
    base = root / "base.yaml"
    base.write_text(
        f"""
pipeline: shop
sources:
  orders:
    path: {root}/orders
    columns: {{customer_id: customer_id, order_id: order_id, line_id: line_id,
              ordered_at: ordered_at, amount: amount, category: category}}
privacy: {{raw_ids: true}}
publishing: {{root: {root}/published}}
""",
        encoding="utf-8",
    )
    return load_settings([base], [f"{key}={value}" for key, value in changes.items()])
