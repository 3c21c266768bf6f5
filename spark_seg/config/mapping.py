"""Where rows come from: tables, lookups, and which column means what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from spark_seg.config.contract import Contract
from spark_seg.config.expressions import reads_clock, referenced_columns
from spark_seg.config.fields import Expression, Identifier, Model, PathText, TableName, TimeZone, identifier
from spark_seg.errors import suggestion


class TableRef(Model):
    """Where rows are read: a catalog name, or a path."""

    table: TableName | None = Field(None, description="catalog name: schema.table or catalog.schema.table")
    path: PathText | None = Field(None, description="folder of a table without a catalog name")
    format: Literal["delta", "parquet", "csv"] = Field("delta", description="format of what lies at `path`")
    options: dict[Literal["sep", "encoding", "quote", "escape", "nullValue", "multiLine"], str] = Field(
        default_factory=dict, description="how a CSV file is written; its first line must be the header"
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.table is None) == (self.path is None):
            raise ValueError("must have exactly one of `table` and `path`")
        if self.table is not None and self.format != "delta":
            raise ValueError("a catalog table is read as Delta; `format` belongs to `path`")
        if self.options and self.format != "csv":
            raise ValueError("`options` belong to the format csv")
        return self

    @property
    def label(self) -> str:
        """What messages and the ledger call this table."""
        return self.table or self.path or ""


class ColumnMapping(Model):
    """One canonical column: a source column, a checked expression over source columns, or a constant."""

    column: Identifier | None = Field(None, description="source column; its values are cast")
    expression: Expression | None = Field(
        None, description="SQL of allow-listed functions over source columns"
    )
    value: str | None = Field(None, description="the same constant on every row")
    format: str | None = Field(
        None, description="pattern of a date given as text, e.g. dd/MM/yyyy; default: ISO 8601"
    )
    time_zone: TimeZone | None = Field(
        None, description="zone of times that do not name theirs; default: the zone of the business"
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        return {"column": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if sum(x is not None for x in (self.column, self.expression, self.value)) != 1:
            raise ValueError("must have exactly one of `column`, `expression` and `value`")
        return self

    @property
    def reads(self) -> frozenset[str]:
        """Source columns this mapping needs."""
        if self.column is not None:
            return frozenset({self.column})
        return frozenset(referenced_columns(self.expression)) if self.expression is not None else frozenset()


class Lookup(TableRef):
    """A table that adds columns to a source, matched on a key that is unique in it."""

    key: tuple[Identifier, ...] = Field(description="columns with the same name on both sides", min_length=1)
    columns: tuple[Identifier, ...] = Field(description="columns to bring along", min_length=1)


#: Roles that are points in time.
TIME_ROLES = frozenset({"ordered_at", "occurred_at", "decided_at", "valid_from"})


def _check_roles(
    columns: Mapping[str, ColumnMapping], required: set[str], optional: set[str], contract: Contract
) -> None:
    problems = [
        f"unknown column role '{role}'; {suggestion(role, required | optional)}"
        for role in columns
        if role not in required | optional
    ]
    problems += [f"role '{role}' is required" for role in sorted(required - columns.keys())]
    problems += [
        f"role '{role}': '{mapping.value}' reads the clock; a run knows no day but its as_of"
        for role, mapping in columns.items()
        if role in TIME_ROLES and mapping.value is not None and reads_clock(mapping.value)
    ]
    problems += [
        f"role '{role}': `time_zone` belongs to a time"
        for role, mapping in columns.items()
        if mapping.time_zone is not None and role not in TIME_ROLES
    ]
    problems += [
        f"contract: '{role}' is not in columns; {suggestion(role, columns)}"
        for role in dict.fromkeys((*contract.required, *contract.allowed))
        if role not in columns
    ]
    problems += [
        f"contract.allowed: '{role}' is a time or an amount, which are not listed one by one"
        for role in contract.allowed
        if role in TIME_ROLES | {"amount"}
    ]
    if contract.max_age_days is not None and not TIME_ROLES & columns.keys():
        problems.append("contract.max_age_days needs a table whose rows have a time")
    if problems:
        raise ValueError("; ".join(problems))


class Source(TableRef):
    """A table whose columns are mapped to roles."""

    #: Roles that must be mapped, and those that may be.
    REQUIRED: ClassVar[tuple[str, ...]] = ()
    OPTIONAL: ClassVar[tuple[str, ...]] = ()

    lookups: tuple[Lookup, ...] = Field((), description="tables joined to bring more columns")
    columns: dict[str, ColumnMapping] = Field(description="canonical column → where it comes from")
    contract: Contract = Field(
        default_factory=Contract, description="what the table promises beyond that; see Contract"
    )

    @model_validator(mode="after")
    def _roles(self) -> Self:
        _check_roles(self.columns, set(self.REQUIRED), set(self.OPTIONAL), self.contract)
        return self


class OrdersSource(Source):
    """Purchase lines. Roles: customer_id, order_id, ordered_at, amount; optional line_id, category,
    currency, status."""

    REQUIRED = ("customer_id", "order_id", "ordered_at", "amount")
    OPTIONAL = ("line_id", "category", "currency", "status")


class EventsSource(Source):
    """Any other interaction. Roles: customer_id, occurred_at, kind; optional event_id, subject."""

    REQUIRED = ("customer_id", "occurred_at", "kind")
    OPTIONAL = ("event_id", "subject")


class CustomersSource(Source):
    """One row per customer. Role: customer_id; every other name becomes an attribute."""

    REQUIRED = ("customer_id",)

    @model_validator(mode="after")
    def _roles(self) -> Self:
        _check_roles(self.columns, set(self.REQUIRED), set(self.columns), self.contract)
        for role in self.columns:
            identifier(role)
        return self


class ConsentsSource(Source):
    """What customers agreed to. Roles: customer_id, purpose (profile, activate or experiment), granted
    (true or false); optional decided_at: the latest decision counts, and of equal ones a refusal. Without
    it, any refusal counts."""

    REQUIRED = ("customer_id", "purpose", "granted")
    OPTIONAL = ("decided_at",)


class RatesSource(Source):
    """Exchange rates into cleaning.currency. Roles: currency, rate (what one unit of it is worth); optional
    valid_from: day from which the rate holds until the next one of its currency."""

    REQUIRED = ("currency", "rate")
    OPTIONAL = ("valid_from",)


class SourcesSettings(Model):
    """Where rows are read."""

    orders: OrdersSource = Field(description="purchase lines (required)")
    events: tuple[EventsSource, ...] = Field((), description="other interactions, from any number of tables")
    customers: CustomersSource | None = Field(None, description="customer attributes")
    consents: tuple[ConsentsSource, ...] = Field(
        (),
        description="what customers agreed to. Given, nobody is used who has not granted `profile`, and "
        "assignments say who may be contacted (`activate`) or experimented with (`experiment`)",
    )
    rates: RatesSource | None = Field(None, description="exchange rates; null: one currency")

    @property
    def tables(self) -> list[tuple[str, Source]]:
        """Every source that is given, with its place in the configuration, orders first."""
        several = (("events", self.events), ("consents", self.consents))
        single = (("customers", self.customers), ("rates", self.rates))
        tables: list[tuple[str, Source]] = [("orders", self.orders)]
        tables += [(f"{name}.{i}", source) for name, sources in several for i, source in enumerate(sources)]
        return tables + [(name, source) for name, source in single if source is not None]
