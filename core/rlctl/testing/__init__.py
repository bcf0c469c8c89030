"""Tests for plugins, by inheritance: what every worker, callback and executor promises, and tools for tests of your own.

    from rlctl.testing import WorkerContract

    class TestMine(WorkerContract):
        worker = "mine"
        env = "CartPole-v1"
        total_timesteps = 2000

`WorkerContract`, `CallbackContract` and `ExecutorContract` are classes for pytest, the only part of rlctl that needs it.
`fake_run` makes a run for unit tests of `train`, and `fake_distribution` an installed package out of a few strings.
The names are resolved on first use, as the toy worker in here is imported by worker processes, too.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "CallbackContract": "rlctl.testing.callback_contract",
    "ExecutorContract": "rlctl.testing.executor_contract",
    "FakeRun": "rlctl.testing.runs",
    "WorkerContract": "rlctl.testing.worker_contract",
    "fake_distribution": "rlctl.testing.distributions",
    "fake_run": "rlctl.testing.runs",
    "on_path": "rlctl.testing.distributions",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - the table above is the one list of public names

if TYPE_CHECKING:
    from rlctl.testing.callback_contract import CallbackContract as CallbackContract
    from rlctl.testing.distributions import fake_distribution as fake_distribution
    from rlctl.testing.distributions import on_path as on_path
    from rlctl.testing.executor_contract import ExecutorContract as ExecutorContract
    from rlctl.testing.runs import FakeRun as FakeRun
    from rlctl.testing.runs import fake_run as fake_run
    from rlctl.testing.worker_contract import WorkerContract as WorkerContract


if not TYPE_CHECKING:  # to a type checker this function would say that every name exists

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module 'rlctl.testing' has no attribute {name!r}")
        home = _HOME[name]
        if home.endswith("_contract"):
            import pytest

            pytest.register_assert_rewrite(home)  # a broken promise then shows its values
        value = getattr(importlib.import_module(home), name)
        globals()[name] = value
        return value
