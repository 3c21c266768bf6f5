"""Mapping expressions: what is let through, in which words, and what is not."""

from __future__ import annotations

import re

import pytest
import sqlglot
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlglot import expressions as sql

from spark_seg.config import ALLOWED_FUNCTIONS, checked_sql, referenced_columns
from spark_seg.config.expressions import spark_sql, text_operands

ACCEPTED = {
    "price": "price",
    "`price`": "`price`",
    "abs(a)": "ABS(a)",
    "ceil(a)": "CEIL(a)",
    "coalesce(a, b, 'unknown')": "COALESCE(a, b, 'unknown')",
    "nvl(a, b)": "COALESCE(a, b)",
    "concat(a, '-', b)": "CONCAT(a, '-', b)",
    "concat_ws('-', a, b)": "CONCAT_WS('-', a, b)",
    "floor(a)": "FLOOR(a)",
    "greatest(a, b)": "GREATEST(a, b)",
    "if(a > 1, b, c)": "IF(a > 1, b, c)",
    "least(a, b)": "LEAST(a, b)",
    "length(a)": "LENGTH(a)",
    "lower(a)": "LOWER(a)",
    "nullif(a, '')": "NULLIF(a, '')",
    "round(a, 2)": "ROUND(a, 2)",
    "substring(a, 1, 3)": "SUBSTRING(a, 1, 3)",
    "trim(a)": "TRIM(a)",
    "try_cast(a as date)": "TRY_CAST(a AS DATE)",
    "upper(a)": "UPPER(a)",
    # A plain cast stops a run at the first bad value: it becomes a try_cast.
    "cast(a as int)": "TRY_CAST(a AS INT)",
    "a::bigint": "TRY_CAST(a AS BIGINT)",
    "cast(a as decimal(10, 2))": "TRY_CAST(a AS DECIMAL(10, 2))",
    "cast(a as timestamp_ntz)": "TRY_CAST(a AS TIMESTAMP_NTZ)",
    "price * quantity - discount": "price * quantity - discount",
    "-a % 7": "-a % 7",
    "(a + b) * 0.19": "(a + b) * 0.19",
    "a || '/' || b": "a || '/' || b",
    "case when a = 1 then 'x' else b end": "CASE WHEN a = 1 THEN 'x' ELSE b END",
    "a <> 1 and not b or c is null": "a <> 1 AND NOT b OR c IS NULL",
    "a != b": "a <> b",
    "a in (1, 2)": "a IN (1, 2)",
    "a between 1 and 2": "a BETWEEN 1 AND 2",
    "a like 'x%'": "a LIKE 'x%'",
    "true": "TRUE",
    "null": "NULL",
    r"'it\'s'": r"'it\'s'",
    "'; drop table orders --'": "'; drop table orders --'",
}

