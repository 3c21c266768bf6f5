"""A traceback tells where and what, and no value of a row."""

from __future__ import annotations

import pytest

from spark_seg.cli.unexpected import report, without_values

MASKED = "(its text may quote values and is left out)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "[CAST_INVALID_INPUT] The value 'ann 7' of the type \"STRING\" cannot be cast. SQLSTATE: 22018",
            f"[CAST_INVALID_INPUT] {MASKED}",
        ),
        (
            "e: [USER_RAISED_EXCEPTION] Vector values MUST NOT be NaN, but got [NaN,1.0]",
            f"e: [USER_RAISED_EXCEPTION] {MASKED}",
        ),
        (
            "[DELTA_VIOLATE_CONSTRAINT_WITH_VALUES] CHECK violated by values:\n - customer_id : ann\n",
            f"[DELTA_VIOLATE_CONSTRAINT_WITH_VALUES] {MASKED}\n - customer_id : …\n",
        ),
        ("no such row: ann.b+c@mail.example.org!", "no such row: …!"),
        ("pseudonym " + "0f" * 32, "pseudonym …"),
        (
            "[PATH_NOT_FOUND] Path does not exist: file:/lake/orders.",
            "[PATH_NOT_FOUND] Path does not exist: file:/lake/orders.",
        ),
        ("No space left on device", "No space left on device"),
    ],
)
def test_case_44_texts_that_quote_values_are_left_out_and_others_stay(text: str, shown: str) -> None:
    assert without_values(text) == shown


def test_the_place_of_the_failure_and_its_cause_are_told() -> None:
    try:
        try:
            raise KeyError("first@example.org")
        except KeyError as cause:
            raise RuntimeError("[INVALID_ARRAY_INDEX] index 7") from cause
    except RuntimeError as error:
        told = report(error)
    assert "test_unexpected.py" in told
    assert "KeyError" in told
    assert "first@example.org" not in told
    assert told.rstrip().endswith(f"RuntimeError: [INVALID_ARRAY_INDEX] {MASKED}")
