"""What an MLflow server is told of committed runs: in what order, how often, and what never."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from configured import settings_for
from pages import AS_OF, HOSTILE, candidates, committed, config
from rich.console import Console

from spark_seg.cli import tracking as command
from spark_seg.cli import upkeep
from spark_seg.config import Settings
from spark_seg.errors import ConfigError, SegmentationError
from spark_seg.pipeline import check_settings
from spark_seg.pipeline.plan import ALLOWED_ROOTS
from spark_seg.publishing import CommittedRun
from spark_seg.publishing.store import Receipt
from spark_seg.tracking import Places, Told, places_of, track
from spark_seg.tracking.facts import RUN_TAG, facts_of, in_force
from spark_seg.tracking.mlflow import Fitted, Logged, Names, tell

REPOSITORY = Path(__file__).parents[2]
NAMES = Names("shop", "shop", "champion")
FITTED = Fitted({"metadata/part-0": b"{}"}, ("recency_days", "monetary"))


class Down(OSError):
    """The server does not answer."""


@dataclass
class FakeServer:
    """An MLflow server in memory, which may stop to answer after so many calls."""

    calls_left: int = 1_000
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: list[str] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    def _call(self, name: str) -> None:
        if self.calls_left == 0:
            raise Down("connection refused")
        self.calls_left -= 1
        self.done.append(name)

    def experiment(self, name: str) -> str:
        self._call("experiment")
        return name

    def find(self, experiment: str, tag: str, value: str) -> Logged | None:
        self._call("find")
        found = (i for i, run in self.runs.items() if run["tags"].get(tag) == value)
        return next((Logged(i, self.runs[i]["ended"]) for i in found), None)

    def begin(self, experiment: str, name: str, tags: Mapping[str, str], at: datetime) -> str:
        self._call("begin")
        made = f"m{len(self.runs)}"
        self.runs[made] = {"tags": dict(tags), "params": {}, "metrics": set(), "texts": {}, "ended": False}
        return made

    def log(
        self, run: str, params: Mapping[str, str], metrics: Sequence[tuple[str, float, int]], at: datetime
    ) -> None:
        self._call("log")
        assert len(params) <= 100
        for name, value in params.items():
            assert self.runs[run]["params"].setdefault(name, value) == value, "a parameter never changes"
        self.runs[run]["metrics"].update(metrics)

    def write(self, run: str, texts: Mapping[str, str]) -> None:
        self._call("write")
        self.runs[run]["texts"].update(texts)

    def log_model(self, run: str, model: Fitted, metadata: Mapping[str, str]) -> None:
        self._call("log_model")
        self.runs[run]["model"] = dict(model.files)

    def end(self, run: str, at: datetime) -> None:
        self._call("end")
        self.runs[run]["ended"] = True

    def version(self, name: str, run: str) -> str | None:
        self._call("version")
        return str(self.versions.index(run) + 1) if run in self.versions else None

    def register(self, name: str, run: str, tags: Mapping[str, str]) -> str:
        self._call("register")
        assert self.runs[run]["model"]
        self.versions.append(run)
        return str(len(self.versions))

    def alias(self, name: str, alias: str) -> str | None:
        self._call("alias")
        return self.aliases.get(alias)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        self._call("set_alias")
        self.aliases[alias] = version

    def state(self) -> object:
        return self.runs, self.versions, self.aliases


def fit(run_id: str, as_of: date = AS_OF, revision: int = 0, **changes: Any) -> CommittedRun:
    """A run that fitted its own model."""
    facts: dict[str, Any] = {"run_id": run_id, "model_run_id": run_id, "config": json.dumps(config())}
    return committed(as_of=as_of, revision=revision, **facts | changes)


def told(server: FakeServer, runs: Sequence[CommittedRun], run: CommittedRun) -> str:
    return tell(
        server, NAMES, runs, run, lambda: facts_of("shop", run, candidates(), {"report.html": "<html>"}),
        lambda: FITTED,
    )  # fmt: skip


# ---------------------------------------------------------------- nothing without it


def test_without_an_address_nothing_of_mlflow_is_imported_whatever_the_environment_says(
    tmp_path: Path,
) -> None:
    (tmp_path / "mlflow.py").write_text("raise SystemExit('mlflow was imported')", encoding="utf-8")
    settings_for(tmp_path)
    code = (
        "import sys\n"
        "import spark_seg.cli, spark_seg.tracking\n"
        "from spark_seg.config import load_settings\n"
        f"places = spark_seg.tracking.places_of(load_settings(['{tmp_path}/base.yaml']))\n"
        "print(bool(places), 'mlflow' in sys.modules)"
    )
    environment = os.environ | {
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY}",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "OPENLINEAGE_URL": "http://127.0.0.1:9",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


def test_an_address_without_the_extra_is_answered_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spark_seg.tracking.places.find_spec", lambda name: None)
    settings = settings_for(tmp_path, **{"tracking.mlflow.uri": "http://127.0.0.1:5000"})
    with pytest.raises(ConfigError) as caught:
        places_of(settings)
    assert caught.value.problems == (
        "tracking.mlflow.uri: needs MLflow, which is not installed. Install it (pip install "
        "'spark-seg[mlflow]'), or set this to null",
    )


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ("", "must hold the address; it is not set. Set it, or set this to null"),
        ("https://me:s3cr3t@host", "must be an address without user and password; these belong into the "
         "environment. Or `databricks`, with a profile: databricks://name"),
    ],
)  # fmt: skip
def test_a_variable_without_an_address_is_named_and_never_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: str, expected: str
) -> None:
    monkeypatch.setattr("spark_seg.tracking.places.find_spec", lambda name: object())
    monkeypatch.setenv("SHOP_MLFLOW", held)
    with pytest.raises(ConfigError) as caught:
        places_of(settings_for(tmp_path, **{"tracking.mlflow.uri": "env:SHOP_MLFLOW"}))
    assert caught.value.problems == (f"tracking.mlflow.uri: the environment variable SHOP_MLFLOW {expected}",)


def test_a_setting_may_name_the_variables_that_hold_the_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spark_seg.tracking.places.find_spec", lambda name: object())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "databricks://shop")
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:5001")
    settings = settings_for(
        tmp_path,
        **{
            "tracking.mlflow.uri": "env:MLFLOW_TRACKING_URI",
            "tracking.openlineage.to": "env:OPENLINEAGE_URL",
        },
    )
    assert places_of(settings) == Places("databricks://shop", "http://127.0.0.1:5001")


# ---------------------------------------------------------------- what is told


def test_a_run_is_told_with_parameters_metrics_candidates_report_and_model_and_then_the_alias() -> None:
    server, run = FakeServer(), fit("a")
    said = told(server, [run], run)
    assert said == "run m0 · model shop version 1 · champion is version 1 now"
    logged = server.runs["m0"]
    assert logged["tags"][RUN_TAG] == "a"
    assert logged["params"]["selection.k_min"] == "2"
    assert ("silhouette", 0.387, 0) in logged["metrics"]
    assert {step for name, _, step in logged["metrics"] if name == "candidates.kmeans.silhouette"} >= {3, 4}
    assert set(logged["texts"]) == {"config.json", "candidates.json", "segments.json", "report.html"}
    assert len(json.loads(logged["texts"]["candidates.json"])) == len(candidates())
    assert json.loads(logged["texts"]["segments.json"])[0] == {
        "cluster": 0, "segment_id": 1, "name": "loyal_customers",
    }  # fmt: skip
    assert logged["model"] == FITTED.files
    assert server.done[-1] == "set_alias"
    assert server.done.index("register") < server.done.index("end") < server.done.index("set_alias")


def test_a_second_time_nothing_is_added_and_nothing_is_computed() -> None:
    server, run = FakeServer(), fit("a")
    told(server, [run], run)
    before = json.dumps(server.state(), default=sorted)

    def never() -> Any:
        raise AssertionError("asked for")

    said = tell(server, NAMES, [run], run, never, never)
    assert said == "run m0 · model shop version 1 · champion is version 1"
    assert json.dumps(server.state(), default=sorted) == before


def test_wherever_the_server_stops_to_answer_the_next_try_completes_one_run_and_one_version() -> None:
    run = fit("a")
    whole = FakeServer()
    told(whole, [run], run)
    for calls in range(len(whole.done)):
        server = FakeServer(calls_left=calls)
        with pytest.raises(Down):
            told(server, [run], run)
        assert not server.aliases, f"the alias moved before the run was complete, after {calls} calls"
        server.calls_left = 1_000
        told(server, [run], run)
        assert server.state() == whole.state(), f"after {calls} calls"


def test_a_run_without_a_fit_gets_no_version_and_the_alias_follows_the_model_that_it_used() -> None:
    first, second = fit("a"), fit("b", date(2018, 2, 1))
    again = committed(as_of=date(2018, 3, 1), run_id="c", job="assign_segments", model_run_id="a")
    server = FakeServer()
    told(server, [first], first)
    told(server, [first, second], second)
    assert server.aliases == {"champion": "2"}
    assert told(server, [first, second, again], again) == "run m2 · champion is version 1 now"
    assert (len(server.versions), server.aliases) == (2, {"champion": "1"})


@pytest.mark.parametrize("job", ["build_features", "monitor_segments"])
def test_other_jobs_are_told_too_and_leave_the_alias(job: str) -> None:
    fitted, server = fit("a"), FakeServer()
    other = committed(
        run_id="b", job=job, as_of=date(2018, 2, 1), receipts=(Receipt("features", 3, 9),),
        model_run_id=None, model_path=None, segments=(), metrics={"rows_orders": 9.0},
    )  # fmt: skip
    told(server, [fitted], fitted)
    assert told(server, [fitted, other], other) == "run m1 · champion is version 1"


def test_an_alias_whose_model_the_server_does_not_have_stays() -> None:
    known, unknown = fit("a"), fit("b", date(2018, 2, 1))
    again = committed(as_of=date(2018, 3, 1), run_id="c", job="assign_segments", model_run_id="b")
    server = FakeServer(aliases={"champion": "7"})
    said = told(server, [known, unknown, again], again)
    assert said == "run m0 · champion stays: model of run b is not registered"
    assert server.aliases == {"champion": "7"}


def test_the_alias_never_goes_back_to_an_older_day_or_revision_whenever_it_is_told() -> None:
    old, new = fit("old", date(2018, 1, 1)), fit("new", date(2018, 2, 1))
    revised = fit("revised", date(2018, 2, 1), 1)
    late = fit("late", date(2017, 12, 1))
    assert in_force([]) is None
    assert in_force([late, old]) == "old"
    assert in_force([late, old, new]) == "new"
    assert in_force([late, old, new, revised]) == "revised"
    rolled_back = replace(new, revision=2)
    assert in_force([late, old, new, revised, rolled_back]) == "new"
    server = FakeServer()
    for run in (revised, new, late, old):
        told(server, [late, old, new, revised], run)
        assert server.aliases == {"champion": "1"}, run.run_id


# ---------------------------------------------------------------- hostile and personal texts


def test_names_that_mlflow_would_refuse_become_plain_and_long_values_are_cut() -> None:
    hostile = {name: {"log": True} for name in HOSTILE} | {
        "../../etc/passwd": {"log": True},
        "": {"log": True},
    }
    run = fit(
        "a",
        config=json.dumps(config() | {"preparation": {"features": hostile, "long": ["x" * 9_999]}}),
        metrics={"/importance/../x": 1.0, "ok": float("nan"), "far": float("inf")},
    )
    facts = facts_of("shop", run, [], {})
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_. :-")
    for name, value in facts.params.items():
        assert set(name) <= allowed, name
        assert 0 < len(name) <= 250
        assert len(value) <= 500
    assert facts.metrics == (("_importance_.._x", 1.0, 0),)
    assert json.loads(facts.texts["config.json"])["preparation"]["features"].keys() == hostile.keys()


def test_where_a_run_is_told_and_who_started_it_is_not_told() -> None:
    told_config = config() | {
        "session": {"conf": {"fs.s3a.secret.key": "s3cr3t"}},
        "tracking": {"mlflow": {"uri": "http://127.0.0.1:5000"}},
    }
    facts = facts_of("shop", fit("a", config=json.dumps(told_config)), [], {})
    assert not [name for name in facts.params if name.startswith(("session", "tracking", "report"))]
    assert "s3cr3t" not in repr(facts)
    assert "user" not in " ".join(facts.tags).lower()


# ---------------------------------------------------------------- failures


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[CommittedRun]:
    """Two committed runs, without the tables."""
    runs = [fit("a"), fit("b", date(2018, 2, 1))]
    module = sys.modules["spark_seg.tracking.runs"]
    monkeypatch.setattr(
        module, "Ledger", lambda store, pipeline: type("L", (), {"runs": lambda self: runs})()
    )
    monkeypatch.setattr(module, "_schemas", lambda store, runs: {})
    monkeypatch.setattr(module, "_facts", lambda store, settings, run: facts_of("shop", run, [], {}))
    monkeypatch.setattr(module, "_fitted", lambda store, run: FITTED)
    return runs


class Store:
    """Where tables are; none is read."""

    def ref(self, table: str) -> Any:
        return type("Ref", (), {"label": f"/lake/{table}"})()


def attempts(
    tmp_path: Path, connect: Callable[[str, str], Any], run_id: str | None = None, to: str | None = None
) -> list[Told]:
    places = Places("http://127.0.0.1:5000", to or str(tmp_path / "events.jsonl"))
    return list(track(Store(), settings_for(tmp_path), places, run_id, connect))  # type: ignore[arg-type]


def test_a_server_that_is_down_is_a_sentence_and_the_other_is_still_told(
    tmp_path: Path, published: list[CommittedRun]
) -> None:
    def down(address: str, model: str) -> Any:
        raise Down("connection refused\nfor someone@example.com")

    mlflow, lineage = attempts(tmp_path, down, "a")
    assert (mlflow.whom, mlflow.problem) == ("mlflow", "Down: connection refused")
    assert (lineage.whom, lineage.problem, lineage.what) == ("lineage", None, "2 events")
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 2


def test_all_runs_are_told_oldest_first_and_one_that_was_rolled_back_to_only_once(
    tmp_path: Path, published: list[CommittedRun]
) -> None:
    published.append(replace(published[0], as_of=date(2018, 2, 1), revision=9))
    server = FakeServer()
    done = attempts(tmp_path, lambda address, model: server)
    assert [(one.whom, one.run_id) for one in done] == [
        ("mlflow", "a"), ("mlflow", "b"), ("lineage", "a"), ("lineage", "b"),
    ]  # fmt: skip
    assert [run["tags"][RUN_TAG] for run in server.runs.values()] == ["a", "b"]
    assert server.aliases == {"champion": "1"}


def test_what_mlflow_prints_does_not_reach_standard_output(
    tmp_path: Path, published: list[CommittedRun], capsys: pytest.CaptureFixture[str]
) -> None:
    def chatty(address: str, model: str) -> FakeServer:
        sys.stdout.write("🏃 View run at")
        return FakeServer()

    assert attempts(tmp_path, chatty, "a")[0].problem is None
    assert capsys.readouterr().out == ""


def said_of(monkeypatch: pytest.MonkeyPatch, *done: Told) -> tuple[str, list[Told]]:
    monkeypatch.setattr("spark_seg.tracking.track", lambda *args: iter(done))
    shown = Console(record=True, width=200, file=io.StringIO())
    found = command.tell(shown, None, None, None)  # type: ignore[arg-type]
    return shown.export_text(), found


def test_a_failure_names_the_command_that_tells_again_and_quotes_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text, _ = said_of(
        monkeypatch,
        Told("a", "mlflow", "http://h:1", problem="Refused: no one@example.com here."),
        Told("a", "lineage", "events.jsonl", "2 events"),
    )
    assert text.splitlines() == [
        "mlflow     not told: Refused: no … here. Again: spark-seg track a",
        "lineage    events.jsonl  2 events",
    ]


def test_the_command_ends_with_a_failure_when_somebody_was_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_for(tmp_path)
    failed = Told("a", "lineage", "x", problem="gone")
    monkeypatch.setattr(command, "open_store", lambda settings: None)
    monkeypatch.setattr(command, "tell", lambda *args: [failed, replace(failed, problem=None)])
    with pytest.raises(SegmentationError, match="1 of 2 times it failed"):
        command.track([tmp_path / "base.yaml"], None, ["tracking.openlineage.to=events.jsonl"])
    with pytest.raises(ConfigError, match="must say who is told; got neither"):
        command.track([tmp_path / "base.yaml"])


def test_instants_are_those_of_the_commit_in_utc() -> None:
    at = datetime(2026, 11, 26, 10, 41, tzinfo=UTC)
    assert facts_of("shop", fit("a", committed_at=at), [], {}).at == at
    naive = at.astimezone().replace(tzinfo=None)
    assert facts_of("shop", fit("a", committed_at=naive), [], {}).at == at


def test_settings_of_tracking_have_their_own_defaults(tmp_path: Path) -> None:
    settings: Settings = settings_for(tmp_path)
    assert settings.tracking.mlflow.alias == "champion"
    assert (settings.tracking.mlflow.uri, settings.tracking.openlineage.to) == (None, None)


def test_a_file_of_events_must_lie_where_whoever_runs_the_job_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ALLOWED_ROOTS, str(tmp_path))
    for to, problems in (
        (tmp_path / "events.jsonl", 0),
        ("http://127.0.0.1:5001", 0),
        ("env:OPENLINEAGE_URL", 0),
        ("/etc/events", 1),
    ):  # fmt: skip
        settings = settings_for(tmp_path, **{"tracking.openlineage.to": to})
        try:
            check_settings(settings)
            found: tuple[str, ...] = ()
        except ConfigError as error:
            found = error.problems
        assert len(found) == problems, to
        assert all(problem.startswith("tracking.openlineage.to: must lie under") for problem in found)


def test_a_rollback_lets_the_alias_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings_for(tmp_path)
    monkeypatch.setattr(upkeep, "open_store", lambda settings: None)
    monkeypatch.setattr(
        "spark_seg.publishing.Ledger",
        lambda store, name: type("L", (), {"roll_back": lambda self, day, to: 2})(),
    )
    told: list[str] = []
    monkeypatch.setattr(upkeep, "tell", lambda shown, store, settings, places, run_id: told.append(run_id))
    config = [tmp_path / "base.yaml"]
    upkeep.rollback(config, "2025-01-01", "a")
    assert told == []
    upkeep.rollback(config, "2025-01-01", "a", ["tracking.openlineage.to=events.jsonl"])
    assert told == ["a"]
