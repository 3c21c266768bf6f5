"""Draws the README's picture, .github/demo.svg, from the demo's published tables (no JVM).

Usage: python scripts/picture.py .demo/published .github/demo.svg
"""

from __future__ import annotations

import re
import sys
from io import StringIO
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from rich.console import Console

from spark_seg.report import print_outcome


def main(root: Path, target: Path) -> None:
    def rows(table: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = DeltaTable(str(root / table)).to_pyarrow_table().to_pylist()
        return found

    run = max(rows("runs"), key=lambda r: (r["as_of"], r["revision"]))
    console = Console(record=True, width=140, file=StringIO(), highlight=False)
    console.print(
        f"$ scripts/demo\n… as of {run['as_of']}, {dict(run['metrics'])['eligible']:,.0f} households"
    )
    current = {t: [r for r in rows(t) if r["run_id"] == run["run_id"]] for t in ("profiles", "candidates")}
    print_outcome(console, current["profiles"], current["candidates"], run["structure"])
    svg = console.export_svg(title="spark_seg")
    # The stock picture loads its typeface from the network; the reader's monospace does as well.
    target.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
