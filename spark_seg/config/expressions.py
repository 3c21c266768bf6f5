"""Mapping expressions: parsed, held to an allow-list, and written out again.

A configuration is data. Spark SQL can run static Java methods (`reflect`) and read files, so no
text of a configuration reaches Spark as it came: only nodes and functions named here survive, and
what Spark gets is the text that the parser writes from the checked tree.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import pairwise

import sqlglot
from sqlglot import TokenType
from sqlglot import expressions as sql
from sqlglot.errors import SqlglotError

from spark_seg.errors import suggestion

IDENTIFIER = re.compile(r"\A[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
MAX_LENGTH = 1_000
_TOO_DEEP = "must be nested less deeply"

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

#: Arguments that functions of this list have elsewhere, and that Spark's do not have.
_OF_OTHER_DIALECTS = ("binary", "collation", "encoding", "to", "truncate")

#: Operators that Spark stops at when a number becomes too large, and what answers NULL instead.
_TRIED: dict[type[sql.Expr], str] = {
    sql.Add: "try_add",
    sql.Sub: "try_subtract",
    sql.Mul: "try_multiply",
}
_NUMERIC = (sql.Add, sql.Sub, sql.Mul, sql.Mod, sql.Neg, sql.Abs, sql.Ceil, sql.Floor, sql.Round)
#: These take numbers or text: with a number among their parts, text becomes a number.
_MIXING = (sql.EQ, sql.NEQ, sql.GT, sql.GTE, sql.LT, sql.LTE, sql.Between, sql.In, sql.Coalesce, sql.If,
           sql.Case, sql.Greatest, sql.Least, sql.Nullif)  # fmt: skip

#: What a mapping may cast to. Spark's `try_cast` answers NULL where a value does not fit.
_TYPES = {"STRING", "TEXT", "VARCHAR", "INT", "BIGINT", "DOUBLE", "DECIMAL", "DATE", "BOOLEAN",
          "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMPNTZ"}  # fmt: skip


def checked_sql(text: str) -> str:
    """The Spark SQL of a mapping expression, rebuilt from its checked syntax tree.

    Raises `ValueError` with one sentence that says what is not allowed.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"must be at most {MAX_LENGTH} characters; got {len(text)}")
    tree = _checked(text)
    written = _written(tree)
    # What Spark gets is read once more: nothing may appear or vanish on the way there.
    try:
        again = _checked(written)
        faithful = _written(again) == written and _columns(again) == _columns(tree)
    except ValueError:
        faithful = False
    if not faithful:
        raise ValueError("must be plain Spark SQL; a function in it has arguments that it does not take")
    return written


def spark_sql(text: str) -> str:
    """`checked_sql` with sums and products that answer NULL, instead of stopping a run, on overflow."""

    tree = _parse(checked_sql(text))
    for node in reversed(list(tree.walk(bfs=True))):  # leaves first: operands are guarded already
        if (name := _TRIED.get(type(node))) is not None:
            guarded = sql.Anonymous(this=name, expressions=[node.this.copy(), node.expression.copy()])
            if node is tree:
                tree = guarded
            else:
                node.replace(guarded)
    return _written(tree)


def text_operands(text: str, text_columns: Collection[str]) -> set[str]:
    """Those of `text_columns` that the expression computes or compares numbers with.

    Spark would turn each value into a number by itself, and stop the run at the first that is none.
    """
    known = {name.lower() for name in text_columns}
    found = set()
    for column in _parse(text).find_all(sql.Column):
        if column.name.lower() not in known:
            continue
        parent = column.parent
        while isinstance(parent, sql.Paren):
            parent = parent.parent
        among_numbers = isinstance(parent, _MIXING) and any(
            isinstance(part, sql.Literal) and not part.is_string for part in parent.iter_expressions()
        )
        if isinstance(parent, _NUMERIC) or among_numbers:
            found.add(column.name)
    return found


def reads_clock(text: str) -> bool:
    """Is this a word that Spark takes for a time of its own when it becomes a date or a timestamp?"""
    return text.strip().lower().split(" ")[0] in {"now", "today", "yesterday", "tomorrow"}


