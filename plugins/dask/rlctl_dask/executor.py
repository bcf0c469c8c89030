"""The executor: hands each run's keeper to Dask as one task, and knows when Dask has given one up."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distributed import Client, Future, LocalCluster, fire_and_forget

from rlctl.errors import NotAvailableError
from rlctl.launch.detached import DetachedExecutor
from rlctl.launch.executor import Demand
from rlctl_dask.node import keep

_CONNECT_SECONDS = 10
_OVER = ("error", "lost", "cancelled")


class DaskExecutor(DetachedExecutor):
    """Places runs on the cluster whose scheduler is at `address`; on one of this process's own without an address."""

    def __init__(self, address: str | None = None) -> None:
        """Connect. Raises NotAvailableError for a scheduler that does not answer, or has no workers."""
        self.address = address
        self.client = _client(address)
        if address is not None and not self._workers():
            raise NotAvailableError(
                f"the Dask scheduler at {address} has no workers.", hint=f"Start one: dask worker {address}"
            )

    def start(self, name: str, argv: Sequence[str], log: Path, demand: Demand) -> Any:
        """Submit a task that runs the command. It is run to its end also when this process leaves."""
        self._require_connection()
        future = self.client.submit(
            keep, list(argv), str(log), key=name, pure=False, resources=self._resources(demand) or None
        )
        fire_and_forget(future)
        return future

    def find(self, name: str) -> Any | None:
        """Return the task of this name, which Dask knows as long as it is not done."""
        self._require_connection()
        scheduler: Any = self.client.scheduler
        state = self.client.sync(scheduler.get_task_status, keys=[name])[name]
        return None if state in (None, "forgotten") else Future(name, self.client)

    def given_up(self, job: Any) -> str | None:
        """Return why Dask will not run the task, None while it does or may; a task that has returned is not given up."""
        if job.status not in _OVER:
            return None
        why = f": {job.exception(timeout=5)}" if job.status == "error" else ""
        return f"Dask has the task as {job.status}{why}"

    def lacking(self, demand: Demand) -> str | None:
        """Return what no worker has of all that is demanded: Dask would wait for such a one for ever."""
        wanted = self._resources(demand)
        if not wanted:
            return None
        offers = [worker["resources"] for worker in self._workers().values()]
        if any(all(offer.get(name, 0) >= amount for name, amount in wanted.items()) for offer in offers):
            return None
        said = " ".join(f"{name}={amount}" for name, amount in wanted.items())
        return (
            f"no worker of the Dask cluster at {self.address} has {said}. "
            f'Start one that has: dask worker {self.address} --resources "{said}"'
        )

    def room(self) -> int | None:
        """Return how many threads the workers of a cluster with an address have; those of our own are our cores."""
        return sum(worker["nthreads"] for worker in self._workers().values()) if self.address is not None else None

    def _resources(self, demand: Demand) -> dict[str, int]:
        """Return what to ask Dask for; of a cluster of our own nothing, as its machine's slots are counted before.

        CPU counts where a worker declares it. Elsewhere a task takes one of a worker's threads, and nobody can say more.
        """
        if self.address is None:
            return {}
        wanted = {"GPU": demand.gpus, "MEMORY": demand.memory_mb * 2**20}
        if any("CPU" in worker["resources"] for worker in self._workers().values()):
            wanted["CPU"] = demand.cpus
        return {name: amount for name, amount in wanted.items() if amount}

    def _workers(self) -> Mapping[str, Any]:
        """Return the workers that Dask has now, address → what it knows of them."""
        return self.client.scheduler_info(n_workers=-1)["workers"]  # type: ignore[no-any-return]

    def _require_connection(self) -> None:
        if self.client.status not in ("running", "connecting"):
            raise ConnectionError(f"there is no connection to the Dask scheduler at {self.client.scheduler}")


@functools.cache
def _client(address: str | None) -> Client:
    """Return the connection to a scheduler; one for all runs of this process."""
    if address is None:
        cluster = LocalCluster(
            n_workers=os.cpu_count() or 1, threads_per_worker=1, processes=True, dashboard_address=":0",
            silence_logs=logging.ERROR,  # it warns of each task that ends with the cluster
        )  # fmt: skip
        return Client(cluster, set_as_default=False)
    try:
        return Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise NotAvailableError(
            f"no Dask scheduler answers at {address}: {error}", hint="Start one: dask scheduler"
        ) from error
