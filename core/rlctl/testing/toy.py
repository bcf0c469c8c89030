"""A worker that trains on nothing, for tests of callbacks: deterministic episodes and metrics within milliseconds."""

from __future__ import annotations

import math
import random
from pathlib import Path

from rlctl import AlgorithmDescriptor, Parameter, Run, WorkerDescriptor, hookimpl
from rlctl.testing.distributions import fake_distribution

NAME = "rlctl-testing-toy"


def install(path: Path) -> Path:
    """Make this module's plugin an installed distribution in the folder `path`, and return that."""
    return fake_distribution(path, NAME, {NAME: "rlctl.testing.toy"})


@hookimpl
def rlctl_workers() -> list[WorkerDescriptor]:
    """Return the toy worker."""
    nan = Parameter(name="nan", kinds=("boolean",), default=False, doc="Report NaN and infinities only.")
    algorithm = AlgorithmDescriptor(
        name="count",
        action_spaces=(),
        observation_spaces=(),
        hyperparameters=(nan,),
        default_env="toy",
        default_total_timesteps=500,
    )
    return [
        WorkerDescriptor(
            name=NAME,
            summary="counts, for tests",
            entry_point="rlctl.testing.toy:ToyWorker",
            algorithms=(algorithm,),
            env_families=("toy",),
        )
    ]


class ToyWorker:
    """Counts its steps; an episode takes ten of them."""

    def train(self, run: Run) -> None:
        """Report random returns, or nothing finite when told so."""
        generator = random.Random(run.seed)  # noqa: S311 - a toy
        nan = run.hyperparameters["nan"]
        step = 0
        while run.advance(step):
            step += 1
            if step % 10 == 0:
                run.record_episode(math.nan if nan else generator.random(), 10, step=step)
                loss = generator.choice([math.nan, math.inf, -math.inf]) if nan else generator.random()
                run.record_metrics({"train/loss": loss}, step=step)
