"""What tables promise: judged table by table before a run, and row by row in it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_seg.config import Contract
from spark_seg.config.contract import RowBounds
from spark_seg.sources.columns import missing_columns


def breaches(contract: Contract) -> list[str]:
    """Every reason for which a row of the table may be rejected by its contract."""
    return [f"null_{role}" for role in contract.required] + [
        f"{role}_not_allowed" for role in contract.allowed
    ]


def breach(contract: Contract, columns: Collection[str]) -> Column:
    """The first of `breaches` that a canonical row commits, or NULL. `columns`: those of its `Spec`."""

    def value(role: str) -> Column:
        return F.col(role) if role in columns else F.col("attributes")[role]

    broken = [value(role).isNull() for role in contract.required]
    broken += [~value(role).cast("string").isin(*values) for role, values in contract.allowed.items()]
    committed = [F.when(b, reason) for b, reason in zip(broken, breaches(contract), strict=True)]
    return F.coalesce(*committed, F.lit(None).cast("string"))


def wrong_columns(
    where: str, label: str, contract: Contract, frame: DataFrame, unmapped: Collection[str]
) -> list[str]:
    """Sentences about columns that are not there, of another type, or not declared."""
    known = {field.name.lower(): field.dataType.simpleString() for field in frame.schema}
    problems = []
    for column, wanted in contract.types.items():
        problems += missing_columns(f"{where}.contract.types.{column}", label, [column], frame)
        found = known.get(column.lower(), wanted)
        if found != wanted and not (wanted == "decimal" and found.startswith("decimal(")):
            problems.append(
                f"{where}.contract.types.{column}: must be {wanted} in {label}; got {found}. "
                "Ask who fills the table, or declare the new type"
            )
    if unmapped and contract.extra_columns == "refuse":
        problems.append(
            f"{where}.contract.extra_columns: {label} must have no columns but those that are mapped; got "
            f"{', '.join(unmapped)}. Map them, leave them out in a view, or set extra_columns: report"
        )
    return problems


def wrong_number(where: str, label: str, bounds: RowBounds, rows: int, before: int | None) -> list[str]:
    """Sentences about too few or too many rows. `before`: those that the last run saw."""
    problems = []
    if bounds.at_least is not None and rows < bounds.at_least:
        problems.append(
            f"{where}.contract.rows.at_least: {label} must have at least {bounds.at_least:,} rows; got "
            f"{rows:,}. Check the job that fills it"
        )
    if before is None:
        return problems
    for name, bound, part in (
        ("max_loss", bounds.max_loss, before - rows),
        ("max_growth", bounds.max_growth, rows - before),
    ):
        if bound is not None and part > bound * before:
            change = "lost" if name == "max_loss" else "gained"
            problems.append(
                f"{where}.contract.rows.{name}: {label} may have {change} at most {bound:.1%} of the "
                f"{before:,} rows of the last run; got {rows:,}. Check the job that fills it, or allow it "
                "once with --set"
            )
    return problems


def too_old(where: str, label: str, most_days: int, frame: DataFrame, time: str, as_of: date) -> list[str]:
    """A sentence when the newest canonical row before `as_of` is more than `most_days` days older."""
    day = F.to_date(time)
    # As text: a table may hold years that Python's dates do not have.
    newest = frame.where(day < F.lit(as_of)).agg(F.max(day).cast("string")).first()
    found = newest[0] if newest is not None else None
    if found is not None and found >= (as_of - timedelta(days=most_days)).isoformat():
        return []
    return [
        f"{where}.contract.max_age_days: {label} must have rows of the {most_days} days before {as_of}; the "
        f"newest is of {found or 'no day at all'}. Wait for the job that fills it, or check that job"
    ]
