"""Our callbacks keep what every callback promises."""

from rlctl import RunConfig
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


class _SeesSteps(CallbackContract):
    """What looks at steps or borrows the policy needs a worker that shows them, which the contract's toy does not."""

    __test__ = False
    test_it_lives_through_a_run_that_diverges = None
    """It is the toy that diverges on demand; what is not finite reaches these callbacks in no other way."""

    def _config(self, *, nan: bool) -> RunConfig:
        return RunConfig(
            worker="dqn",
            env={"id": "CartPole-v1", "kwargs": {"render_mode": "rgb_array"}},
            total_timesteps=200,
            hyperparameters={"learning_starts": 50, "batch_size": 32},
            callbacks={"progress": False, self.callback: dict(self.options)},
        )


class TestTransitions(_SeesSteps):
    """Each step as arrays."""

    __test__ = True
    callback = "transitions"
    options = {"chunk_steps": 64}


class TestActions(_SeesSteps):
    """The actions alone."""

    __test__ = True
    callback = "actions"


class TestFrames(_SeesSteps):
    """Pictures of episodes."""

    __test__ = True
    callback = "frames"
    options = {"every_episodes": 4}


class TestVideo(_SeesSteps):
    """Films of the policy."""

    __test__ = True
    callback = "video"
    options = {"every_steps": 100, "max_steps": 20}
