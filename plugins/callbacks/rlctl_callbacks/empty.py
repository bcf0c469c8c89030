"""The callback that does nothing: for measuring what the others cost, and to begin a new one from."""

from rlctl import RunInfo


class Empty:
    """Implements no hook."""

    def __init__(self, run: RunInfo) -> None:
        """Take who the run is, as every callback's factory does."""
