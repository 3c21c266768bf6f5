"""What happened in a run, for who reads nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spark_seg.report.blocks import Bullets, Text, Tile, Tiles
from spark_seg.report.facts import apart, everybody, min_group, rows_read, segments, unsegmented
from spark_seg.report.moves import migrations, stayed
from spark_seg.report.published import Published, Rows
from spark_seg.report.words import capital, count, few, foreign, known, listed, money, share, things

_ACTIONS = {
    "keep": "keep the model",
    "refit": "fit the model anew",
    "alert": "keep the model, and let a person look",
}
_CAUSES = {
    "behaviour": "by their behaviour",
    "model": "by the new model alone",
    "correction": "because data were corrected",
    "unknown": "for an unknown reason, because the former model cannot be asked",
}
_KINDS = {
    "new": "came new",
    "returned": "returned from the unsegmented",
    "lapsed": "have not enough data any more",
    "gone": "are not there any more",
}


def happened(published: Published) -> Iterator[Any]:
    """Alerts, the decision of the monitor, and the run in figures and sentences."""
    run = published.run
    rows, all_ = segments(published), everybody(published)
    customers = all_["customers"] if all_ is not None else sum(p["customers"] for p in rows)
    if published.alerts:
        yield Bullets(
            tuple(foreign(a["sentence"]) for a in published.alerts),
            tone="alert",
            title=f"{things(len(published.alerts), 'alert')}: a person should look",
        )
    yield from _decided(published)
    tiles = [Tile(count(customers), "customers"), Tile(count(len(rows)), "segments")]
    if all_ is not None and known(all_["revenue"]):
        tiles.append(Tile(money(all_["revenue"]), "revenue"))
    same = stayed(published)
    if same is not None:
        tiles.append(Tile(share(same), "stayed in their segment"))
    yield Tiles(tuple(tiles))
    verb = "is" if customers == 1 else "are"
    said = f"As of {run.as_of} {things(customers, 'customer')} {verb} in {things(len(rows), 'segment')}"
    algorithm, k = (
        run.algorithm or published.trained.algorithm,
        run.k if run.k is not None else published.trained.k,
    )
    said += f", by {foreign(algorithm)} with k={k}." if algorithm else "."
    outside = unsegmented(published)
    if outside:
        said += f" {count(outside)} more had not enough data to be in one."
    if published.trained.run_id != run.run_id:
        said += f" The model is that of {published.trained.as_of}; nothing was fitted anew."
    yield Text(said, tone="lead")
    yield Text(" ".join([*_read(published), *_moved(published)]))
    if not published.migrations:
        yield Text("There is no former run to compare with.")


def _decided(published: Published) -> Iterator[Any]:
    for row in published.decisions:
        action = _ACTIONS.get(row["action"], foreign(row["action"]))
        reasons = tuple(foreign(line) for line in (row["reasons"] or "").splitlines() if line.strip())
        age = (
            f" The model is {things(row['model_age_days'], 'day')} old."
            if known(row["model_age_days"])
            else ""
        )
        said = f"Decision of the monitor: {action}.{age}"
        yield Bullets(reasons, tone="quiet" if row["action"] == "keep" else "alert", title=said)


def _read(published: Published) -> Iterator[str]:
    run = published.run
    rejected = sum(n for _, _, n in run.rejects)
    total = sum(rows_read(published).values())
    if not total:
        yield "How many rows were read is not recorded with this run."
    else:
        out = "none of them was rejected"
        if rejected:
            out = f"{rejected:,} of them were rejected ({share(rejected / total)})"
        yield f"{things(total, 'row')} {'was' if total == 1 else 'were'} read; {out}."


def _moved(published: Published) -> Iterator[str]:
    """How many customers changed their segment since the former run, and why; nothing without one."""
    rows, smallest = migrations(published), min_group(published)
    if not rows:
        return
    sums = {kind: sum(m["customers"] for m in rows if m["kind"] == kind) for kind in ("moved", *_KINDS)}
    since = f"Since {rows[0]['against_as_of']}"
    if not sums["moved"]:
        yield f"{since} nobody moved to another segment."
    else:
        yield f"{since} {few(sums['moved'], smallest)} moved to another segment{_why(rows, smallest)}."
    others = [f"{few(sums[kind], smallest)} {said}" for kind, said in _KINDS.items() if sums[kind]]
    if others:
        yield f"{capital(listed(others))}."


def _why(rows: Rows, smallest: int) -> str:
    """The causes of moves, the commonest first; those of few customers together."""
    sums: dict[str, int] = {}
    for m in rows:
        if m["kind"] == "moved":
            sums[m["cause"]] = sums.get(m["cause"], 0) + m["customers"]
    shown, others = apart([{"cause": c, "customers": n} for c, n in sums.items()], smallest)
    parts = [(c["customers"], _CAUSES.get(c["cause"], foreign(c["cause"]))) for c in reversed(shown)]
    if others and parts:
        parts.append((others, "otherwise"))
    if len(parts) == 1:
        return f", all {parts[0][1]}"
    return f": {listed([f'{few(n, smallest)} {cause}' for n, cause in parts])}" if parts else ""
