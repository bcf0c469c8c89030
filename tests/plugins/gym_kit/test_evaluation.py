"""What an evaluation measures: each seed to its end, raw rewards, in an order that says nothing of how it was played."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

gymnasium = pytest.importorskip("gymnasium")
np = pytest.importorskip("numpy")
hypothesis = pytest.importorskip("hypothesis")

from gymnasium import spaces, wrappers  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from rlctl.errors import NotAvailableError  # noqa: E402
from rlctl.evaluations import EvaluatedEpisode, EvaluationRequest  # noqa: E402
from rlctl.gym.evaluation import measure  # noqa: E402


class Walk(gymnasium.Env):  # type: ignore[misc, name-defined]
    """As many steps as its seed says, from 1 to 20; each is rewarded with the action, and it refuses one more."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Box(-np.inf, np.inf, (), np.float64)

    def __init__(self) -> None:
        self.seeds: list[int | None] = []
        self.closed = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.left = 1 + (seed or 0) % 20
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        assert self.left > 0, "stepped after its end"
        self.left -= 1
        return self._observation(), float(action), self.left == 0, False, {}

    def close(self) -> None:
        self.closed += 1

    def _observation(self) -> Any:
        return np.array([self.left, self.np_random.random()])


class Player:
    """A policy that acts in environments of a kind, by what it sees of each of them alone; remembers all that it sees."""

    def __init__(self, make: Callable[[], Any] = Walk, act: Callable[[Any], Any] = lambda seen: seen.sum()) -> None:
        self.make = make
        self.choose = act
        self.envs: list[Any] = []
        self.arguments: list[dict[str, Any]] = []
        self.observations: list[Any] = []
        self.started: list[list[bool]] = []
        self.greedy: set[bool] = set()

    def make_env(self, env: Any, **kwargs: Any) -> Any:
        self.arguments.append({"env": env, **kwargs})
        self.envs.append(self.make())
        return self.envs[-1]

    def act(self, observations: Any, *, greedy: bool, started: Any) -> Any:
        self.observations.append(observations)
        self.started.append(list(started))
        self.greedy.add(greedy)
        return np.array([self.choose(observation) for observation in observations])


def ask(*seeds: int, num_envs: int = 1, **said: Any) -> EvaluationRequest:
    """Return a request for an episode of each of the seeds."""
    return EvaluationRequest(env={"id": "any"}, seeds=seeds, num_envs=num_envs, **said)


def always(value: Any) -> Callable[[Any], Any]:
    """Return a policy's choice that is the same whatever is seen."""
    return lambda _: value


# ---- each seed to its end ------------------------------------------------------------------------------------------


def test_every_seed_is_played_to_its_end() -> None:
    """Three environments and episodes of 1 to 20 steps: each seed has one, of its own length."""
    seeds = (0, 19, 20, 39, 40, 5, 59)
    found = measure(Player(act=always(1.0)), ask(*seeds, num_envs=3))

    assert [(item.seed, item.length) for item in found] == [(seed, 1 + seed % 20) for seed in seeds]
    assert [item.episode_return for item in found] == [1 + seed % 20 for seed in seeds]


def test_short_episodes_do_not_count_more() -> None:
    """Where the first to finish are taken, the short ones crowd out the long; here the mean is over all seeds."""
    seeds = (19, *range(0, 400, 20))
    found = measure(Player(act=always(1.0)), ask(*seeds, num_envs=2))

    assert sum(item.length for item in found) == 20 + 20 * 1


def test_each_seed_resets_one_environment_once() -> None:
    """No environment is reset beyond its seeds, and none without one."""
    player = Player()
    measure(player, ask(7, 3, 3_000_000_000 % 2**31, 12, num_envs=2))

    assert sorted(seed for env in player.envs for seed in env.seeds) == sorted([7, 3, 3_000_000_000 % 2**31, 12])