#: Each is refused; those with words are refused with them.
REFUSED = {
    "reflect('java.lang.System', 'getenv', 'HOME')": "function 'reflect' is not allowed",
    "java_method('java.lang.System', 'exit', 0)": "function 'java_method' is not allowed",
    "try_reflect('java.lang.System', 'getenv', 'HOME')": "function 'try_reflect' is not allowed",
    "REFLECT('a', 'b')": "function 'reflect' is not allowed",
    "`reflect`('a', 'b')": "function 'reflect' is not allowed",
    "system.builtin.reflect('a', 'b')": "",
    "coalesce(a, reflect('a', 'b'))": "function 'reflect' is not allowed",
    "case when a then reflect('a', 'b') end": "function 'reflect' is not allowed",
    "a in (reflect('a', 'b'))": "function 'reflect' is not allowed",
    "try_cast(reflect('a', 'b') as string)": "function 'reflect' is not allowed",
    "(select max(x) from secrets)": "'subquery' is not allowed",
    "a in (select x from secrets)": "'subquery' is not allowed",
    "exists (select 1 from secrets)": "",
    "select a": "'select' is not allowed",
    "a from b": "cannot be parsed",
    "from secrets": "",
    "table secrets": "",
    "values (1)": "",
    "csv.`/etc/passwd`": "must stand without a table",
    "sum(a)": "function 'sum' is not allowed",
    "count(*)": "function 'count' is not allowed; did you mean 'concat'?",
    "sum(a) over (partition by b)": "'window' is not allowed",
    "row_number() over (order by a)": "",
    "trim(a) filter (where b)": "",
    "coalesce(distinct a)": "",
    "cast(a as array<int>)": "type ARRAY is not allowed",
    "cast(a as struct<x: int>)": "type STRUCT is not allowed",
    "cast(a as map<string, int>)": "type MAP is not allowed",
    "cast(a as binary)": "type BINARY is not allowed",
    "cast(a as interval)": "type INTERVAL is not allowed",
    "cast(a as variant)": "type VARIANT is not allowed",
    "cast(a as float)": "type FLOAT is not allowed",
    "cast(a as no_such_type)": "cannot be parsed",
    "cast(a as string collate utf8_lcase)": "a collation is not allowed",
    "try_cast(a as int default 1)": "a cast has a value and a type, nothing else",
    "cast(a as date format 'dd')": "",
    "date '2025-01-01'": "write try_cast('…' as date)",
    "a -- the price": "a comment is not allowed",
    "a /* the price */": "a comment is not allowed",
    "/* the price */": "got none",
    "-- the price": "got none",
    "a; b": "a semicolon is not allowed",
    "a;": "a semicolon is not allowed",
    "": "got none",
    "   ": "got none",
    "`a b`": "a column name must be letters, digits and _",
    "`a.b`": "a column name must be letters, digits and _",
    "`a``b`": "",
    "‘a’": "a column name must be letters",
    "“a”": "a column name must be letters",
    "аmount": "a column name must be letters",  # a Cyrillic a
    "\u202ea": "a column name must be letters",
    "a\x00": "a column name must be letters",
    "'a''b'": "a quote inside a text is written \\'",
    "'a' 'b'": "two texts are joined by ||",
    "a" + " + a" * 500: "must be at most 1000 characters; got 2001",
    "'" + "x" * 1998 + "'": "must be at most 1000 characters; got 2000",
    "(" * 499 + "a" + ")" * 499: "must be nested less deeply",
    "not " * 240 + "a": "must be nested less deeply",
    "input_file_name()": "function 'input_file_name' is not allowed",
    "current_date": "function 'current_date' is not allowed",
    "current_date()": "function 'current_date' is not allowed",
    "current_timestamp": "",
    "now()": "function 'now' is not allowed",
    "rand()": "function 'rand' is not allowed; did you mean 'round'?",
    "uuid()": "",
    "current_user": "",
    "version()": "",
    "transform(a, x -> x + 1)": "function 'transform' is not allowed",
    "x -> x": "",
    "a.b": "column 'b' must stand without a table or a struct before it",
    "a.b.c": "",
    "(a).b": "",
    "a[0]": "",
    "a:b": "",
    "a / b": "a division stops the run at the first zero",
    "a div b": "a division stops the run at the first zero",
    "a % b": "a remainder stops the run at the first zero",
    "mod(a, b)": "a remainder stops the run at the first zero",
    "a % 0": "a remainder stops the run at the first zero",
    "a % '7'": "a remainder stops the run at the first zero",
    "?": "'placeholder' is not allowed",
    ":name": "'placeholder' is not allowed",
    "{{ name }}": "",
    "${name}": "",
    "@name": "",
    "a as b": "'alias' is not allowed",
    "a, b": "cannot be parsed",
    "*": "'star' is not allowed",
    "concat(*)": "'star' is not allowed",
    "interval 1 day": "'interval' is not allowed",
    "a rlike '(x+)+y'": "",
    "regexp_replace(a, 'x', 'y')": "",
    "array(1, 2)": "",
    "explode(a)": "",
    "struct(a)": "",
    "a & b": "",
    "a <=> b": "",
    "x'ff'": "",
    "r'raw'": "",
    "ceiling(a, b, c)": "function 'ceil' takes fewer arguments",
    "length(a, b)": "function 'length' takes fewer arguments",
    "round(a, b, c)": "function 'round' takes fewer arguments",
    "a in b": "`in` needs a list of values in parentheses",
    "a in ()": "`in` needs a list of values in parentheses",
    "'unterminated": "cannot be parsed",
    "a b c": "cannot be parsed",
    "drop table orders": "",
    "ai_query('model', a)": "function 'ai_query' is not allowed",
    "read_files('/etc/passwd')": "function 'read_files' is not allowed",
    "try_cats(a)": "did you mean 'try_cast'?",
}


@pytest.mark.parametrize(("text", "expected"), ACCEPTED.items())
def test_what_is_allowed_is_written_out_again(text: str, expected: str) -> None:
    assert checked_sql(text) == expected


@pytest.mark.parametrize("name", ALLOWED_FUNCTIONS)
def test_every_allowed_function_is_in_the_table_of_accepted_texts(name: str) -> None:
    assert any(re.search(rf"\b{name}\(", text) for text in ACCEPTED)


