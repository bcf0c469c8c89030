"""MLflow: a run of an experiment in a tracking store, by default a folder of files, `mlruns` of the current one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rlctl import RunInfo
from rlctl_callbacks.background import Row, ServiceCallback
from rlctl_callbacks.service_process import ServiceProcess

_TAG = "rlctl.run_id"
_AT_ONCE = 1000
"""Metrics that MLflow takes in one request."""
_LONGEST = 6000
"""Characters that MLflow takes of the value of a parameter."""


class MLflow(ServiceCallback):
    """Writes each event to MLflow, in the background. `patience`: seconds that the end waits for what is still to be sent."""

    def __init__(self, run: RunInfo, uri: str | None = None, experiment: str = "rlctl", patience: float = 60.0) -> None:
        place = uri or os.environ.get("MLFLOW_TRACKING_URI") or Path("mlruns").resolve().as_uri()
        options = {"uri": place, "experiment": experiment}
        super().__init__(run, "mlflow", ServiceProcess("rlctl_callbacks.mlflow:MLflowLibrary", run, options), patience)


class MLflowLibrary:
    """What is done with the library itself, in a process of its own."""

    def __init__(self, run: RunInfo, options: Mapping[str, Any]) -> None:
        self._run, self._options = run, options
        self._client: Any = None
        self._id = ""
        self._last: dict[str, int] = {}  # metric → last step that the store has of it

    def open(self) -> int:
        if "://" not in self._options["uri"] or self._options["uri"].startswith("file:"):
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow's word for: yes, files are what I want
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=self._options["uri"])
        experiment = self._experiment()
        found = self._client.search_runs([experiment], f"tags.`{_TAG}` = '{self._run.run_id}'")
        if found:
            self._go_on(found[0].info.run_id)
        else:
            self._begin(experiment)
        return -1

    def send(self, rows: list[Row]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(name, float(value), int(row.time * 1000), row.step)
            for row in rows
            for name, value in row.values.items()
            if row.step > self._last.get(name, -1)
        ]
        for start in range(0, len(metrics), _AT_ONCE):
            self._client.log_batch(self._id, metrics=metrics[start : start + _AT_ONCE])
        for row in rows:
            for path in row.films.values():
                self._client.log_artifact(self._id, str(path), "videos")

    def close(self, status: str, summary: Mapping[str, float]) -> None:
        for name, value in summary.items():
            self._client.log_metric(self._id, f"result/{name}", value)
        self._client.set_terminated(self._id, "FAILED" if status == "failed" else "FINISHED")

    def _experiment(self) -> Any:
        found = self._client.get_experiment_by_name(self._options["experiment"])
        return found.experiment_id if found else self._client.create_experiment(self._options["experiment"])

    def _begin(self, experiment: Any) -> None:
        from mlflow.entities import Param

        made = self._client.create_run(experiment, run_name=self._run.run_id, tags={_TAG: self._run.run_id})
        self._id = made.info.run_id
        params = [Param(name, str(value)[:_LONGEST]) for name, value in _flat("", self._run.config)]
        for start in range(0, len(params), 100):
            self._client.log_batch(self._id, params=params[start : start + 100])

    def _go_on(self, known: str) -> None:
        self._id = known
        self._client.update_run(known, status="RUNNING")
        for name in self._client.get_run(known).data.metrics:
            history = self._client.get_metric_history(known, name)
            self._last[name] = max(point.step for point in history)


def _flat(path: str, settings: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{path}{name}.", value)
        else:
            yield f"{path}{name}", value
