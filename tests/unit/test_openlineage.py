"""Rows of the ledger as OpenLineage events: held to the standard's own definitions, and on their way."""

from __future__ import annotations

import json
import pkgutil
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import attr
import pytest
from openlineage.client import generated
from openlineage.client.event_v2 import InputDataset, OutputDataset, Run, RunEvent, RunState
from openlineage.client.event_v2 import Job as ClientJob
from pages import HOSTILE, committed
from pyspark.sql.types import IntegerType, StringType, StructField, StructType

from spark_seg.errors import SegmentationError
from spark_seg.publishing import CommittedRun
from spark_seg.publishing.store import Receipt
from spark_seg.tracking.emit import emit
from spark_seg.tracking.openlineage import Job, events_of

JOB = Job("shops", "shop", "Europe/Berlin")
#: Definition → the class that the standard's own client has for it, with its checks.
CLASSES = {
    kind._get_schema(): kind
    for module in pkgutil.iter_modules(generated.__path__)
    for kind in vars(import_module(f"{generated.__name__}.{module.name}")).values()
    if attr.has(kind) and hasattr(kind, "_get_schema")
}
SCHEMAS = {
    "assignments": StructType([
        StructField("customer_id", StringType(), True, {"comment": "the customer"}),
        StructField("segment_id", IntegerType()),
    ])
}  # fmt: skip

Json = dict[str, Any]


def events(run: CommittedRun, *others: CommittedRun, job: Job = JOB) -> list[Json]:
    places = {receipt.table: f"/lake/{receipt.table}" for receipt in run.receipts}
    return events_of(job, [*others, run], run, places, SCHEMAS)


def built(facet: Json) -> Any:
    """A facet as the class of its definition, which takes no other names, and none less."""
    given = {name.lstrip("_"): value for name, value in facet.items() if name != "_schemaURL"}
    return CLASSES[facet["_schemaURL"]](**given)


def check(event: Json) -> None:
    """Raises unless the classes of the standard's own client take the event and all that is in it."""

    def dataset_of(kind: type, one: Json) -> Any:
        parts = {name: value for name, value in one.items() if not name.lower().endswith("facets")}
        return kind(**parts, **{n: {k: built(f) for k, f in one[n].items()} for n in one if n not in parts})

    run, job = event["run"], event["job"]
    made = RunEvent(
        eventType=RunState(event["eventType"]),
        eventTime=event["eventTime"],
        producer=event["producer"],
        run=Run(run["runId"], {name: built(one) for name, one in run["facets"].items()}),
        job=ClientJob(
            job["namespace"], job["name"], {name: built(one) for name, one in job["facets"].items()}
        ),
        inputs=[dataset_of(InputDataset, one) for one in event["inputs"]],
        outputs=[dataset_of(OutputDataset, one) for one in event["outputs"]],
    )
    assert made.schemaURL == event["schemaURL"]
    assert event.keys() == {
        "eventType",
        "eventTime",
        "producer",
        "schemaURL",
        "run",
        "job",
        "inputs",
        "outputs",
    }


def facets(event: Json) -> Iterator[tuple[str, Json]]:
    """Every facet of an event with its name."""
    holders = [event["run"]["facets"], event["job"]["facets"]]
    for dataset in event["inputs"] + event["outputs"]:
        holders += [dataset.get(kind, {}) for kind in ("facets", "inputFacets", "outputFacets")]
    for holder in holders:
        yield from holder.items()


def dataset(event: Json, kind: str, name: str) -> Json:
    (found,) = [one for one in event[kind] if one["name"] == name]
    return dict(found)


