"""What a backend implements: a training, and what can be saved, read and lent of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from rlctl.exports import Network
    from rlctl.worker.run import Run


class Policy(Protocol):
    """A trained policy and the environments that it can act in."""

    def make_env(self, env: Mapping[str, Any], **kwargs: Any) -> Any:
        """Return one environment of the `env` mapping, wrapped as the policy knows it; `kwargs` go to its constructor.

        Anything that learns in a wrapper, the statistics of a normalisation say, must stand still in it.
        """

    def act(self, observations: Any, *, greedy: bool, started: Any) -> Any:
        """Return an action for each of the observations, (num_envs, ...).

        `greedy` asks for the best action, otherwise it is drawn as in training. `started` (num_envs,) says where an
        episode has just begun, for a policy that remembers. Raises RlctlError if it can only be greedy and is asked not to.
        """


@runtime_checkable
class EstimatingPolicy(Policy, Protocol):
    """A policy that also says what it expects; rlctl asks every policy that has this method."""

    def values(self, observations: Any) -> Any:
        """Return the policy's own estimate of the discounted return from each of the observations, (num_envs, ...), acting
        greedily: (num_envs,), or None where it has none, because it learned from other rewards than the environment gives.

        `act` follows with the same observations, and must do what it would have done: nothing is drawn or remembered here.
        """


@runtime_checkable
class NetworkPolicy(Policy, Protocol):
    """A policy that is a PyTorch network and says which; it can then be exported as one."""

    def network(self, env: Mapping[str, Any]) -> Network:
        """Return the policy as a network for environments of the `env` mapping; a copy, which nobody else uses.

        Raises NotAvailableError, saying why, for a policy that is none, as it remembers say.
        """


class Resumable(Protocol):
    """What a training gives to `run.attach`, so that it can be saved, resumed, evaluated and begun from.

    Everything here is called at safe points only, the two `read_*` of weights before the first step.
    """

    def write_state(self, folder: Path) -> None:
        """Write everything that the training is into files in `folder`; names are the training's own.

        `weights.safetensors` should be the policy; `rlctl.torch.data.write_data` writes any other state as data.
        """

    def read_state(self, folder: Path) -> None:
        """Become what `write_state` wrote."""

    def read_weights(self, folder: Path) -> None:
        """Take from what `write_state` wrote what the policy is: weights and normalisation, no counts and no optimizer.

        Raises RlctlError, naming what differs, where they are of another shape.
        """

    def read_artefact(self, path: Path, trust: bool) -> None:
        """Take the weights from a file that the library itself wrote; only with `trust` may something be unpickled.

        Raises RlctlError when it is no such file, does not fit, or needs trust.
        """

    def policy(self, seed: int) -> AbstractContextManager[Policy]:
        """Lend the policy as it is now, with all generators seeded by `seed`.

        When it is given back, everything is as it was before: generators, modes of networks. Nobody can tell afterwards.
        """


def require_resumable(state: object) -> None:
    """Raise TypeError, naming what is missing, for an object that is no Resumable: better now than when it is needed."""
    names = ("write_state", "read_state", "read_weights", "read_artefact", "policy")
    lacking = [name for name in names if not callable(getattr(state, name, None))]
    if lacking:
        raise TypeError(f"{type(state).__name__} lacks {', '.join(lacking)} of rlctl.Resumable")


@runtime_checkable
class Worker(Protocol):
    """A training backend. A descriptor's `entry_point` is called without arguments and returns one of these.

    The class is only instantiated in the worker process, so its module may import anything.
    """

    def train(self, run: Run) -> None:
        """Train until `run.advance(step)` returns False, then return.

        Report with `run.record_episode` and `run.record_metrics`; write files of the library itself to
        `run.directory.backend`. Raise anything to fail the run: its traceback becomes the failure report.
        """
