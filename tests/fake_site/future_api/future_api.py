"""Was written for a newer plugin API than this rlctl speaks."""

from rlctl import (
    API_VERSION,
    AlgorithmDescriptor,
    CallbackDescriptor,
    ConverterDescriptor,
    ExecutorDescriptor,
    ExportDescriptor,
    WorkerDescriptor,
    hookimpl,
)

NEWER = API_VERSION + 1


@hookimpl
def rlctl_workers() -> list[WorkerDescriptor]:
    algorithm = AlgorithmDescriptor(
        name="later", action_spaces=(), observation_spaces=(), default_env="toy", default_total_timesteps=10
    )
    return [
        WorkerDescriptor(
            name="future",
            summary="from the future",
            entry_point="future_api:Absent",
            algorithms=(algorithm,),
            env_families=("toy",),
            api_version=NEWER,
        )
    ]


@hookimpl
def rlctl_callbacks() -> list[CallbackDescriptor]:
    return [CallbackDescriptor(name="future", summary="of the future", factory="future_api:Absent", api_version=NEWER)]


@hookimpl
def rlctl_executors() -> list[ExecutorDescriptor]:
    return [ExecutorDescriptor(name="future", summary="of the future", factory="future_api:Absent", api_version=NEWER)]


@hookimpl
def rlctl_converters() -> list[ConverterDescriptor]:
    return [ConverterDescriptor(name="future", summary="of the future", convert="future_api:absent", api_version=NEWER)]


@hookimpl
def rlctl_exports() -> list[ExportDescriptor]:
    return [
        ExportDescriptor(
            name="future", summary="of the future", entry_point="future_api:absent", filename="f", api_version=NEWER
        )
    ]
