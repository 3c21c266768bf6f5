"""For notebooks: DataFrames that are there → segments as DataFrames, and a report that displays itself."""

from __future__ import annotations

import atexit
import html
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, Literal

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession

from spark_seg.config import EventsSource, OrdersSource, PublishingSettings, Settings, Source, settings_of
from spark_seg.errors import ConfigError, suggestion
from spark_seg.periods import parse_as_of
from spark_seg.pipeline import known_run, make_plan, run_plan
from spark_seg.publishing import Ledger, Store, load_model, read_current
from spark_seg.report import page, published
from spark_seg.session import semantics
from spark_seg.tables import PUBLISHED

#: Tables of a segmentation, as they are called where runs publish.
Table = Literal["assignments", "profiles", "rules", "explanations", "candidates", "features", "rejects"]

_PIPELINE = "notebook"
#: Frames with roles of their own. That of customers has any.
_SOURCES: dict[str, type[Source]] = {"orders": OrdersSource, "events": EventsSource}
_FRAME_HEIGHT = 900


@dataclass(frozen=True)
class Segmentation:
    """Customers in segments, and everything that is known of how they came there.

    In a notebook it displays as the report. Tables are described in spark_seg/README.md; `assignments` has a
    row per customer (`customer_id, segment_id, segment_name, confidence, …`), `profiles` a row per segment,
    `candidates` a row per algorithm and k with its figures and its verdict.
    """

    run_id: str
    as_of: date
    _settings: Settings = field(repr=False)
    _store: Store = field(repr=False)

    @property
    def assignments(self) -> DataFrame:
        """Who is in which segment: a row per customer."""
        return self.table("assignments")

    @property
    def profiles(self) -> DataFrame:
        """What the segments are: a row per segment and division."""
        return self.table("profiles")

    @property
    def candidates(self) -> DataFrame:
        """Why it is these segments and not others: a row per algorithm and k."""
        return self.table("candidates")

    def table(self, name: Table) -> DataFrame:
        """Rows of one table of this run. Raises `SegmentationError` when there is no such table."""
        if name not in PUBLISHED:
            raise _no_table(name)
        return self._store.read_run(name, self._run.stamp)

    @cached_property
    def model(self) -> PipelineModel:
        """The fitted pipeline: `model.transform(features)` adds `vector` and `cluster`."""
        path, digest = self._run.model_path, self._run.model_digest
        return load_model(self._store.spark, path or "", digest)

    @cached_property
    def report(self) -> str:
        """The report as one HTML page that needs no network."""
        with semantics(self._store.spark):
            return page(published(self._store, self._settings, self.run_id))

    def _repr_html_(self) -> str:
        # A frame of its own: the page brings its styles and its policy, and a notebook has others.
        return (
            f'<iframe srcdoc="{html.escape(self.report)}" sandbox="allow-scripts" '
            f'style="width:100%;height:{_FRAME_HEIGHT}px;border:0" title="Segments of {self.as_of}"></iframe>'
        )

    @cached_property
    def _run(self) -> Any:
        return known_run(Ledger(self._store, _PIPELINE).runs(), self.run_id, "RUN")


def segment_customers(
    orders: DataFrame,
    as_of: str | date,
    *,
    events: DataFrame | None = None,
    customers: DataFrame | None = None,
    columns: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    folder: str | None = None,
) -> Segmentation:
    """Segments of the customers who ordered in the year before `as_of` (its exclusive right edge).

    `orders`: a row per order or order line, with `customer_id, order_id, ordered_at, amount`, and where there
    are any `line_id, category, currency, status`. `events`: other interactions, with `customer_id,
    occurred_at, kind`, and `event_id, subject` where there are any; `settings` must then name the kinds
    (`{"features": {"engagement": {"kinds": {"visit": 1}}}}`). `customers`: `customer_id` and attributes, by
    which nobody is clustered. `columns`: role → column, where a frame calls it otherwise
    (`{"customer_id": "household"}`). `settings`: any section of the configuration, see conf/README.md.
    `folder`: where the columns that are read, and the results, are kept as Delta tables; default: a folder
    of this machine that goes when the process ends, which only a Spark in local mode can read.

    Published under the ids that `orders` has. Raises `SegmentationError`: with problems in sentences, when a
    column, a setting or the data are not as they must be, or when no candidate is acceptable.
    """
    spark = orders.sparkSession
    day = parse_as_of(as_of if isinstance(as_of, str) else as_of.isoformat())
    place = folder.rstrip("/") if folder is not None else _own_folder(spark)
    frames = {"orders": orders, "events": events, "customers": customers}
    given = {name: frame for name, frame in frames.items() if frame is not None}
    mapped = {name: _mapped(name, frame, columns or {}) for name, frame in given.items()}
    _check_names(columns or {}, mapped)
    sources: dict[str, Any] = {
        name: {"path": f"{place}/given/{name}", "columns": {role: role for role in mapped[name]}}
        for name in given
    }
    if "events" in sources:
        sources["events"] = [sources["events"]]
    checked = settings_of(
        {
            "pipeline": _PIPELINE,
            "sources": sources,
            "privacy": {"raw_ids": True},
            "publishing": {"root": f"{place}/published"},
        },
        settings or {},
    )
    with semantics(spark):
        for name, frame in given.items():
            roles = mapped[name]
            rows = frame.select(*(frame[column].alias(role) for role, column in roles.items()))
            rows.write.format("delta").mode("overwrite").option("overwriteSchema", True).save(
                f"{place}/given/{name}"
            )
        plan = make_plan(spark, checked, "run_all", day, revise=True)
        outcome = run_plan(plan)
    return Segmentation(outcome.run_id, day, checked, plan.store)


