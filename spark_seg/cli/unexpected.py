"""What is shown of a failure that nobody meant: everything but values out of rows."""

from __future__ import annotations

import re
import traceback

#: Conditions of Spark and Delta whose messages quote values. Their text is left out, their name stays.
_QUOTING = (
    "CAST_INVALID_INPUT|CAST_OVERFLOW|NUMERIC_VALUE_OUT_OF_RANGE|USER_RAISED_EXCEPTION|CANNOT_PARSE|INVALID_"
    "|MALFORMED|DELTA_VIOLATE|DELTA_NOT_NULL|DELTA_REPLACE_WHERE|DELTA_SOURCE_TABLE|DUPLICATED_MAP_KEY"
    "|DATETIME_OVERFLOW|CONVERSION_INVALID_INPUT|FAILED_EXECUTE_UDF|ROW_"
)
_CONDITION = re.compile(rf"(\[(?:{_QUOTING})[A-Z0-9_.]*\]).*")
#: What Delta lists below a violated constraint.
_LISTED = re.compile(r"^(\s*- \w+ : ).*", re.MULTILINE)
#: Addresses of e-mail, and pseudonyms.
_PERSONAL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+|\b[0-9a-f]{64}\b")


def without_values(text: str) -> str:
    """`text` without values that may be personal."""
    text = _CONDITION.sub(r"\1 (its text may quote values and is left out)", text)
    return _PERSONAL.sub("…", _LISTED.sub(r"\1…", text))


def report(error: BaseException) -> str:
    """The traceback of an error, without values."""
    return without_values("".join(traceback.format_exception(error)))