RUNS = {
    "a fit": committed(),
    "an assignment": committed(job="assign_segments", model_run_id="other"),
    "features alone": committed(
        job="build_features", model_run_id=None, model_path=None, algorithm=None, k=None, metrics={},
        receipts=(Receipt("features", 4, 100, None),),
    ),
    "a row of an early version": committed(
        committed_at=None, code_version="", spark_version="", config_digest="", model_digest=None
    ),
    "hostile texts": committed(
        inputs=tuple(("orders", f"/lake/{text}", text, None) for text in HOSTILE), algorithm=HOSTILE[0]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_events_keep_the_definitions_of_the_standard_and_so_does_every_facet(name: str) -> None:
    start, complete = events(RUNS[name])
    assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
    for event in (start, complete):
        check(event)
        assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
        # A URN (RFC 8141): its own name space, then a version.
        assert re.fullmatch(r"urn:[a-z][a-z0-9-]{1,31}:[A-Za-z0-9.+_-]+", event["producer"])
        for facet, content in facets(event):
            # The name under which a facet stands is that of its definition, without what it belongs to.
            assert facet.replace("_", "").lower() in content["_schemaURL"].rpartition("/")[2].lower()


def test_a_broken_event_is_found_by_these_definitions() -> None:
    _, complete = events(committed())
    for change in ({"runId": "not a uuid"}, {"facets": complete["run"]["facets"] | {"tags": {"tag": []}}}):
        with pytest.raises((ValueError, KeyError, TypeError)):
            check(complete | {"run": complete["run"] | change})


def test_an_event_says_what_was_read_and_written_at_which_version_and_how_much() -> None:
    run = committed(inputs=(("orders", "/lake/orders", "3", 1_469_307), ("monitoring", "", "5e5e", None)))
    start, complete = events(run)
    assert start["outputs"] == []
    assert start["inputs"] == complete["inputs"]
    orders = dataset(complete, "inputs", "/lake/orders")
    assert orders["facets"]["version"]["datasetVersion"] == "3"
    assert orders["inputFacets"]["inputStatistics"]["rowCount"] == 1_469_307
    assert len(complete["inputs"]) == 1
    assignments = dataset(complete, "outputs", "/lake/assignments")
    assert assignments["facets"]["version"]["datasetVersion"] == "12"
    assert assignments["outputFacets"]["outputStatistics"]["rowCount"] == 2469
    assert assignments["facets"]["schema"]["fields"] == [
        {"name": "customer_id", "type": "string", "description": "the customer"},
        {"name": "segment_id", "type": "int"},
    ]
    model = dataset(complete, "outputs", "/lake/models/4f6d2a90c1b7e835")
    assert model["facets"]["version"]["datasetVersion"] == "5e" * 32


def test_inputs_that_other_runs_wrote_have_the_version_of_the_table_and_not_the_id_of_the_run() -> None:
    built = committed(run_id="built", job="build_features", receipts=(Receipt("features", 41, 9),))
    trained = committed(run_id="trained", model_run_id="trained", model_digest="d1")
    run = committed(
        job="assign_segments", model_run_id="trained",
        inputs=(("features", "/lake/features", "built", None), ("model", "/lake/models/t", "trained", None)),
    )  # fmt: skip
    _, complete = events(run, built, trained)
    assert dataset(complete, "inputs", "/lake/features")["facets"]["version"]["datasetVersion"] == "41"
    assert dataset(complete, "inputs", "/lake/models/t")["facets"]["version"]["datasetVersion"] == "d1"
    assert [one["name"] for one in complete["outputs"]] == ["/lake/assignments", "/lake/profiles"]


def test_told_again_a_run_says_the_same_and_no_other_run_or_attempt_or_pipeline_does() -> None:
    run = committed()
    assert events(run) == events(run)
    ids = {
        events(one, job=job)[0]["run"]["runId"]
        for one, job in (
            (run, JOB),
            (committed(attempt_id="z"), JOB),
            (committed(run_id="z"), JOB),
            (run, replace(JOB, pipeline="x")),
        )
    }
    assert len(ids) == 4
    assert len({event["run"]["runId"] for event in events(run)}) == 1


def test_a_run_begins_as_long_before_its_commit_as_its_rooms_took_and_its_day_is_that_of_the_business() -> (
    None
):
    at = datetime(2026, 11, 26, 9, 41, tzinfo=UTC)
    run = committed(
        as_of=date(2025, 7, 1),
        committed_at=at,
        metrics={"seconds_clean": 50.0, "seconds_select": 10.0, "k": 4.0},
    )
    start, complete = events(run)
    assert start["eventTime"] == "2026-11-26T09:40:00.000+00:00"
    assert complete["eventTime"] == "2026-11-26T09:41:00.000+00:00"
    assert start["run"]["facets"]["nominalTime"]["nominalStartTime"] == "2025-07-01T00:00:00.000+02:00"


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("/lake/orders", ("file", "/lake/orders")),
        ("file:/lake/orders", ("file", "/lake/orders")),
        ("s3a://bucket/lake/orders", ("s3a://bucket", "lake/orders")),
        ("abfss://box@account.dfs.core.windows.net/o", ("abfss://box@account.dfs.core.windows.net", "o")),
        ("shop.orders", ("shops", "shop.orders")),
        ("main.shop.orders", ("shops", "main.shop.orders")),
        ("lake/orders", ("file", f"{Path.cwd()}/lake/orders")),
        ("orders", ("file", f"{Path.cwd()}/orders")),
    ],
)
def test_datasets_are_named_by_their_place_or_their_name_in_the_catalog(
    place: str, expected: tuple[str, str]
) -> None:
    (found,) = events(committed(inputs=(("orders", place, "0", None),)))[0]["inputs"]
    assert (found["namespace"], found["name"]) == expected


