"""`rlctl envs`: which environments there are, to which family they belong, what one is, and what is said of one that is not."""

from __future__ import annotations

import pytest

from rlctl.families import family_of


@pytest.mark.parametrize(
    ("env_id", "entry_point", "family"),
    [
        ("CartPole-v1", "gymnasium.envs.classic_control.cartpole:CartPoleEnv", "classic_control"),
        ("FrozenLake-v1", "gymnasium.envs.toy_text.frozen_lake:FrozenLakeEnv", "toy_text"),
        ("LunarLander-v3", "gymnasium.envs.box2d.lunar_lander:LunarLander", "box2d"),
        ("Ant-v5", "gymnasium.envs.mujoco.ant_v5:AntEnv", "mujoco"),
        ("ALE/Pong-v5", None, "atari"),
        ("PongNoFrameskip-v4", None, "atari"),
        ("MiniGrid-Empty-5x5-v0", None, "minigrid"),
        ("minigrid:MiniGrid-Empty-5x5-v0", None, "minigrid"),
        ("BabyAI-GoToObj-v0", "minigrid.envs.babyai.goto:GoToObj", "babyai"),
        ("procgen-coinrun-v0", None, "procgen"),
        ("dm_control/walker-walk-v0", None, "dm_control"),
        ("mine:Own-v0", "minigridlike.envs:Own", None),
    ],
)
def test_families_are_known_by_ids_and_entry_points(env_id, entry_point, family):
    found = family_of(env_id, entry_point)
    assert (found.name if found else None) == family


def test_the_list_has_what_is_registered_and_says_what_is_lacking(cli):
    """One of a package that gymnasium does not find by itself is there, too."""
    answer = cli("envs", "list", "--json", timeout=200)
    rows = {row["id"]: row for row in answer.json()}
    assert rows["CartPole-v1"] == {
        "id": "CartPole-v1", "family": "classic_control", "max_episode_steps": 500, "reward_threshold": 475.0,
        "installed": True,
    }  # fmt: skip
    if "MiniGrid-Empty-5x5-v0" in rows:
        assert rows["MiniGrid-Empty-5x5-v0"]["family"] == "minigrid"
    lacking = {row["family"] for row in rows.values() if not row["installed"]}
    assert all(f"{family} (" in answer.err for family in lacking)


def test_a_family_alone(cli):
    lines = cli("envs", "list", "--family", "toy_text", timeout=200).out.splitlines()
    assert lines[0].split() == ["ENV", "FAMILY", "STEPS", "SOLVED", "AT", "STATUS"]
    assert lines[1:]
    assert all(" toy_text " in line for line in lines[1:])


def test_an_unknown_family_is_refused(fast_cli):
    refused = fast_cli("envs", "list", "--family", "minigird")
    assert refused.code == 2
    assert 'there is no family "minigird". Did you mean "minigrid"?' in refused.err


def test_one_is_shown_with_its_spaces_and_spec(cli):
    shown = cli("envs", "show", "CartPole-v1", "--json", timeout=200).json()
    assert (shown["family"], shown["action_space"], shown["max_episode_steps"]) == (
        "classic_control",
        "Discrete(2)",
        500,
    )
    assert (shown["reward_threshold"], shown["observation_kind"], shown["resumes_exactly"]) == (475.0, "vector", True)
    assert "TimeLimit" in shown["wrappers"]


def test_an_unknown_one_is_refused_with_what_is_near(cli):
    refused = cli("envs", "show", "CartPoel-v1", timeout=200)
    assert refused.code == 3
    assert 'there is no environment "CartPoel-v1". Did you mean' in refused.err


def test_one_whose_package_is_not_installed_says_what_to_install(cli):
    refused = cli("envs", "show", "dm_control/walker-walk-v0", timeout=200)
    assert refused.code == 3
    assert "pip install 'shimmy[dm-control]'" in refused.err
