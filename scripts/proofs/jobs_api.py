"""What a run needs of Databricks' Jobs API, on loopback: keeps what is submitted, and answers as told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

#: The run of a task has another number than the run that was submitted.
_TASK = 1000


class JobsApi(ThreadingHTTPServer):
    """`codes`: task key → exit code of its job. `busy`: how often a run is said to be running. `already`:
    jobs say that they were published before."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.submitted: list[dict[str, Any]] = []
        self.codes: dict[str, int] = {}
        self.asked: dict[int, int] = {}
        self.busy = 0
        self.already = False


class _Answers(BaseHTTPRequestHandler):
    server: JobsApi

    def do_POST(self) -> None:
        if not self.path.endswith("/jobs/runs/submit"):
            self.send_error(404)
            return
        self.server.submitted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer({"run_id": len(self.server.submitted)})

    def do_GET(self) -> None:
        number = int(parse_qs(urlsplit(self.path).query)["run_id"][0])
        key = self.server.submitted[number % _TASK - 1]["tasks"][0]["task_key"]
        code = self.server.codes.get(key, 0)
        if "/jobs/runs/get-output" in self.path:
            how = "was published already" if self.server.already else "published"
            said = {"logs": f"run 0123456789abcdef0123 {how}\n"}
            self._answer({"error": f"SystemExit: {code}"} if code else said)
            return
        self.server.asked[number] = self.server.asked.get(number, 0) + 1
        state = {"life_cycle_state": "RUNNING", "state_message": ""}
        if self.server.asked[number] > self.server.busy:
            result = "FAILED" if code else "SUCCESS"
            state = {"life_cycle_state": "TERMINATED", "result_state": result, "state_message": ""}
        task = {"run_id": number + _TASK, "task_key": key, "state": state}
        page = f"http://127.0.0.1/runs/{number}"
        self._answer({"run_id": number, "job_id": 1, "run_page_url": page, "state": state, "tasks": [task]})

    def _answer(self, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what was asked is kept."""


@contextmanager
def jobs_api() -> Iterator[JobsApi]:
    """The server, on a port of its own."""
    with JobsApi() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
