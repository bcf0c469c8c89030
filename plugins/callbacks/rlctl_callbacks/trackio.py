"""Trackio: a database of the project on this machine, which `trackio show` displays; nothing leaves the machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlctl import RunInfo
from rlctl_callbacks.background import Row, ServiceCallback
from rlctl_callbacks.service_process import Mark, ServiceProcess


class Trackio(ServiceCallback):
    """Writes each event to Trackio, in the background. `patience`: seconds that the end waits for what is to be sent."""

    def __init__(self, run: RunInfo, project: str = "rlctl", group: str | None = None, patience: float = 60.0) -> None:
        options = {"project": project, "group": group}
        service = ServiceProcess("rlctl_callbacks.trackio:TrackioLibrary", run, options)
        super().__init__(run, "trackio", service, patience)


class TrackioLibrary:
    """What is done with the library itself, in a process of its own."""

    def __init__(self, run: RunInfo, options: Mapping[str, Any]) -> None:
        self._run, self._options = run, dict(options)
        self._mark = Mark(run, "trackio")
        self._page: Any = None

    def open(self) -> int:
        import trackio

        self._page = trackio.init(
            name=self._run.run_id,
            resume="allow",
            config=dict(self._run.config),
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
            **self._options,
        )
        return int(self._mark.data.get("step", -1))

    def send(self, rows: list[Row]) -> None:
        import trackio

        for row in rows:
            films = {name: trackio.Video(str(path), format=path.suffix[1:]) for name, path in row.films.items()}
            self._page.log({**row.values, **films}, step=row.step)
        self._mark.save(step=max(row.step for row in rows))

    def close(self, status: str, summary: Mapping[str, float]) -> None:
        if summary:
            self._page.log({f"result/{name}": value for name, value in summary.items()})
        self._page.finish()
