"""Our callbacks keep what every callback promises."""

from rlctl.testing import CallbackContract


class TestJsonl(CallbackContract):
    """episodes.jsonl and metrics.jsonl."""

    callback = "jsonl"


class TestCsv(CallbackContract):
    """episodes.csv and metrics.csv."""

    callback = "csv"


class TestTensorboard(CallbackContract):
    """Event files, metrics averaged."""

    callback = "tensorboard"
    options = {"flush_seconds": 0.5, "flush_every": 100, "aggregate": "last"}


class TestTensorboardBasic(CallbackContract):
    """Event files, every value."""

    callback = "tensorboard_basic"
    options = {"flush_seconds": 0.5}


class TestConsole(CallbackContract):
    """A line for each few episodes, in the host."""

    callback = "console"
    options = {"every": 5}


class TestProgress(CallbackContract):
    """Lines or a bar, in the host."""

    callback = "progress"
    options = {"interval": 0.1}


class TestEmpty(CallbackContract):
    """Nothing, on purpose."""

    callback = "empty"
    implements_nothing = True
