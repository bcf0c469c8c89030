"""Weights & Biases: a page for each run, or, without a key, a folder that `wandb sync` makes one of later.

The key is where W&B's own tools keep it, `WANDB_API_KEY` or `~/.netrc`. It is no option, so no file of a run has it.
"""

from __future__ import annotations

import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlctl import RunInfo
from rlctl_callbacks.background import Row, ServiceCallback
from rlctl_callbacks.service_process import Mark, ServiceProcess


class Wandb(ServiceCallback):
    """Writes each event to W&B, in the background. `patience`: seconds that the end waits for what is still to be sent."""

    def __init__(
        self,
        run: RunInfo,
        project: str = "rlctl",
        entity: str | None = None,
        group: str | None = None,
        tags: tuple[str, ...] = (),
        mode: str = "auto",
        patience: float = 60.0,
    ) -> None:
        options = {"project": project, "entity": entity, "group": group, "tags": list(tags), "mode": chosen_mode(mode)}
        super().__init__(run, "wandb", ServiceProcess("rlctl_callbacks.wandb:WandbLibrary", run, options), patience)


def chosen_mode(mode: str) -> str:
    """Return `online` or `offline` for `auto`: what `WANDB_MODE` says, else online if there is a key."""
    if mode != "auto":
        return mode
    return os.environ.get("WANDB_MODE") or ("online" if _has_key() else "offline")


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").partition("://")[2].partition("/")[0]
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


class WandbLibrary:
    """What is done with the library itself, in a process of its own."""

    def __init__(self, run: RunInfo, options: Mapping[str, Any]) -> None:
        self._run, self._options = run, dict(options)
        self._mark = Mark(run, "wandb")
        self._step: int = self._mark.data.get("step", -1)
        self._page: Any = None

    def open(self) -> int:
        import wandb

        settings = wandb.Settings(console="off", disable_git=True, disable_code=True, silent=True)
        self._page = wandb.init(
            id=self._run.run_id,  # a resumed run is the same, and goes on with its page
            name=self._run.run_id,
            resume=None if self._options["mode"] == "offline" else "allow",
            dir=str(self._run.directory),
            config=dict(self._run.config),
            settings=settings,
            **self._options,
        )
        self._page.define_metric("step")
        self._page.define_metric("*", step_metric="step")
        return self._step

    def send(self, rows: list[Row]) -> None:
        import wandb

        for row in rows:
            films = {name: wandb.Video(str(path), format=_kind(path)) for name, path in row.films.items()}
            self._step = max(self._step, row.step)  # W&B takes no earlier one
            self._page.log({"step": row.step, **row.values, **films}, step=self._step)
        self._mark.save(step=self._step)

    def close(self, status: str, summary: Mapping[str, float]) -> None:
        self._page.summary.update({f"result/{name}": value for name, value in summary.items()})
        self._page.finish(exit_code=1 if status == "failed" else 0)


def _kind(film: Path) -> Any:
    """Return what W&B calls the kind of a film: mp4 or gif, as its name ends."""
    return film.suffix[1:]