@settings(max_examples=60, deadline=None)
@given(seeds=st.lists(st.integers(0, 200), unique=True, max_size=12), num_envs=st.integers(1, 8))
def test_how_many_environments_there_are_changes_nothing(seeds: list[int], num_envs: int) -> None:
    """A policy that looks at each observation alone: same episodes to the bit, in the order of the seeds."""
    one_by_one = [measure(Player(), ask(seed, gamma=0.9))[0] for seed in seeds]

    assert measure(Player(), ask(*seeds, num_envs=num_envs, gamma=0.9)) == one_by_one
    assert [item.seed for item in one_by_one] == seeds


def test_no_more_environments_than_seeds() -> None:
    """Sixteen were allowed, two are made; without any seed there is none."""
    player = Player()
    measure(player, ask(1, 2, num_envs=16))
    assert len(player.envs) == 2

    assert measure(nobody := Player(), ask(num_envs=16)) == []
    assert nobody.envs == []


def test_environments_are_made_as_the_request_says() -> None:
    """The `env` mapping is the request's, and without a film nothing is asked of its rendering."""
    player = Player()
    measure(player, ask(1))

    assert player.arguments == [{"env": {"id": "any"}}]


@pytest.mark.parametrize("greedy", [True, False])
def test_the_policy_is_told_how_to_act(greedy: bool) -> None:
    """Greedily or not, in every step."""
    player = Player()
    measure(player, ask(1, 2, greedy=greedy))

    assert player.greedy == {greedy}


def test_terminated_and_truncated_both_end_an_episode() -> None:
    """Which one it was is kept: an episode that ran into a limit is no failure of the policy."""
    player = Player(lambda: wrappers.TimeLimit(Walk(), 5), always(1.0))
    found = measure(player, ask(2, 19, 4, 5, num_envs=2))

    # Both at the fifth step: it ended by itself.
    assert [(item.length, item.terminated) for item in found] == [(3, True), (5, False), (5, True), (5, False)]


# ---- rewards -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "above", [lambda env: wrappers.TransformReward(env, lambda _: -1.0), wrappers.NormalizeReward], ids=["clip", "norm"]
)
def test_rewards_are_raw_below_the_statistics_of_episodes(above: Callable[[Any], Any]) -> None:
    """What stands above RecordEpisodeStatistics changes nothing: the return is the one that a training would record."""
    ended: list[Any] = []

    class Watch(gymnasium.Wrapper):  # type: ignore[misc, name-defined]
        def step(self, action: Any) -> Any:
            answer = self.env.step(action)
            if "episode" in answer[-1]:
                ended.append(answer[-1]["episode"])
            return answer

    player = Player(lambda: above(Watch(wrappers.RecordEpisodeStatistics(Walk()))), always(2.0))
    (found,) = measure(player, ask(6, gamma=1.0))

    assert (found.episode_return, found.discounted_return, found.length) == (14, 14, 7)
    assert [(item["r"], item["l"]) for item in ended] == [(14, 7)]


def test_what_stands_below_the_statistics_belongs_to_the_environment() -> None:
    """A wrapper beneath RecordEpisodeStatistics is part of what is played."""
    player = Player(lambda: wrappers.RecordEpisodeStatistics(wrappers.TransformReward(Walk(), lambda r: r * 10)))
    player.choose = always(2.0)

    assert measure(player, ask(6))[0].episode_return == 140


def test_without_statistics_rewards_are_those_of_the_whole_environment() -> None:
    """A policy that brings no RecordEpisodeStatistics is measured by what its environment gives."""
    player = Player(lambda: wrappers.TransformReward(Walk(), lambda reward: reward * 10), always(2.0))

    assert measure(player, ask(6))[0].episode_return == 140


def test_what_a_reset_takes_is_not_part_of_the_episode() -> None:
    """Steps within `reset`, such as the random ones of a start, are none of the policy's."""

    class Late(gymnasium.Wrapper):  # type: ignore[misc, name-defined]
        def reset(self, **kwargs: Any) -> Any:
            self.env.reset(**kwargs)
            observation, *_ = self.env.step(100.0)
            return observation, {}

    player = Player(lambda: Late(wrappers.RecordEpisodeStatistics(Walk())), always(1.0))

    assert measure(player, ask(6)) == [EvaluatedEpisode(seed=6, episode_return=6, length=6, terminated=True)]


