"""# Customer segments every day, on Databricks

Copy this one file into your folder of DAGs and set what stands under "yours". The connection
`databricks_default` names the workspace, where the wheel and the configuration lie (the bundle in
conf/databricks puts both there).

`build_features` → `assign_segments` → `monitor_segments`; and when the monitor asks for a new model, or
there is none yet, `train_segments`, whose model is judged at once by `monitor_new_model`. `look` succeeds
when alerts were raised, and is skipped when there are none.

Each task submits one run of one job. Databricks calls every exit code but 0 a failure, and names it in the
error of the run ("SystemExit: 7"): in its own list of runs 5 and 7 are red, here they are understood.
"""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
from airflow.providers.databricks.operators.databricks import DatabricksSubmitRunOperator
from airflow.sdk import Asset, Context, CronDataIntervalTimetable, Param, dag, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

# ---------------------------------------------------------------- yours

DAG_ID = "spark_seg_databricks"
#: Where the bundle lies in the workspace (workspace.root_path of its target).
BUNDLE = "/Workspace/Users/SERVICE_PRINCIPAL/.bundle/spark_seg/prod"
WHEEL = f"{BUNDLE}/artifacts/.internal/spark_seg-0.1.0-py3-none-any.whl"
#: Configuration, the last file wins. Its `pipeline` is the first part of the names of the assets.
CONFIG = [f"{BUNDLE}/files/conf/databricks/shop.yaml", f"{BUNDLE}/files/conf/databricks/prod.yaml"]
PIPELINE = "shop"
#: When the day's data are there, and in which zone a day begins: that of `time_zone` in the configuration.
SCHEDULE = "0 4 * * *"
ZONE = "UTC"
START = pendulum.datetime(2025, 1, 1, tz=ZONE)
RETRY_DELAY = timedelta(minutes=5)
#: Who is told of alerts: notifiers of Airflow, such as SlackNotifier(...).
TELL: list[Any] = []
#: Serverless compute. For a job cluster: TASK = {"new_cluster": {...}, "libraries": [{"whl": WHEEL}]} and
#: RUN = {}.
TASK: dict[str, Any] = {"environment_key": "spark_seg"}
RUN: dict[str, Any] = {
    "environments": [
        {
            "environment_key": "spark_seg",
            "spec": {"environment_version": "4", "dependencies": [WHEEL]},
        }
    ]
}


