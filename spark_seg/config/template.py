"""Every setting as a commented YAML file, written from the model itself."""

from __future__ import annotations

import textwrap
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from spark_seg.config.contract import Contract, RowBounds
from spark_seg.config.mapping import (
    ColumnMapping,
    ConsentsSource,
    CustomersSource,
    EventsSource,
    Lookup,
    OrdersSource,
    RatesSource,
    SourcesSettings,
)
from spark_seg.config.model import PrivacySettings, PublishingSettings, Settings
from spark_seg.config.selection import PreparedFeature

_HEADER = """\
# Every setting of spark_seg, with its unit, its default and its effect.
#
# Settings that have a default are set to it; what a company must say itself (where its tables are)
# is commented out with an example. Copy what you change into a file of your own:
#   spark-seg run-all --config conf/mine.yaml --as-of 2025-01-01
# A configuration without this file means the same: these values are the defaults. Read it beside
# yours rather than merge it: a mapping of yours, such as preparation.features, replaces the default
# one, but is added to one of an earlier file.
# This file is written by `spark-seg config template`.
"""

_EXAMPLES = {
    "pipeline": "pipeline: shop",
    "sources": """\
sources:
  orders:
    table: shop.order_lines
    columns:
      customer_id: customer
      order_id: order_no
      line_id: line_no
      ordered_at: {column: created, format: dd/MM/yyyy}
      amount: {expression: "price * quantity"}
      category: department
    contract:
      types: {price: "decimal(10,2)"}
      max_age_days: 2
      rows: {at_least: 1000, max_loss: 0.01}
  events:
    - path: /lake/web/visits
      columns: {customer_id: user_id, occurred_at: ts, kind: {value: visit}}
  customers:
    path: /lake/crm/customers.csv
    format: csv
    columns: {customer_id: id, country: country}
  consents:
    - table: crm.consents
      columns: {customer_id: customer, purpose: purpose, granted: granted, decided_at: decided}""",
    "privacy": """\
privacy:
  key: env:SPARK_SEG_KEY
  key_id: first""",
    "publishing": """\
publishing:
  root: /lake/segments""",
}


def template() -> str:
    """The text of conf/base.yaml."""
    return _HEADER + "".join(_section(name, info, 0) for name, info in Settings.model_fields.items())


def _section(name: str, info: FieldInfo, depth: int) -> str:
    pad = "  " * depth
    model = _model_of(info)
    if depth == 0 and name in _EXAMPLES:
        return f"\n{_comment(_about(info, name), '')}{_fields_comment(name)}{_commented(_EXAMPLES[name])}"
    if name == "archetypes":
        return f"{pad}# {name}: see conf/archetypes.yaml\n"
    if model is not None:
        head = f"{'' if depth else chr(10)}{_comment(info.description or '', pad)}{pad}{name}:\n"
        return head + "".join(_section(n, i, depth + 1) for n, i in model.model_fields.items())
    extra = _fields_comment(name, pad) if name == "features" and depth else ""
    return f"{_comment(_about(info, name), pad)}{extra}{pad}{name}:{_value(info)}\n"


def _about(info: FieldInfo, name: str) -> str:
    if info.description:
        return info.description
    about = {
        "sources": "where rows come from",
        "privacy": "how customers are named in everything that is published",
        "publishing": "where results go",
    }
    return about.get(name, "")


def _model_of(info: FieldInfo) -> type[BaseModel] | None:
    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _value(info: FieldInfo) -> str:
    default = info.get_default(call_default_factory=True, validated_data={})
    plain: Any = _plain(default)
    if isinstance(plain, list) and plain and isinstance(plain[0], dict):
        rows = (yaml.safe_dump(one, default_flow_style=True, sort_keys=False, width=10_000) for one in plain)
        return "".join(f"\n    - {row.strip()}" for row in rows)
    text = yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, width=10_000).strip()
    return f" {text.removesuffix('...').strip()}"


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(mode="json"))
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def _comment(text: str, pad: str) -> str:
    return "".join(f"{pad}# {line}\n" for line in textwrap.wrap(text, 98 - len(pad)))


def _commented(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.splitlines())


def _fields_comment(name: str, pad: str = "") -> str:
    """What each key of a free-form part means."""
    parts: dict[str, tuple[type[BaseModel], ...]] = {
        "sources": (
            SourcesSettings,
            OrdersSource,
            EventsSource,
            CustomersSource,
            ConsentsSource,
            RatesSource,
            Lookup,
            ColumnMapping,
            Contract,
            RowBounds,
        ),
        "features": (PreparedFeature,),
        "privacy": (PrivacySettings,),
        "publishing": (PublishingSettings,),
    }
    lines = []
    for model in parts.get(name, ()):
        if model not in (PreparedFeature, PrivacySettings, PublishingSettings):
            about = " ".join((model.__doc__ or "").split())
            lines.append(f"{pad}# {model.__name__}: {about}\n")
        if model not in (EventsSource, CustomersSource, ConsentsSource, RatesSource):
            lines += [f"{pad}#   {n}: {i.description}\n" for n, i in model.model_fields.items()]
    return "".join(lines)