@pytest.mark.parametrize(("text", "words"), REFUSED.items(), ids=[t[:40] for t in REFUSED])
def test_everything_else_is_refused_in_one_sentence(text: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        checked_sql(text)
    sentence = str(caught.value)
    assert words in sentence
    assert sentence
    assert "\n" not in sentence


def test_columns_that_an_expression_reads_are_known() -> None:
    text = "case when a = 'b' then c else coalesce(`d`, try_cast(e as date)) end"
    assert referenced_columns(text) == {"a", "c", "d", "e"}


# ---------------------------------------------------------------- properties

#: Names of functions in the text that Spark gets. Aliases that the parser writes for TRIM's sides,
#: and words before a parenthesis that are operators.
SPARK_NAMES = {*ALLOWED_FUNCTIONS, "ltrim", "rtrim", "in", "and", "or", "not", "when", "then", "else", "as",
               "between", "like", "is", "from", "case", "decimal", "leading", "trailing", "both"}  # fmt: skip

_names = st.sampled_from(
    [*ALLOWED_FUNCTIONS, "reflect", "java_method", "sum", "current_date", "transform", "read_files", "now",
     "nvl", "ltrim", "rtrim", "mod", "ifnull", "len", "char_length", "substr", "like", "ceiling", "any_value"]
)  # fmt: skip
_leaves = st.sampled_from(
    ["a", "b", "`c`", "1", "2.5", "'x'", "NULL", "TRUE", "*", "a.b", "'; --'", r"'\''", "?"]
)
_types = st.sampled_from(["int", "date", "string", "decimal(10,2)", "binary", "array<int>", "timestamp", "x"])


def _compound(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(
        ["+", "-", "*", "/", "%", "||", "=", "<>", "<", "and", "or", "like", "<=>", "&"]
    )
    return st.one_of(
        st.builds(
            lambda name, args: f"{name}({', '.join(args)})", _names, st.lists(parts, min_size=0, max_size=3)
        ),
        st.builds(lambda a, o, b: f"({a} {o} {b})", parts, operators, parts),
        st.builds(lambda a, t: f"cast({a} as {t})", parts, _types),
        st.builds(lambda a, t: f"{a}::{t}", parts, _types),
        st.builds(lambda a, b, c: f"case when {a} then {b} else {c} end", parts, parts, parts),
        st.builds(lambda a, b: f"{a} in ({b}, 1)", parts, parts),
        st.builds(lambda a: f"(select {a})", parts),
        st.builds(lambda a: f"{a} over ()", parts),
        st.builds(lambda a: f"not {a} is null", parts),
        st.builds(lambda a, b: f"trim({a} from {b})", parts, parts),
    )


EXPRESSIONS = st.recursive(_leaves, _compound, max_leaves=8)
ANY_TEXT = st.one_of(
    EXPRESSIONS,
    st.text(max_size=60),
    st.text(alphabet="ab1.,'\"`()*+-/%|&=<>!?:;@#$[]{}\\ \n\t", max_size=40),
    st.lists(st.sampled_from([*ACCEPTED, *(t for t in REFUSED if len(t) < 100)]), max_size=3).map(" ".join),
)


@settings(max_examples=400, deadline=None)
@given(ANY_TEXT)
@example("a" * 1001)
@example("\ud800")
def test_any_text_is_either_accepted_or_a_value_error(text: str) -> None:
    """And what is accepted holds nothing but the allowed, read again from what Spark gets."""
    try:
        result = checked_sql(text)
    except ValueError:
        return
    trees = sqlglot.parse(result, dialect="spark")
    assert len(trees) == 1
    tree = trees[0]
    assert tree is not None
    allowed = (*ALLOWED_FUNCTIONS.values(), sql.Cast, sql.And, sql.Or, sql.Case, sql.If)
    assert [type(node) for node in tree.find_all(sql.Func) if not isinstance(node, allowed)] == []
    assert list(tree.find_all(sql.Query, sql.Window, sql.Star, sql.Placeholder, sql.Anonymous)) == []
    outside_texts = re.sub(r"'(\\.|[^'\\])*'", "''", result)
    called = {name.lower() for name in re.findall(r"(\w+)\s*\(", outside_texts)}
    assert called <= SPARK_NAMES
    assert ";" not in outside_texts
    assert "--" not in outside_texts
    assert "/*" not in outside_texts
    assert {column.name for column in tree.find_all(sql.Column)} == referenced_columns(text)


@settings(max_examples=200, deadline=None)
@given(EXPRESSIONS)
def test_what_spark_gets_would_itself_be_accepted_unchanged(text: str) -> None:
    try:
        once = checked_sql(text)
    except ValueError:
        return
    assert checked_sql(once) == once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("price * quantity", "TRY_MULTIPLY(price, quantity)"),
        ("a + b - c * 2", "TRY_SUBTRACT(TRY_ADD(a, b), TRY_MULTIPLY(c, 2))"),
        ("abs(a - (b + 1))", "ABS(TRY_SUBTRACT(a, (TRY_ADD(b, 1))))"),
        ("upper(a)", "UPPER(a)"),
    ],
)
def test_sums_and_products_answer_null_on_overflow(text: str, expected: str) -> None:
    assert spark_sql(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("price * 2", {"price"}),
        ("quantity * (price)", {"price"}),
        ("abs(price)", {"price"}),
        ("coalesce(price, 0)", {"price"}),
        ("if(price > 5, 'a', 'b')", {"price"}),
        ("price in (1, 2)", {"price"}),
        ("coalesce(price, 'none')", set()),
        ("if(price = 'free', quantity, 0)", set()),
        ("try_cast(price as double) * quantity", set()),
        ("quantity * 2", set()),
    ],
)
def test_text_that_numbers_are_computed_with_is_found(text: str, expected: set[str]) -> None:
    assert text_operands(text, ["PRICE"]) == expected


@pytest.mark.parametrize("word", ["now", "Today", " yesterday", "tomorrow UTC"])
def test_a_word_that_reads_the_clock_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="reads the clock"):
        checked_sql(f"try_cast('{word}' as timestamp)")
    assert checked_sql(f"concat(a, '{word}')")
