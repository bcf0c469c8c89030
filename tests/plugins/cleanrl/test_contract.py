"""CleanRL's unmodified scripts keep what every worker promises. The scripts are fetched on first use, as users' are."""

import pytest

from rlctl.testing import WorkerContract

pytestmark = pytest.mark.network


class TestPpo(WorkerContract):
    """An on-policy script: it advances by rollouts of 4 x 128 steps."""

    worker = "cleanrl"
    algo = "ppo"
    env = "CartPole-v1"
    total_timesteps = 2048


# Of dqn the fast tests prove the same, one promise each: test_recordings, and in end_to_end test_exact_resume,
# test_evaluation, test_backends and test_torture.
@pytest.mark.slow
class TestDqn(WorkerContract):
    """An off-policy script: it advances by single steps."""

    worker = "cleanrl"
    algo = "dqn"
    env = "CartPole-v1"
    total_timesteps = 2000
    hyperparameters = {"learning_starts": 500}
