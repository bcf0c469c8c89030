"""Callbacks that record, raise, stop the run, or cannot be made."""

from rlctl import CallbackDescriptor, Parameter, Process, hookimpl

HOOK = Parameter(name="hook", kinds=("string",), default="rlctl_step", doc="The hook to raise in.")
AT = Parameter(name="at", kinds=("integer",), default=100, doc="The step from which on to act.", minimum=0)


@hookimpl
def rlctl_callbacks() -> list[CallbackDescriptor]:
    module = "toy_callbacks.callbacks"
    host = Process.HOST
    return [
        CallbackDescriptor(name="recorder", summary="records every hook", factory=f"{module}:Recorder"),
        CallbackDescriptor(
            name="host_recorder", summary="records every hook of the host", factory=f"{module}:Recorder", process=host
        ),
        CallbackDescriptor(name="raises", summary="raises", factory=f"{module}:raising", options=(HOOK, AT)),
        CallbackDescriptor(
            name="critical",
            summary="raises, critically",
            factory=f"{module}:raising",
            options=(HOOK, AT),
            critical=True,
        ),
        CallbackDescriptor(
            name="host_raises",
            summary="raises in the host",
            factory=f"{module}:raising",
            options=(HOOK, AT),
            process=host,
        ),
        CallbackDescriptor(name="stopper", summary="ends the run", factory=f"{module}:Stopper", options=(AT,)),
        CallbackDescriptor(name="troubled", summary="tells of trouble", factory=f"{module}:Troubled"),
        CallbackDescriptor(name="unmakeable", summary="cannot be made", factory=f"{module}:unmakeable"),
        CallbackDescriptor(name="misspelt", summary="has a misspelt hook", factory=f"{module}:Misspelt"),
    ]
