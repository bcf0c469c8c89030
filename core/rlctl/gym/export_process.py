"""The process that exports: `python -m rlctl.gym.export_process DIRECTORY`, see `rlctl.gym.lending`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlctl.descriptors import resolve
from rlctl.errors import PluginError, RlctlError
from rlctl.exports import Exportable, Network, Observed
from rlctl.gym.lending import answer, lend
from rlctl.runs.directory import RunDirectory
from rlctl.worker.protocol import Resumable


def export(directory: RunDirectory, asked: dict[str, Any]) -> dict[str, Any]:
    """Have the file made, from the policy that is lent, or without a `path` from the run's records; returns what is said of it."""
    if asked["path"] is None:
        return {"found": _made(asked["export"], None)}
    found: dict[str, Any] = {}
    lend(directory, asked, lambda state: found.update(_made(asked["export"], state)))
    return {"found": found}


def _made(request: Mapping[str, Any], state: Resumable | None) -> dict[str, Any]:
    """Call the exporter; raises PluginError for whatever it raises that is no error of rlctl's."""
    paths: dict[str, Any] = {name: request[name] and Path(request[name]) for name in ("path", "source", "directory")}
    same: dict[str, Any] = {name: request[name] for name in ("identity", "config", "options", "seed")}
    observe = None if state is None else lambda network: _observed(network, request)
    exportable = Exportable(**paths, **same, state=state, observe=observe)
    try:
        found = resolve(request["entry_point"])(exportable)
        return dict(found or {})
    except RlctlError:
        raise
    except Exception as error:
        raise PluginError(f"{request['whose']} failed: {type(error).__name__}: {error}") from error


def _observed(network: Network, request: Mapping[str, Any]) -> Observed:
    from rlctl.gym.observations import gather  # only here: what needs no policy needs no gymnasium

    return gather(network, request["config"]["env"], request["seed"])


if __name__ == "__main__":
    sys.exit(answer(sys.argv, export))
