"""Mapping expressions: parsed, held to an allow-list, and written out again.

A configuration is data. Spark SQL can run static Java methods (`reflect`) and read files, so no
text of a configuration reaches Spark as it came: only nodes and functions named here survive, and
what Spark gets is the text that the parser writes from the checked tree.
"""

from __future__ import annotations

import re

import sqlglot
from sqlglot import expressions as sql
from sqlglot.errors import SqlglotError

from spark_seg.errors import suggestion

IDENTIFIER = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")
MAX_LENGTH = 1_000

#: Functions that compute a value from their arguments and do nothing else.
ALLOWED_FUNCTIONS: dict[str, type[sql.Expr]] = {
    "abs": sql.Abs,
    "ceil": sql.Ceil,
    "coalesce": sql.Coalesce,
    "concat": sql.Concat,
    "concat_ws": sql.ConcatWs,
    "floor": sql.Floor,
    "greatest": sql.Greatest,
    "if": sql.If,
    "least": sql.Least,
    "length": sql.Length,
    "lower": sql.Lower,
    "nullif": sql.Nullif,
    "round": sql.Round,
    "substring": sql.Substring,
    "trim": sql.Trim,
    "try_cast": sql.TryCast,
    "upper": sql.Upper,
}

_OPERATORS: tuple[type[sql.Expr], ...] = (
    sql.Add, sql.Sub, sql.Mul, sql.Mod, sql.Neg, sql.Paren,
    sql.EQ, sql.NEQ, sql.GT, sql.GTE, sql.LT, sql.LTE, sql.Between, sql.In, sql.Is, sql.Like,
    sql.And, sql.Or, sql.Not, sql.Case, sql.DPipe,
    sql.Column, sql.Identifier, sql.Literal, sql.Null, sql.Boolean, sql.DataType, sql.DataTypeParam,
)  # fmt: skip

#: What a mapping may cast to. Spark's `try_cast` answers NULL where a value does not fit.
_TYPES = {"STRING", "TEXT", "VARCHAR", "INT", "BIGINT", "DOUBLE", "DECIMAL", "DATE", "BOOLEAN",
          "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMPNTZ"}  # fmt: skip


def checked_sql(text: str) -> str:
    """The Spark SQL of a mapping expression, rebuilt from its checked syntax tree.

    Raises `ValueError` with one sentence that says what is not allowed.
    """
    tree = _parse(text)
    for node in tree.walk():
        _check(node)
        if isinstance(node, sql.TryCast):
            node.set("safe", True)  # `cast(…)` too: one bad value must not stop a run
    return tree.sql(dialect="spark", comments=False)


def referenced_columns(text: str) -> set[str]:
    """Names of the source columns that a mapping expression reads."""
    return {column.name for column in _parse(text).find_all(sql.Column)}


def _parse(text: str) -> sql.Expr:
    if len(text) > MAX_LENGTH:
        raise ValueError(f"must be at most {MAX_LENGTH} characters; got {len(text)}")
    try:
        trees = sqlglot.parse(text, dialect="spark")
    except SqlglotError:
        raise ValueError("must be one SQL expression; this cannot be parsed") from None
    if len(trees) != 1 or trees[0] is None:
        raise ValueError(f"must be exactly one SQL expression; got {len(trees)}")
    return trees[0]


def _check(node: sql.Expr) -> None:
    if isinstance(node, sql.Identifier):
        if not IDENTIFIER.match(node.name):
            raise ValueError("a column name must be letters, digits and _ (no dots or spaces)")
    elif isinstance(node, sql.Column):
        if node.table:
            raise ValueError(f"column '{node.name}' must stand without a table or a struct before it")
    elif isinstance(node, sql.DataType):
        if node.this.name not in _TYPES:
            raise ValueError(f"type {node.this.name} is not allowed; known: {', '.join(sorted(_TYPES))}")
    elif isinstance(node, sql.Cast) and not isinstance(node, sql.TryCast):
        raise ValueError("a typed literal is not allowed; write try_cast('…' as date)")
    elif isinstance(node, (sql.Div, sql.IntDiv)):
        raise ValueError("a division stops the run at the first zero; multiply by a constant instead")
    elif not isinstance(node, (*_OPERATORS, *ALLOWED_FUNCTIONS.values())):
        if isinstance(node, sql.Func):
            name = (node.name if node.key == "anonymous" else node.sql_name()).lower()
            raise ValueError(f"function '{name}' is not allowed; {suggestion(name, ALLOWED_FUNCTIONS)}")
        raise ValueError(f"'{node.key}' is not allowed in a mapping expression")
