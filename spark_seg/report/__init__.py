"""What a person reads: the terminal, the report of a run, its model card."""

from spark_seg.report.collect import published
from spark_seg.report.page import page
from spark_seg.report.person import customer_facts, print_customer
from spark_seg.report.published import Picture, Published
from spark_seg.report.terminal import (
    candidate_table,
    move_table,
    print_changes,
    print_decision,
    print_outcome,
    rule_table,
    rules_as_sql,
    run_rows,
    run_table,
    segment_table,
)
from spark_seg.report.write import Written, folder_of, report_texts, write_report

__all__ = [
    "Picture",
    "Published",
    "Written",
    "candidate_table",
    "customer_facts",
    "folder_of",
    "move_table",
    "page",
    "print_changes",
    "print_customer",
    "print_decision",
    "print_outcome",
    "published",
    "report_texts",
    "rule_table",
    "rules_as_sql",
    "run_rows",
    "run_table",
    "segment_table",
    "write_report",
]