class SegmentJob(DatabricksSubmitRunOperator):
    """One job of spark_seg as one run on Databricks, with its exit code understood."""

    def __init__(self, *, job: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job

    def execute(self, context: Context) -> None:
        """Submit it and wait, here or deferred."""
        wheel = {"package_name": "spark_seg", "entry_point": "spark-seg"}
        wheel |= {"parameters": arguments_of(self.job, context)}
        self.json = {
            "run_name": f"{self.job} {day_of(context)}",
            "tasks": [{"task_key": self.job, "python_wheel_task": wheel, **TASK}],
            "timeout_seconds": 3 * 3600,
            **RUN,
        }
        # The operator would hand the parameters of the DAG on as named ones, which exclude ours.
        self.params = {}
        self._understood(context, super().execute, context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> None:
        """The same, after waiting deferred."""
        self.run_id = event["run_id"]
        self._understood(context, super().execute_complete, context, event)

    def _understood(self, context: Context, ended: Any, *arguments: Any) -> None:
        failure = None
        try:
            ended(*arguments)
        except AirflowException as error:
            failure = error
        if self.run_id is None:  # not even submitted
            raise failure or AirflowException(f"{self.job}: no run")
        run = self._hook.get_run(self.run_id)["tasks"][-1]["run_id"]
        output = self._hook.get_run_output(run)
        told = re.search(r"SystemExit: (\d+)", output.get("error") or "")
        code = int(told[1]) if told else 0
        if failure is not None and code not in (*FINAL, LOOK, FIT):
            raise failure
        conclude(self.job, context, code, output.get("logs") or "")


# ---------------------------------------------------------------- the same for spark-submit and Databricks


#: Tables that a job publishes, and of which it is told that there is something new.
TABLES = {
    "build_features": ("features", "rejects"),
    "train_segments": ("assignments", "profiles", "rules", "explanations", "candidates"),
    "assign_segments": ("assignments", "profiles", "rules", "explanations"),
    "monitor_segments": ("drift", "decisions"),
}
#: Exit codes of jobs that end in the same way however often they are tried.
FINAL = {
    2: "usage or configuration is wrong",
    3: "the input breaks its contract",
    4: "nothing acceptable: no candidate, or segments that break their contract",
    6: "published already from something else; trigger the day with revise to publish a new revision",
}
LOOK = 5
FIT = 7
log = logging.getLogger(__name__)


def day_of(context: Context) -> str:
    """`as_of`: the day given by hand, or the one on which the data interval ends, in the schedule's zone.

    It is the day after the last one that counts, so the interval that ends on it is the one that is complete.
    """
    given = context["params"]["as_of"]
    if given:
        return str(given)
    end = context["dag_run"].data_interval_end
    if end is None:
        raise AirflowFailException("as_of: must be given where a run has no logical date; got neither")
    return str(end.astimezone(ZoneInfo(ZONE)).date())


def arguments_of(job: str, context: Context) -> list[str]:
    """Arguments of the command line of a job."""
    params = context["params"]
    # What the monitor says is said anew when a new model has changed what it speaks of; a model that it asks
    # for replaces what was assigned before on the same day.
    revise = params["revise"] or job in ("monitor_segments", "train_segments")
    files = [part for path in params["config"] for part in ("--config", path)]
    return [job, *files, "--as-of", day_of(context), *(["--revise"] if revise else [])]


def conclude(job: str, context: Context, code: int, said: str) -> None:
    """What Airflow makes of the exit code of a job (0 or one that is understood), and of what it said."""
    context["ti"].xcom_push(key="exit_code", value=code)
    if code in FINAL:
        raise AirflowFailException(
            f"{job}: exit code {code}, {FINAL[code]}. The log above says what and where"
        )
    if code == FIT and job == "assign_segments":
        raise AirflowSkipException("assign_segments: there is no model yet; train_segments fits one")
    if code == LOOK:
        log.warning("%s: published, and a person should look at its alerts (exit code 5)", job)
    run = re.search(r"\brun ([0-9a-f]{20}) (was published already|published)\s*$", said, re.MULTILINE)
    if run and run[2] == "was published already":
        context["task"].outlets = []  # nothing was written, so nobody is told
    for asset in context["task"].outlets:
        context["outlet_events"][asset].extra = {"as_of": day_of(context), "run_id": run[1] if run else None}


@dag(
    dag_id=DAG_ID,
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable(SCHEDULE, timezone=ZONE),
    start_date=START,
    # A day that was missed is no gap: the next one describes everything up to it. Former days, one after the
    # other: airflow backfill create --max-active-runs 1
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    default_args={
        "retries": 2,
        "retry_delay": RETRY_DELAY,
        "retry_exponential_backoff": 2.0,
        "execution_timeout": timedelta(hours=3),
    },
    params={
        "as_of": Param(
            None, type=["null", "string"], format="date", description="Day to describe (exclusive)"
        ),
        "config": Param(CONFIG, type="array", items={"type": "string"}, description="The last file wins"),
        "revise": Param(False, type="boolean", description="Publish the day anew"),
    },
    tags=["spark_seg"],
)
def segments() -> None:
    """One run: a day."""

    def job(name: str, task_id: str | None = None) -> SegmentJob:
        outlets = [Asset(f"{PIPELINE}.{table}") for table in TABLES[name]]
        return SegmentJob(task_id=task_id or name, job=name, outlets=outlets)

    def code_of(ti: Any, task_id: str) -> int | None:
        code = ti.xcom_pull(task_ids=task_id, key="exit_code")
        return None if code is None else int(code)

    @task.short_circuit(trigger_rule="none_failed", ignore_downstream_trigger_rules=False, retries=0)
    def fit_anew(ti: Any) -> bool:
        """Is a model asked for? By the monitor, or because there is none yet."""
        return FIT in (code_of(ti, "assign_segments"), code_of(ti, "monitor_segments"))

    # As the last task of all it decides how the run ends: not well when a job has failed.
    @task(trigger_rule="none_failed", retries=0, on_success_callback=TELL)
    def look(ti: Any) -> list[str]:
        """Succeeds when a person should look, and is skipped when there is nothing to see."""
        alerts = [t for t in (*TABLES, "monitor_new_model") if code_of(ti, t) == LOOK]
        if code_of(ti, "monitor_new_model") == FIT:
            alerts.append("monitor_new_model")
        if not alerts:
            raise AirflowSkipException("no alerts")
        log.warning("alerts were raised by %s: see the logs of these tasks and the table alerts", alerts)
        return alerts

    features, assigned, monitored = (job(name) for name in TABLES if name != "train_segments")
    trained = job("train_segments")
    judged = job("monitor_segments", task_id="monitor_new_model")
    features >> assigned >> monitored >> fit_anew() >> trained >> judged
    [features, assigned, monitored, trained, judged] >> look()


segments()
