"""Rejected rows → a file that a person repairs → rows that the next run reads beside their table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Any

from pyspark.sql import functions as F

from spark_seg.config import Settings
from spark_seg.errors import InputError
from spark_seg.publishing import CommittedRun, Ledger, Store, current_run, suppressed, without
from spark_seg.tables import REJECTS, REPAIRS, local_frame

#: Rows that may be handed in at a time: more are repaired at their source.
MOST_ROWS = 100_000
_FIELDS = ("source", "source_table", "row")


def rejecting_run(ledger: Ledger, as_of: date) -> CommittedRun:
    """The run whose rejects count for `as_of`. Raises `InputError` when there is none."""
    run = current_run(ledger.runs(), REJECTS.name, as_of)
    if run is None:
        raise InputError(f"rejects: no row of {as_of} was rejected, or nothing is published for that day")
    return run


def rejected(store: Store, run: CommittedRun, reason: str | None = None) -> Iterator[str]:
    """A line of JSON for each rejected row of a run: source, source_table, reason and row."""
    rows = store.read_run(REJECTS.name, run.stamp)
    if reason is not None:
        rows = rows.where(F.col("reason") == F.lit(reason))
    for row in rows.orderBy("source", "source_table", "reason", "row").toLocalIterator():
        told = {name: row[name] for name in ("source", "source_table", "reason")}
        yield json.dumps(told | {"row": json.loads(row["row"])}, ensure_ascii=False)


def hand_in(store: Store, settings: Settings, run: CommittedRun, lines: Iterable[str]) -> int:
    """Append repaired rows, lines as `rejected` gives them, to the table `repairs`. Returns their number,
    without those of persons who were erased, which are left out.

    Raises `InputError` with what is wrong with each line; then nothing is written.
    """
    known = _mapped_columns(settings)
    given = [line for line in lines if line.strip()]
    if not 0 < len(given) <= MOST_ROWS:
        raise InputError(
            f"--rows: must have 1 to {MOST_ROWS:,} lines, one row each; got {len(given):,}. Repair more "
            "of them at the source"
        )
    now, problems, repaired = datetime.now(UTC), [], []
    for number, line in enumerate(given, start=1):
        row = _row(line)
        problem = _problem(row, known)
        if problem is not None:
            problems.append(f"--rows line {number}: {problem}")
        else:
            text = json.dumps(row["row"], ensure_ascii=False, sort_keys=True)
            repaired.append(
                (run.as_of, run.run_id, run.attempt_id, row["source"], row["source_table"], text, now)
            )
    if problems:
        raise InputError(problems[:50], title=f"{len(problems):,} of {len(given):,} rows cannot be read")
    frame = local_frame(store.spark, repaired, REPAIRS)
    # A file of before may hold rows of who was erased since.
    person = F.get_json_object("row", "$.customer_id").alias("customer_id")
    rows = without(frame.select("*", person), suppressed(store, settings.privacy.key_id)).drop("customer_id")
    taken = rows.count()
    if taken:
        store.append(rows.coalesce(1), REPAIRS, {"mergeSchema": "true"})
    return taken


def _mapped_columns(settings: Settings) -> dict[tuple[str, str], set[str]]:
    """(source, table) → the columns that its rows may have."""
    known: dict[tuple[str, str], set[str]] = {}
    for name, source in settings.sources.tables:
        kind = name.partition(".")[0]
        if kind in ("orders", "events", "customers"):
            known.setdefault((kind, source.label), set()).update(source.columns)
    return known


def _row(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _problem(row: dict[str, Any], known: dict[tuple[str, str], set[str]]) -> str | None:
    """Why a row cannot be taken; values are left out, which may be personal."""
    values = row.get("row")
    if not all(name in row for name in _FIELDS) or not isinstance(values, dict):
        return "must be an object of JSON with source, source_table and row, as `spark-seg rejects` writes it"
    place = (str(row["source"]), str(row["source_table"]))
    if place not in known:
        places = ", ".join(f"{source} of {table}" for source, table in known)
        return f"must be of a table of this configuration ({places}); got {place[0]} of {place[1]}"
    foreign = sorted(set(values) - known[place])
    if foreign:
        return f"row: unknown column {', '.join(foreign)}; known: {', '.join(sorted(known[place]))}"
    if any(isinstance(value, (dict, list)) for value in values.values()):
        return "row: values must be text, numbers, true, false or null"
    return None
