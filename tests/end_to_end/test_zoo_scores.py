"""rl-zoo3's published hyper-parameters, imported, reach rl-zoo3's published scores. Slow: they are trained to the end."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

# The entries of rl-zoo3's hyperparams/ppo.yml and hyperparams/sac.yml, and what its benchmark.md says of them.
ENTRIES = {
    "ppo": (
        """
CartPole-v1:
  n_envs: 8
  n_timesteps: !!float 1e5
  policy: 'MlpPolicy'
  n_steps: 32
  batch_size: 256
  gae_lambda: 0.8
  gamma: 0.98
  n_epochs: 20
  ent_coef: 0.0
  learning_rate: lin_0.001
  clip_range: lin_0.2
""",
        "CartPole-v1",
        500.0,
    ),
    "sac": (
        """
Pendulum-v1:
  n_timesteps: 20000
  policy: 'MlpPolicy'
  learning_rate: !!float 1e-3
""",
        "Pendulum-v1",
        -200.0,
    ),
}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("algo", ENTRIES)
def test_a_preset_of_the_zoo_reaches_the_zoos_score(algo, cli):
    """500 of 500 on CartPole; on Pendulum about -150, which depends on where 20 episodes begin: none counts below -200."""
    text, env, score = ENTRIES[algo]
    (cli.folder / f"{algo}.yml").write_text(text)
    imported = cli("presets", "import", "zoo", f"{algo}.yml")
    assert imported.code == 0, imported.err

    trained = cli("run", "-c", f"presets/{algo}-{env}.yaml", "--device", "cpu", "--run-id", "it", timeout=3000)
    assert trained.code == 0, trained.err
    answer = cli("evaluate", "it", "--episodes", "20", "--json", timeout=600)

    assert answer.json()["evaluations"][0]["return_mean"] >= score
