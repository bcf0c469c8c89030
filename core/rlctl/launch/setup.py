"""Calls what a worker declares as its set-up, so that whatever a stranger's function does is a message and no traceback."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from rlctl.descriptors import WorkerDescriptor, resolve
from rlctl.errors import PluginError, RlctlError


def set_up(
    worker: WorkerDescriptor,
    report: Callable[[str], None],
    *,
    source: str | None = None,
    name: str | None = None,
    algo: str | None = None,
    repair: bool = False,
) -> dict[str, Any]:
    """Return what a worker's set-up says of what it has brought. What it prints goes to stderr, as stdout is for data.

    Raises RlctlError as the set-up does, and PluginError for anything else that is wrong with it.
    """
    assert worker.setup is not None
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found = resolve(worker.setup)(source=source, name=name, algo=algo, report=report, repair=repair)
    except RlctlError:
        raise
    except Exception as error:
        raise PluginError(f'the set-up of worker "{worker.name}" failed: {type(error).__name__}: {error}') from error
    if not isinstance(found, Mapping):
        raise PluginError(f'the set-up of worker "{worker.name}" returned {found!r}, no mapping.')
    return dict(found)
