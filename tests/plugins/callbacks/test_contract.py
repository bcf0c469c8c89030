"""Our callbacks keep what every callback promises."""

from rlctl.testing import CallbackContract


class TestJsonl(CallbackContract):
    """episodes.jsonl and metrics.jsonl."""

    callback = "jsonl"


class TestTensorboard(CallbackContract):
    """Event files."""

    callback = "tensorboard"
    options = {"flush_seconds": 0.5}


class TestProgress(CallbackContract):
    """Lines or a bar, in the host."""

    callback = "progress"
    options = {"interval": 0.1}


class TestEmpty(CallbackContract):
    """Nothing, on purpose."""

    callback = "empty"
    implements_nothing = True
