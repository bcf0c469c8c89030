"""What this package brings to rlctl: descriptors only; hyper-parameters are read from SB3's signatures when asked for."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

from rlctl import (
    AlgorithmDescriptor,
    ConverterDescriptor,
    ExportDescriptor,
    Mode,
    ObservationSpace,
    Problem,
    Resume,
    RunConfig,
    WorkerDescriptor,
    hookimpl,
)
from rlctl_sb3.algorithms import ALGORITHMS, CONTRIB

if TYPE_CHECKING:
    import click

_OBSERVATIONS = (
    ObservationSpace.VECTOR,
    ObservationSpace.IMAGE,
    ObservationSpace.DISCRETE,
    ObservationSpace.MULTI_DISCRETE,
    ObservationSpace.MULTI_BINARY,
    ObservationSpace.DICT,
)


@hookimpl
def rlctl_workers() -> list[WorkerDescriptor]:
    lacking = (
        None if PathFinder.find_spec(CONTRIB) else "sb3-contrib is not installed: pip install 'rlctl-sb3[contrib]'"
    )
    return [
        WorkerDescriptor(
            name="sb3",
            summary="Stable-Baselines3 and sb3-contrib",
            entry_point="rlctl_sb3.worker:Sb3Worker",
            algorithms=[
                AlgorithmDescriptor(
                    name=name,
                    summary=algorithm.summary,
                    action_spaces=algorithm.actions,
                    observation_spaces=_OBSERVATIONS,
                    hyperparameters="rlctl_sb3.signatures:hyperparameters",
                    default_env=algorithm.env,
                    default_total_timesteps=algorithm.steps,
                    unavailable=lacking if algorithm.package == CONTRIB else None,
                )
                for name, algorithm in ALGORITHMS.items()
            ],
            requires=("stable-baselines3>=2.4", "torch>=2.3", "gymnasium>=1.0"),
            estimated_memory_mb=500,
            upstream="stable-baselines3",
            resume=Resume.EXACT,
            modes=(Mode.TRAIN, Mode.EVALUATE),
            curriculum=True,
            shows_steps=True,
            warm_up="rlctl_sb3.warming:warm_up",
        )
    ]


@hookimpl
def rlctl_exports() -> list[ExportDescriptor]:
    return [
        ExportDescriptor(
            name="sb3-zip",
            summary="a zip for SB3's own load(), with vecnormalize.pkl beside it where observations are normalised",
            entry_point="rlctl_sb3.export:to_zip",
            filename="model.zip",
            workers=("sb3",),
            requires=("stable-baselines3>=2.4",),
        )
    ]


@hookimpl
def rlctl_check_run(config: RunConfig, worker: WorkerDescriptor) -> Iterable[Problem]:
    from rlctl_sb3.checks import problems_in

    return problems_in(config.hyperparameters, config.algo or "") if worker.name == "sb3" else ()


@hookimpl
def rlctl_converters() -> list[ConverterDescriptor]:
    return [
        ConverterDescriptor(
            name="indra",
            summary="an experiment of Indra-RL-Lab's training pipeline (YAML)",
            convert="rlctl_sb3.conversions.indra:convert",
        ),
        ConverterDescriptor(
            name="agilab",
            summary="the trainers of AGILab's SB3 app (app_settings.toml)",
            convert="rlctl_sb3.conversions.agilab:convert",
        ),
    ]


@hookimpl
def rlctl_commands() -> Iterable[click.Command]:
    from rlctl.descriptors import resolve

    brought: Iterable[click.Command] = resolve("rlctl_sb3.commands:commands")()  # by name: the front imports no click
    return brought