def read_published(
    spark: SparkSession, place: str, table: str, pipeline: str, as_of: str | date | None = None
) -> DataFrame:
    """Rows of a published table that count.

    `place`: `publishing.root` or `publishing.database` of the configuration that publishes. `pipeline`: its
    name. `as_of`: the day; default: the last one published. Raises `SegmentationError` when the table is not
    among the published ones, or when no run of that day has published it.
    """
    if table not in PUBLISHED:
        raise _no_table(table)
    day = parse_as_of(as_of) if isinstance(as_of, str) else as_of
    is_folder = "/" in place or ":" in place
    where = PublishingSettings(**({"root": place} if is_folder else {"database": place, "models": "/none"}))
    rows = read_current(Ledger(Store(spark, where), pipeline), table, day)
    if rows is None:
        raise ConfigError(
            f"{table}: must be published by pipeline {pipeline!r} in {place}"
            f"{f' for {day}' if day else ''}; got no such run. spark-seg show runs lists those that are there"
        )
    return rows


def _no_table(name: str) -> ConfigError:
    return ConfigError(f"table: must be a published table; got {name!r}; {suggestion(name, PUBLISHED)}")


def _mapped(source: str, frame: DataFrame, columns: Mapping[str, str]) -> dict[str, str]:
    """Role → column of a frame: those that it must have, and of the others those that it has."""
    if source == "customers":
        key = columns.get("customer_id", "customer_id")
        return {"customer_id": key} | {name: name for name in frame.columns if name != key}
    roles = _SOURCES[source]
    known = {role: columns.get(role, role) for role in (*roles.REQUIRED, *roles.OPTIONAL)}
    missing = [role for role in roles.REQUIRED if known[role] not in frame.columns]
    if missing:
        raise ConfigError(
            [
                f"{source}: must have a column for {role}; got {', '.join(frame.columns)}. Name it: "
                f"columns={{{role!r}: '…'}}"
                for role in missing
            ]
        )
    return {role: column for role, column in known.items() if column in frame.columns}


def _check_names(columns: Mapping[str, str], mapped: Mapping[str, Mapping[str, str]]) -> None:
    used = {(role, column) for roles in mapped.values() for role, column in roles.items()}
    known = {role for source in _SOURCES.values() for role in (*source.REQUIRED, *source.OPTIONAL)}
    problems = [
        f"columns: {role!r} is no role; {suggestion(role, known)}"
        if role not in known
        else f"columns: no frame has the column {column!r}, named for {role}"
        for role, column in columns.items()
        if (role, column) not in used
    ]
    if problems:
        raise ConfigError(problems)


def _own_folder(spark: SparkSession) -> str:
    """A folder of this machine, which goes when the process ends."""
    master = spark.conf.get("spark.master", "") or ""
    remote = type(spark).__module__.startswith("pyspark.sql.connect")
    if remote or not master.startswith("local"):
        raise ConfigError(
            "folder: must be given where Spark works on other machines; name one that driver and workers can "
            "read and write, e.g. folder='s3a://lake/segments/notebook' or '/Volumes/main/segments/notebook'"
        )
    made = tempfile.mkdtemp(prefix="spark_seg-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made