def referenced_columns(text: str) -> set[str]:
    """Names of the source columns that a mapping expression reads."""
    return _columns(_parse(text))


def _columns(tree: sql.Expr) -> set[str]:
    return {column.name for column in tree.find_all(sql.Column)}


def _checked(text: str) -> sql.Expr:
    tree = _parse(text)
    for node in tree.walk():
        _check(node)
        if isinstance(node, sql.TryCast):
            node.set("safe", True)  # `cast(…)` too: one bad value must not stop a run
    return tree


def _written(tree: sql.Expr) -> str:
    try:
        return tree.sql(dialect="spark", comments=False)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def _parse(text: str) -> sql.Expr:
    try:
        _check_tokens(text)
        trees = sqlglot.parse(text, dialect="spark")
    except SqlglotError:
        raise ValueError("must be one SQL expression; this cannot be parsed") from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if len(trees) != 1 or trees[0] is None:
        raise ValueError("must be one SQL expression; got none")
    return trees[0]


def _check_tokens(text: str) -> None:
    """What the parser would pass over or read otherwise than Spark does."""
    tokens = sqlglot.tokenize(text, dialect="spark")
    if any(token.token_type == TokenType.SEMICOLON for token in tokens):
        raise ValueError("must be one SQL expression; a semicolon is not allowed")
    if any(token.comments for token in tokens):
        raise ValueError("a comment is not allowed in a mapping expression; write it beside it")
    kinds = [token.token_type for token in tokens]
    if any(pair == (TokenType.STRING, TokenType.STRING) for pair in pairwise(kinds)):
        raise ValueError("a quote inside a text is written \\'; two texts are joined by ||")


def _check(node: sql.Expr) -> None:
    if isinstance(node, sql.Identifier):
        if not IDENTIFIER.match(node.name):
            raise ValueError("a column name must be letters, digits and _ (no dots or spaces)")
    elif isinstance(node, sql.Column):
        if node.table:
            raise ValueError(f"column '{node.name}' must stand without a table or a struct before it")
    elif isinstance(node, (sql.Cast, sql.DataType)):
        _check_cast(node)
    elif isinstance(node, sql.In) and not node.expressions and node.args.get("query") is None:
        raise ValueError("`in` needs a list of values in parentheses")
    elif isinstance(node, (sql.Div, sql.IntDiv)):
        raise ValueError("a division stops the run at the first zero; multiply by a constant instead")
    elif isinstance(node, sql.Mod) and not _is_nonzero(node.expression):
        raise ValueError("a remainder stops the run at the first zero; divide by a constant instead")
    elif isinstance(node, sql.Func) and any(node.args.get(name) is not None for name in _OF_OTHER_DIALECTS):
        raise ValueError(f"function '{node.sql_name().lower()}' takes fewer arguments")
    elif not isinstance(node, (*_OPERATORS, *ALLOWED_FUNCTIONS.values())):
        if isinstance(node, sql.Func):
            name = (node.name if node.key == "anonymous" else node.sql_name()).lower()
            raise ValueError(f"function '{name}' is not allowed; {suggestion(name, ALLOWED_FUNCTIONS)}")
        raise ValueError(f"'{node.key}' is not allowed in a mapping expression")


def _is_nonzero(node: sql.Expr) -> bool:
    return isinstance(node, sql.Literal) and not node.is_string and float(node.name) != 0


def _check_cast(node: sql.Expr) -> None:
    if isinstance(node, sql.DataType):
        if node.args.get("collate") is not None:
            raise ValueError("a collation is not allowed in a mapping expression")
        if node.this.name not in _TYPES:
            raise ValueError(f"type {node.this.name} is not allowed; known: {', '.join(sorted(_TYPES))}")
    elif not isinstance(node, sql.TryCast):
        raise ValueError("a typed literal is not allowed; write try_cast('…' as date)")
    elif isinstance(node.this, sql.Literal) and reads_clock(node.this.name):
        raise ValueError(f"'{node.this.name}' reads the clock; a run knows no day but its as_of")
    elif any(value for name, value in node.args.items() if name not in ("this", "to", "safe")):
        raise ValueError("a cast has a value and a type, nothing else: try_cast(a as date)")