@pytest.mark.parametrize(
    ("gamma", "expected"),
    [(None, None), (0.0, 3.0), (0.5, 3 + 0.5 * 2 + 0.25 * 1 + 0.125 * 0), (1.0, 6.0)],
)
def test_a_discounted_return_is_that_of_the_book(gamma: float | None, expected: float | None) -> None:
    """Rewards 3, 2, 1, 0: the first counts whole, each later one gamma times less; without gamma there is none."""
    player = Player(act=lambda seen: seen[0] - 1)
    (found,) = measure(player, ask(3, gamma=gamma))

    assert (found.discounted_return, found.episode_return) == (expected, 6)


def test_discounting_begins_anew_with_each_episode() -> None:
    """The second episode of an environment is discounted like the first."""
    player = Player(act=always(1.0))

    assert [item.discounted_return for item in measure(player, ask(1, 21, 41, gamma=0.5))] == [1.5] * 3


# ---- the policy's own estimates ------------------------------------------------------------------------------------


class Prophet(Player):
    """Takes the discounted return to be a hundred times the first number that it sees; counts how often it was asked."""

    known = True

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.asked: list[Any] = []

    def values(self, observations: Any) -> Any:
        self.asked.append(observations)
        return 100 * observations[:, 0] if self.known else None


OWN = {"gamma": 0.5, "trained_gamma": 0.5}


@pytest.mark.parametrize("num_envs", [1, 2, 3, 8])
def test_each_episode_has_the_estimate_of_its_first_observation(num_envs: int) -> None:
    """Whatever the others do beside it, and in whichever environment it is played."""
    seeds = (3, 19, 0, 7, 25)
    found = measure(Prophet(act=always(1.0)), ask(*seeds, num_envs=num_envs, **OWN))

    assert [item.value for item in found] == [100 * (1 + seed % 20) for seed in seeds]


def test_the_policy_is_asked_only_where_an_episode_begins() -> None:
    """And then about all environments, as when it acts, with the very observations that it acts on next."""
    player = Prophet(act=always(1.0))
    measure(player, ask(3, 19, 0, num_envs=2, **OWN))

    begun = [seen for seen, started in zip(player.observations, player.started, strict=True) if any(started)]
    assert len(begun) == 2 < len(player.observations)
    assert [seen.shape for seen in player.asked] == [(2, 2), (2, 2)]
    assert all((asked == seen).all() for asked, seen in zip(player.asked, begun, strict=True))


@pytest.mark.parametrize(
    "said", [{}, {"gamma": 0.5}, {"gamma": 0.5, "trained_gamma": 0.9}, {**OWN, "greedy": False}], ids=str
)
def test_a_policy_is_not_asked_for_what_cannot_be_compared(said: dict[str, Any]) -> None:
    """Its estimate is of greedy actions and of the discount of its training."""
    player = Prophet()
    found = measure(player, ask(3, 19, **said))

    assert player.asked == []
    assert [item.value for item in found] == [None, None]


def test_a_policy_need_not_say_what_it_expects() -> None:
    """One without such a method, and one that answers None, are measured as ever."""
    silent = Prophet()
    silent.known = False
    plain = measure(Player(), ask(3, 19, **OWN))

    assert measure(silent, ask(3, 19, **OWN)) == plain
    assert [item.value for item in plain] == [None, None]


def test_estimates_change_nothing_else_of_an_episode() -> None:
    """The same seeds, with a policy that is asked and one that cannot be."""
    asked = measure(Prophet(), ask(3, 19, 4, num_envs=2, **OWN))

    assert [attrs.evolve(item, value=None) for item in asked] == measure(Player(), ask(3, 19, 4, num_envs=2, **OWN))


# ---- lives ---------------------------------------------------------------------------------------------------------


