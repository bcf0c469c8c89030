"""The executor: hands each run's keeper to Dask as one task, and knows when Dask has given one up."""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster, fire_and_forget

from rlctl.errors import NotAvailableError
from rlctl.launch.detached import DetachedExecutor
from rlctl_dask.node import keep

_CONNECT_SECONDS = 10
_OVER = ("error", "lost", "cancelled")


class DaskExecutor(DetachedExecutor):
    """Places runs on the cluster whose scheduler is at `address`; on one of this process's own without an address."""

    def __init__(self, address: str | None = None) -> None:
        """Connect. Raises NotAvailableError for a scheduler that does not answer, or has no workers."""
        self.address = address
        self.client = _client(address)
        if address is not None and not self.client.scheduler_info(n_workers=-1)["workers"]:
            raise NotAvailableError(
                f"the Dask scheduler at {address} has no workers.", hint=f"Start one: dask worker {address}"
            )

    def start(self, argv: Sequence[str], log: Path) -> Any:
        """Submit a task that runs the command. It is run to its end also when this process leaves."""
        if self.client.status not in ("running", "connecting"):
            raise ConnectionError(f"there is no connection to the Dask scheduler at {self.client.scheduler}")
        future = self.client.submit(
            keep, list(argv), str(log), key=f"rlctl-{log.parent.parent.parent.name}-{secrets.token_hex(4)}", pure=False
        )
        fire_and_forget(future)
        return future

    def given_up(self, job: Any) -> str | None:
        """Return why Dask will not run the task, None while it does or may; a task that has returned is not given up."""
        if job.status not in _OVER:
            return None
        why = f": {job.exception(timeout=5)}" if job.status == "error" else ""
        return f"Dask has the task as {job.status}{why}"


@functools.cache
def _client(address: str | None) -> Client:
    """Return the connection to a scheduler; one for all runs of this process."""
    if address is None:
        cluster = LocalCluster(
            n_workers=os.cpu_count() or 1, threads_per_worker=1, processes=True, dashboard_address=None
        )
        return Client(cluster, set_as_default=False)
    try:
        return Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise NotAvailableError(
            f"no Dask scheduler answers at {address}: {error}", hint="Start one: dask scheduler"
        ) from error
