"""rlctl: train reinforcement-learning agents on any backend, compare them honestly, lose nothing.

The public names below are resolved on first use, so `import rlctl` costs almost nothing and a plugin's front can
`from rlctl import WorkerDescriptor, hookimpl` without loading the run machinery.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "API_VERSION": "rlctl.descriptors",
    "ActionSpace": "rlctl.descriptors",
    "AlgorithmDescriptor": "rlctl.descriptors",
    "CallbackDescriptor": "rlctl.descriptors",
    "CheckpointSaved": "rlctl.events",
    "ConfigError": "rlctl.errors",
    "Conversion": "rlctl.conversions",
    "ConvertedConfig": "rlctl.conversions",
    "ConverterDescriptor": "rlctl.conversions",
    "EnvConfig": "rlctl.config.schema",
    "EnvFacts": "rlctl.compatibility",
    "Episode": "rlctl.events",
    "EstimatingPolicy": "rlctl.worker.protocol",
    "Evaluation": "rlctl.evaluations",
    "EvaluationOptions": "rlctl.launch.evaluate",
    "ExecutorDescriptor": "rlctl.descriptors",
    "ExportDescriptor": "rlctl.exports",
    "Exportable": "rlctl.exports",
    "Metrics": "rlctl.events",
    "NotAvailableError": "rlctl.errors",
    "Mode": "rlctl.descriptors",
    "Network": "rlctl.exports",
    "NetworkPolicy": "rlctl.worker.protocol",
    "ObservationSpace": "rlctl.descriptors",
    "Parameter": "rlctl.descriptors",
    "Policy": "rlctl.worker.protocol",
    "Problem": "rlctl.errors",
    "Process": "rlctl.descriptors",
    "Progress": "rlctl.events",
    "Result": "rlctl.events",
    "Resumable": "rlctl.worker.protocol",
    "Resume": "rlctl.descriptors",
    "RlctlError": "rlctl.errors",
    "Run": "rlctl.worker.run",
    "RunConfig": "rlctl.config.schema",
    "RunInfo": "rlctl.events",
    "RunResult": "rlctl.api",
    "StageChanged": "rlctl.events",
    "UsageError": "rlctl.errors",
    "Worker": "rlctl.worker.protocol",
    "WorkerDescriptor": "rlctl.descriptors",
    "evaluate": "rlctl.launch.evaluate",
    "export": "rlctl.launch.export",
    "hookimpl": "rlctl.hooks",
    "load_actions": "rlctl.gym.transitions",
    "load_episodes": "rlctl.gym.episodes",
    "load_frames": "rlctl.gym.transitions",
    "load_transitions": "rlctl.gym.transitions",
    "multi_run": "rlctl.plans.seeds",
    "parameters_of": "rlctl.descriptors",
    "resume": "rlctl.api",
    "run": "rlctl.api",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - the table above is the one list of public names

if TYPE_CHECKING:
    from rlctl.api import RunResult as RunResult
    from rlctl.api import resume as resume
    from rlctl.api import run as run
    from rlctl.compatibility import EnvFacts as EnvFacts
    from rlctl.config.schema import EnvConfig as EnvConfig
    from rlctl.config.schema import RunConfig as RunConfig
    from rlctl.conversions import Conversion as Conversion
    from rlctl.conversions import ConvertedConfig as ConvertedConfig
    from rlctl.conversions import ConverterDescriptor as ConverterDescriptor
    from rlctl.descriptors import API_VERSION as API_VERSION
    from rlctl.descriptors import ActionSpace as ActionSpace
    from rlctl.descriptors import AlgorithmDescriptor as AlgorithmDescriptor
    from rlctl.descriptors import CallbackDescriptor as CallbackDescriptor
    from rlctl.descriptors import ExecutorDescriptor as ExecutorDescriptor
    from rlctl.descriptors import Mode as Mode
    from rlctl.descriptors import ObservationSpace as ObservationSpace
    from rlctl.descriptors import Parameter as Parameter
    from rlctl.descriptors import Process as Process
    from rlctl.descriptors import Resume as Resume
    from rlctl.descriptors import WorkerDescriptor as WorkerDescriptor
    from rlctl.descriptors import parameters_of as parameters_of
    from rlctl.errors import ConfigError as ConfigError
    from rlctl.errors import NotAvailableError as NotAvailableError
    from rlctl.errors import Problem as Problem
    from rlctl.errors import RlctlError as RlctlError
    from rlctl.errors import UsageError as UsageError
    from rlctl.evaluations import Evaluation as Evaluation
    from rlctl.events import CheckpointSaved as CheckpointSaved
    from rlctl.events import Episode as Episode
    from rlctl.events import Metrics as Metrics
    from rlctl.events import Progress as Progress
    from rlctl.events import Result as Result
    from rlctl.events import RunInfo as RunInfo
    from rlctl.events import StageChanged as StageChanged
    from rlctl.exports import Exportable as Exportable
    from rlctl.exports import ExportDescriptor as ExportDescriptor
    from rlctl.exports import Network as Network
    from rlctl.gym.episodes import load_episodes as load_episodes
    from rlctl.gym.transitions import load_actions as load_actions
    from rlctl.gym.transitions import load_frames as load_frames
    from rlctl.gym.transitions import load_transitions as load_transitions
    from rlctl.hooks import hookimpl as hookimpl
    from rlctl.launch.evaluate import EvaluationOptions as EvaluationOptions
    from rlctl.launch.evaluate import evaluate as evaluate
    from rlctl.launch.export import export as export
    from rlctl.plans.seeds import multi_run as multi_run
    from rlctl.worker.protocol import EstimatingPolicy as EstimatingPolicy
    from rlctl.worker.protocol import NetworkPolicy as NetworkPolicy
    from rlctl.worker.protocol import Policy as Policy
    from rlctl.worker.protocol import Resumable as Resumable
    from rlctl.worker.protocol import Worker as Worker
    from rlctl.worker.run import Run as Run


if not TYPE_CHECKING:  # to a type checker this function would say that every name exists

    def __getattr__(name: str) -> Any:
        if name in _HOME:
            return getattr(importlib.import_module(_HOME[name]), name)
        raise AttributeError(f"module 'rlctl' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return [*globals(), *_HOME]
