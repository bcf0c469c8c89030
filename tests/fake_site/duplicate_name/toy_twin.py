"""Brings names that are taken by the other toy distributions or by rlctl: of a worker, a callback, and all the rest."""

from rlctl import (
    AlgorithmDescriptor,
    CallbackDescriptor,
    ConverterDescriptor,
    ExecutorDescriptor,
    ExportDescriptor,
    WorkerDescriptor,
    hookimpl,
)


@hookimpl
def rlctl_workers() -> list[WorkerDescriptor]:
    algorithm = AlgorithmDescriptor(
        name="twin", action_spaces=(), observation_spaces=(), default_env="toy", default_total_timesteps=10
    )
    return [
        WorkerDescriptor(
            name="toy",
            summary="the twin",
            entry_point="toy_twin:Absent",
            algorithms=(algorithm,),
            env_families=("toy",),
        )
    ]


@hookimpl
def rlctl_callbacks() -> list[CallbackDescriptor]:
    return [CallbackDescriptor(name="recorder", summary="the twin", factory="toy_twin:Absent")]


@hookimpl
def rlctl_executors() -> list[ExecutorDescriptor]:
    return [ExecutorDescriptor(name="toy", summary="the twin", factory="toy_twin:Absent")]


@hookimpl
def rlctl_converters() -> list[ConverterDescriptor]:
    return [ConverterDescriptor(name="toy", summary="the twin", convert="toy_twin:absent")]


@hookimpl
def rlctl_exports() -> list[ExportDescriptor]:
    return [
        ExportDescriptor(name=name, summary="the twin", entry_point="toy_twin:absent", filename="twin")
        for name in ("skill", "onnx")
    ]