# ---------------------------------------------------------------- on their way


def test_a_file_gets_whole_lines_each_once_and_keeps_those_of_others(tmp_path: Path) -> None:
    file = tmp_path / "new" / "events.jsonl"
    mine = events(committed())
    emit(mine, str(file))
    with file.open("a", encoding="utf-8") as stream:
        stream.write('{"of": "others"}\n')
    emit(mine, f"file:{file}")
    emit(events(committed(run_id="b")), str(file))
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert lines == [*mine, {"of": "others"}, *events(committed(run_id="b"))]


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        SegmentationError, match=r"must be a file that can be added to at .*; got IsADirectory"
    ):
        emit(events(committed()), str(tmp_path))


@dataclass
class Receiver:
    """Answers with these codes in turn, then with 201, and keeps what it was sent."""

    codes: list[int] = field(default_factory=list)
    got: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    address: str = ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            kept.got.append((self.path, dict(self.headers), body))
            code = kept.codes.pop(0) if kept.codes else 201
            self.send_response(code)
            if code == 302:
                self.send_header("Location", f"{kept.address}/elsewhere")
            self.end_headers()

        def do_GET(self) -> None:
            kept.got.append((self.path, {}, None))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield kept
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_an_address_gets_each_event_as_json_with_the_key_of_the_environment(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "k3y")
    mine = events(committed())
    emit(mine, receiver.address)
    assert [body for _, _, body in receiver.got] == mine
    path, headers, _ = receiver.got[0]
    assert path == "/api/v1/lineage"
    assert headers["Authorization"] == "Bearer k3y"
    assert headers["Content-Type"] == "application/json; charset=utf-8"


def test_an_address_with_a_path_is_taken_as_it_is_and_without_a_key_none_is_sent(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENLINEAGE_API_KEY", raising=False)
    emit(events(committed())[:1], f"{receiver.address}/events")
    ((path, headers, _),) = receiver.got
    assert (path, "Authorization" in headers) == ("/events", False)


def test_a_receiver_that_is_busy_is_asked_again_and_one_that_refuses_is_not(receiver: Receiver) -> None:
    event = events(committed())[:1]
    receiver.codes = [503, 429]
    emit(event, receiver.address, pause=0)
    assert len(receiver.got) == 3
    for codes, posts in (([400], 1), ([302], 1), ([500, 500, 500], 3)):
        receiver.got.clear()
        receiver.codes = list(codes)
        with pytest.raises(SegmentationError, match=rf"must take events at .*; got status {codes[-1]}\."):
            emit(event, receiver.address, pause=0)
        assert len(receiver.got) == posts


def test_nobody_at_an_address_is_a_sentence() -> None:
    with pytest.raises(SegmentationError, match=r"must take events at .*; got ConnectionRefusedError\."):
        emit(events(committed())[:1], "http://127.0.0.1:9", pause=0)