class Game(gymnasium.Env):  # type: ignore[misc, name-defined]
    """Three lives of four steps, each step rewarded with 1: a game is worth 12, however often it is said to have ended."""

    observation_space = spaces.Box(0, 12, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        self.games = 0
        self.ale = types.SimpleNamespace(lives=lambda: 3 - self.steps // 4)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        self.games += 1
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        return np.full(1, self.steps, np.float32), 1.0, self.steps == 12, False, {}


class LivesEnd(gymnasium.Wrapper):  # type: ignore[misc, name-defined]
    """As EpisodicLifeEnv of Baselines, without the step that it takes when it goes on."""

    was_real_done = True

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.was_real_done = terminated or truncated
        return observation, reward, terminated or self.unwrapped.steps % 4 == 0, truncated, info

    def reset(self, **kwargs: Any) -> Any:
        return self.env.reset(**kwargs) if self.was_real_done else (np.zeros(1, np.float32), {})


def test_a_lost_life_ends_no_episode() -> None:
    """The wrapper ends an episode with each life; a game is measured to its end, as one, and begins as one."""
    player = Player(lambda: LivesEnd(Game()), always(1))
    found = measure(player, ask(1, 2))

    assert [(item.seed, item.episode_return, item.length, item.terminated) for item in found] == [
        (1, 12, 12, True),
        (2, 12, 12, True),
    ]
    assert player.envs[0].unwrapped.games == 2
    assert [index for index, (started,) in enumerate(player.started) if started] == [0, 12]


def test_a_lost_life_of_stable_baselines_ends_no_episode() -> None:
    """EpisodicLifeEnv itself: with the statistics below it, as CleanRL has them, its own steps belong to the game."""
    atari_wrappers = pytest.importorskip("stable_baselines3.common.atari_wrappers")
    player = Player(lambda: atari_wrappers.EpisodicLifeEnv(wrappers.RecordEpisodeStatistics(Game())), always(1))
    (found,) = measure(player, ask(1))

    assert (found.episode_return, found.length, found.terminated) == (12, 12, True)
    assert len(player.observations) == 10, "two of the steps were the wrapper's"


class LivesTerminate(gymnasium.Wrapper):  # type: ignore[misc, name-defined]
    """As AtariPreprocessing of gymnasium: a lost life terminates, and a reset begins another game in any case."""

    terminal_on_life_loss = True

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.terminal_on_life_loss = True

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated or self.unwrapped.steps % 4 == 0, truncated, info


def test_a_lost_life_of_gymnasium_ends_no_episode() -> None:
    """Where a reset would begin another game there is none: the game goes on with the next step."""
    player = Player(lambda: LivesTerminate(Game()), always(1))
    (found,) = measure(player, ask(1))

    assert (found.episode_return, found.length, player.envs[0].unwrapped.games) == (12, 12, 1)


def test_a_game_that_ends_while_it_goes_on_is_not_followed_by_another() -> None:
    """The step that EpisodicLifeEnv takes after a lost life may be the last one: the next game is none of this episode."""
    atari_wrappers = pytest.importorskip("stable_baselines3.common.atari_wrappers")

    class Sudden(Game):
        def step(self, action: Any) -> Any:
            observation, reward, _, truncated, info = super().step(action)
            return observation, reward, self.steps == 5, truncated, info

    player = Player(lambda: atari_wrappers.EpisodicLifeEnv(wrappers.RecordEpisodeStatistics(Sudden())), always(1))
    (found,) = measure(player, ask(1))

    assert found.length <= 5


def test_a_limit_ends_an_episode_also_where_lives_do_not() -> None:
    """Truncated by a wrapper that stands above the lives: the game is not over, and the episode is."""
    player = Player(lambda: wrappers.TimeLimit(LivesEnd(Game()), 3), always(1))
    (found,) = measure(player, ask(1))

    assert (found.episode_return, found.length, found.terminated) == (3, 3, False)


# ---- ending early --------------------------------------------------------------------------------------------------


class Endless(Walk):
    """Odd seeds never end."""

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        if self.seeds[-1] % 2:  # type: ignore[operator]
            self.left, terminated = 5, False
        return observation, reward, terminated, truncated, info


def test_when_time_is_over_what_has_ended_is_the_result() -> None:
    """The one that does not end costs itself and what would have come after it, and nothing else."""
    found = measure(Player(Endless, always(1.0)), ask(2, 4, 5, 6, 7, 8, num_envs=2, time_limit=0.3))

    assert [item.seed for item in found] == [2, 4, 6]
    assert [item.length for item in found] == [3, 5, 7]


def test_an_evaluation_ends_when_it_is_told_so() -> None:
    """`go_on` is asked before each step; after False there is none, and the episodes that have ended are returned."""
    answers = iter([True] * 8 + [False])
    player = Player(act=always(1.0))
    found = measure(player, ask(2, 4, 19), lambda: next(answers))

    assert [item.seed for item in found] == [2, 4]
    assert len(player.observations) == 8


def test_an_evaluation_that_may_not_begin_takes_no_step() -> None:
    """False at once is an empty result."""
    player = Player()

    assert measure(player, ask(1, 2), lambda: False) == []
    assert player.observations == []


@pytest.mark.parametrize("how", ["to the end", "stopped", "failed"])
def test_environments_are_closed_in_any_case(how: str) -> None:
    """All of them, once, also when the policy raises."""
    player = Player()
    if how == "failed":
        player.choose = lambda _: 1 / 0
        with pytest.raises(ZeroDivisionError):
            measure(player, ask(1, 2, 3, num_envs=3))
    else:
        measure(player, ask(1, 2, 3, num_envs=3), lambda: how == "to the end")

    assert [env.closed for env in player.envs] == [1, 1, 1]


# ---- observations and actions --------------------------------------------------------------------------------------


def test_an_episode_s_beginning_is_flagged() -> None:
    """A policy that remembers is told where to forget: at the first step of each episode, in its own environment."""
    player = Player(act=always(1.0))
    measure(player, ask(2, 0, 1, num_envs=2))  # lengths 3, 1 and 2

    assert player.started == [[True, True], [False, True], [False, False]]


def test_an_environment_without_a_seed_waits() -> None:
    """The batch keeps its size until the last episode has ended; who waits is not stepped."""
    player = Player(act=always(1.0))
    measure(player, ask(0, 9, num_envs=2))

    assert [observations.shape for observations in player.observations] == [(2, 2)] * 10


def test_images_stay_images() -> None:
    """An array has the dtype of the environment: an image of bytes is not made one of floats."""

    class Screen(Walk):
        observation_space = spaces.Box(0, 255, (4, 4, 3), np.uint8)

        def _observation(self) -> Any:
            return np.full((4, 4, 3), self.left, np.uint8)

    player = Player(Screen, always(1.0))
    measure(player, ask(2, 3, num_envs=2))

    assert {(seen.shape, seen.dtype.name) for seen in player.observations} == {((2, 4, 4, 3), "uint8")}


def test_single_numbers_are_stacked() -> None:
    """An environment of states, such as FrozenLake, gives one number: the batch is a vector of them."""

    class States(Walk):
        observation_space = spaces.Discrete(100)

        def _observation(self) -> Any:
            return self.left

    player = Player(States, always(1.0))
    measure(player, ask(2, 9, num_envs=2))

    assert player.observations[0].tolist() == [3, 10]


def test_dictionaries_are_stacked_by_key() -> None:
    """The policy gets a dictionary of batches, as vector environments give it; each row is one environment's."""

    class Named(Walk):
        observation_space = spaces.Dict(left=spaces.Discrete(100), pair=spaces.Box(0, 99, (2,), np.float32))

        def _observation(self) -> Any:
            return {"left": self.left, "pair": np.full(2, self.left, np.float32)}

    class Policy(Player):
        def act(self, observations: Any, *, greedy: bool, started: Any) -> Any:
            self.observations.append({name: values.copy() for name, values in observations.items()})
            return observations["left"].astype(float)

    player = Policy(Named)
    found = measure(player, ask(2, 9, num_envs=2))

    first = player.observations[0]
    assert (first["left"].tolist(), first["pair"].tolist()) == ([3, 10], [[3, 3], [10, 10]])
    assert first["pair"].dtype == np.float32
    assert [item.episode_return for item in found] == [3 + 2 + 1, sum(range(11))]


def test_tuples_are_stacked_by_place() -> None:
    """So is a tuple: a tuple of batches."""

    class Both(Walk):
        observation_space = spaces.Tuple((spaces.Discrete(100), spaces.Box(0, 99, (2,), np.float32)))

        def _observation(self) -> Any:
            return self.left, np.full(2, self.left, np.float32)

    class Policy(Player):
        def act(self, observations: Any, *, greedy: bool, started: Any) -> Any:
            left, pair = observations
            assert pair.shape == (2, 2)
            return left.astype(float)

    assert [item.episode_return for item in measure(Policy(Both), ask(2, 3, num_envs=2))] == [6, 10]


def test_actions_of_several_parts_are_separated() -> None:
    """A dictionary of batches of actions becomes one dictionary for each environment."""
    taken: list[Any] = []

    class Hands(Walk):
        action_space = spaces.Dict(left=spaces.Discrete(9), right=spaces.Box(-1, 1, (2,), np.float32))

        def step(self, action: Any) -> Any:
            taken.append((int(action["left"]), action["right"].tolist()))
            return super().step(0.0)

    class Policy(Player):
        def act(self, observations: Any, *, greedy: bool, started: Any) -> Any:
            return {"left": np.array([1, 2]), "right": np.array([[0, 1], [1, 0]], np.float32)}

    measure(Policy(Hands), ask(0, 20, num_envs=2))

    assert taken == [(1, [0, 1]), (2, [1, 0])]


# ---- films ---------------------------------------------------------------------------------------------------------


class Visible(Walk):
    """Shows how many steps are left as a shade of grey; its height is odd, as that of many environments is."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    render_mode = "rgb_array"

    def render(self) -> Any:
        return np.full((33, 48, 3), 10 * self.left, np.uint8)


@pytest.fixture
def imageio() -> Any:
    """Return imageio, with which films are looked at."""
    pytest.importorskip("imageio_ffmpeg")
    return pytest.importorskip("imageio.v2")


def test_every_episode_becomes_a_film(imageio: Any, tmp_path: Path) -> None:
    """One file for each seed, named by it and its return, with a picture of the reset and of each step, in its speed."""
    player = Player(Visible, always(1.0))
    found = measure(player, ask(2, 9, 4, num_envs=2, video=str(tmp_path / "films")))

    names = sorted(path.name for path in (tmp_path / "films").iterdir())
    assert names == ["seed-2-return-3.mp4", "seed-4-return-5.mp4", "seed-9-return-10.mp4"]
    for item in found:
        with imageio.get_reader(tmp_path / "films" / f"seed-{item.seed}-return-{item.episode_return:g}.mp4") as film:
            pictures = [int(picture.mean()) for picture in film]
            assert film.get_meta_data()["fps"] == 10
            assert film.get_meta_data()["size"] == (48, 32)
        assert pictures == pytest.approx([10 * left for left in range(item.length, -1, -1)], abs=6)
    assert {argument["render_mode"] for argument in player.arguments} == {"rgb_array"}


def test_an_unfinished_film_is_thrown_away(imageio: Any, tmp_path: Path) -> None:
    """An episode that did not end leaves no file, neither whole nor partial."""
    answers = iter([True] * 6 + [False])
    measure(Player(Visible, always(1.0)), ask(2, 19, video=str(tmp_path)), lambda: next(answers))

    assert [path.name for path in tmp_path.iterdir()] == ["seed-2-return-3.mp4"]


def test_filming_changes_no_episode(imageio: Any, tmp_path: Path) -> None:
    """The same seeds with and without a film."""
    filmed = measure(Player(Visible), ask(2, 9, num_envs=2, video=str(tmp_path)))

    assert filmed == measure(Player(Visible), ask(2, 9, num_envs=2))


def test_what_shows_nothing_cannot_be_filmed(tmp_path: Path) -> None:
    """An environment without pictures is refused in words before anything is played, and closed."""
    player = Player(Walk)

    with pytest.raises(NotAvailableError, match="cannot be shown as rgb_array; its render modes: none"):
        measure(player, ask(1, video=str(tmp_path / "films")))
    assert player.observations == []
    assert player.envs[0].closed == 1
    assert not (tmp_path / "films").exists()
