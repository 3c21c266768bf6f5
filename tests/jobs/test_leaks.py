"""No value of a person and no secret in anything that a job says, logs or leaves beside its tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from configured import KEY
from landed import AS_OF, planted_orders, settings_of, write_delta, write_settings
from test_entry_points import LIGHT, ended

SECRET = "hunter2-hunter2-hunter2"
#: Several commands in one process, with one exit code each.
COMMANDS = """
import json, sys
from spark_seg.cli import main
codes = []
for arguments in json.loads(sys.argv[1]):
    code = 0
    try:
        main(arguments)
    except SystemExit as end:
        code = end.code
    codes.append(code)
print("CODES", codes)
"""


def email(customer: str) -> str:
    return f"{customer}.private@example.org"


def test_case_44_neither_planted_addresses_nor_secrets_stand_in_anything_but_the_sources(
    overlay: Path, tmp_path: Path
) -> None:
    rows = [
        row | {"customer": email(row["customer"]), "price": str(row["price"])} for row in planted_orders()
    ]
    bad = [
        {"price": email("price")},
        {"price": "NaN"},
        {"order_no": None},
        {"customer": None},
        {"price": "-1e400"},
    ]
    rows += [rows[n] | {"order_no": f"bad{n}"} | broken for n, broken in enumerate(bad)]
    rows += [rows[7], rows[8] | {"price": "1"}]  # twice, and twice with another content
    write_delta(tmp_path / "orders", rows)
    events, out = tmp_path / "events", tmp_path / "published"
    events.mkdir()
    session = {
        "conf": {
            "spark.eventLog.enabled": True,
            "spark.eventLog.dir": events.as_uri(),
            "spark.eventLog.compress": False,
            "spark.log.level": "INFO",
            "spark.shop.hmac.key": SECRET,
        }
    }
    privacy = {"key": f"env:{KEY}", "key_id": "first"}
    config = write_settings(tmp_path, settings_of(tmp_path, session=session, privacy=privacy))
    ids = tmp_path / "ids.txt"
    ids.write_text(f"{email('star00')}\n", encoding="utf-8")
    words = ["--config", str(overlay), "--config", str(config)]
    sets = [part for value in LIGHT for part in ("--set", value)]
    day = [*words, "--as-of", AS_OF, *sets]
    commands = [
        ["run_all", *day, "--dry-run"],
        ["run_all", *day],
        ["run_all", *day, "--set", "cleaning.max_reject_share=0.001", "--revise"],
        ["rejects", *words, "--as-of", AS_OF],
        ["erase", *words, "--ids", str(ids), "--at-once"],
        # What nobody foresaw: the folder of a table is no table.
        ["run_all", *day, "--set", f"publishing.root={tmp_path}/broken", "--set", "seed=3"],
    ]
    (tmp_path / "broken" / "features" / "_delta_log").mkdir(parents=True)
    (tmp_path / "broken" / "features" / "_delta_log" / "00000000000000000000.json").write_text("{")
    key = "a key for tests, and for nothing else"
    result = ended([sys.executable, "-c", COMMANDS, json.dumps(commands)], tmp_path, **{KEY: key})
    assert "CODES [0, 0, 3, 0, 0, 1]" in result.stdout, result.stderr[-2000:]
    texts = {"stdout": result.stdout, "stderr": result.stderr}
    texts |= {str(p): p.read_text("utf-8", "replace") for p in events.rglob("*") if p.is_file()}
    texts |= {
        str(p): p.read_bytes().decode("utf-8", "replace")
        for p in out.rglob("*")
        if p.is_file() and "_delta_log" in p.parts
    }
    assert any("SparkListenerApplicationStart" in text for text in texts.values())
    for place, text in texts.items():
        assert ".private@" not in text, place
        assert key not in text and SECRET not in text, place
        assert "star00" not in text, place
