"""Policies of every backend are played and filmed: the episodes are those that `rlctl evaluate` measures."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.conftest import Cli
from tests.end_to_end.lifecycle import CLEANRL_PPO, DQN, SB3_PPO, train

from rlctl.runs.files import read_json

pytest.importorskip("pygame", reason="CartPole draws with it")

TEXT = ("--render", "rgb_array")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, fetched_cleanrl: Path):
    """Train a little with each backend, sb3 with normalised observations; returns the folder of the runs."""
    folder = tmp_path_factory.mktemp("played")
    cli = Cli(folder)
    own = {"RLCTL_CACHE_DIR": str(fetched_cleanrl), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}

    def start(*words: object, timeout: float):
        return cli(*words, env=own, timeout=timeout)

    train(start, folder, "dqn", [*DQN, "--set", "checkpoint.milestones=[200]"], "-n", 400)
    train(start, folder, "sb3", [*SB3_PPO, "--set", "hyperparameters.normalize=true"], "-n", 256)
    train(start, folder, "cleanrl", CLEANRL_PPO, "-n", 256)
    yield folder
    cli.close()


def played(cli, *words):
    """Play to the end and return what was said as data."""
    answer = cli("play", *words, *TEXT, "--json")
    assert answer.code == 0, answer.err
    return answer.json()


def returns(said):
    """Return the returns of the episodes that were played."""
    return [episode["return"] for episode in said["episodes"]]


def pictures(path):
    """Return how many pictures a film has."""
    imageio = pytest.importorskip("imageio.v2")
    pytest.importorskip("imageio_ffmpeg")
    with imageio.get_reader(path) as film:
        return sum(1 for _ in film)


@pytest.mark.parametrize("backend", ["dqn", "sb3", "cleanrl"])
def test_what_is_played_is_what_is_evaluated(backend, cli, cleanrl_cache, runs):
    """The same seeds, returns and lengths: wrappers, normalisation and actions are those of an evaluation."""
    said = played(cli, runs / backend, "--episodes", 2)
    (measured,) = cli("evaluate", runs / backend, "--episodes", 2, "--json").json()["evaluations"]

    assert [episode["seed"] for episode in said["episodes"]] == measured["seeds"]
    assert returns(said) == measured["returns"]
    assert [episode["length"] for episode in said["episodes"]] == measured["lengths"]
    assert said["checkpoint"] == measured["checkpoint"]


@pytest.mark.parametrize(("backend", "options"), [("dqn", ()), ("sb3", ("--stochastic",)), ("cleanrl", ("--random",))])
def test_a_film_is_kept_with_its_run(backend, options, cli, cleanrl_cache, runs):
    """One film of all episodes with a picture of each reset and step, named by what it shows; nothing else is left there."""
    answer = cli("record", runs / backend, "--episodes", 2, "--seed", 7, *options, "--json")

    assert answer.code == 0, answer.err
    said = answer.json()
    film = Path(said["film"])
    how = "" if not options else f"-{said['acting']}"
    assert film.name == f"record-{said['step']:012d}-seed-7{how}.mp4"
    assert [path.name for path in (runs / backend / "videos").iterdir()] == [film.name]
    assert pictures(film) == said["frames"] == sum(episode["length"] + 1 for episode in said["episodes"])


def test_a_film_goes_where_it_is_told(cli, runs):
    """A GIF of so many steps at such a speed, in a folder that is made for it."""
    said = cli("record", runs / "dqn", "--steps", 6, "--output", "new/film.gif", "--fps", 10)

    assert said.code == 0, said.err
    assert "7, 10 a second" in said.out
    assert pictures(cli.folder / "new" / "film.gif") == 7


def test_a_checkpoint_is_played_by_its_step(cli, runs):
    """What is after the colon is another policy of the same run."""
    early, late = played(cli, f"{runs / 'dqn'}:200", "--episodes", 1), played(cli, runs / "dqn", "--episodes", 1)

    assert (early["step"], late["step"]) == (200, 400)
    assert early["checkpoint"] != late["checkpoint"]


def test_the_newest_run_is_played_where_none_is_named(cli, runs):
    """As everywhere, @latest."""
    said = played(cli, "--runs-dir", runs, "--episodes", 1)

    assert said["what"] in ("run dqn", "run sb3", "run cleanrl")
    assert len(said["episodes"]) == 1


def test_how_actions_are_chosen_can_be_said(cli, runs):
    """Greedily, sampled by the policy, or by chance."""
    words = (runs / "sb3", "--episodes", 3, "--seed", 100)
    greedy, sampled, chance = (played(cli, *words, *how) for how in ((), ("--stochastic",), ("--random",)))

    assert [said["acting"] for said in (greedy, sampled, chance)] == ["greedily", "stochastically", "randomly"]
    assert len({tuple(returns(said)) for said in (greedy, sampled, chance)}) == 3


def test_the_environment_can_be_another(cli, runs):
    """Its id, its arguments and the length of an episode: rewards of -1 at a fall, none besides, cut off after five steps."""
    other = ("--env", "CartPole-v0", "--env-kwargs", "{sutton_barto_reward: true}", "--max-episode-steps", 5)
    said = played(cli, runs / "dqn", *other, "--device", "cpu", "--episodes", 1)

    (episode,) = said["episodes"]
    assert said["env"] == "CartPole-v0"
    assert (episode["return"], episode["length"], episode["terminated"]) == (0.0, 5, False)


def test_a_device_that_is_not_there_is_refused(cli, runs):
    """It is the policy's, as in an evaluation."""
    answer = cli("play", runs / "dqn", *TEXT, "--device", "nonsense")

    assert (answer.code, "device" in answer.err) == (2, True)


def test_a_librarys_file_is_filmed_as_its_run_is_played(cli, runs):
    """As `rlctl evaluate` takes it, with what made it; its film is below the current folder."""
    made = ("-w", "sb3", "-a", "ppo", "--env", "CartPole-v1", "--set", "hyperparameters.normalize=true", "--trust")
    answer = cli("record", runs / "sb3" / "backend" / "model.zip", *made, "--seed", 3, "--json")

    assert answer.code == 0, answer.err
    assert returns(answer.json()) == returns(played(cli, runs / "sb3", "--episodes", 1, "--seed", 3))
    film = Path(answer.json()["film"])
    assert film == cli.folder / "videos" / "record-000000000000-seed-3.mp4"
    assert film.is_file()


def test_a_mode_that_an_environment_has_not_is_refused_with_those_that_it_has(cli, runs):
    """Before the policy's process is started."""
    answer = cli("play", runs / "dqn", "--render", "ansi")

    assert answer.code == 2
    assert "--render: CartPole-v1 cannot be shown as ansi; its render modes: human, rgb_array." in answer.err


def test_chance_needs_no_run(cli):
    """An environment that prints text is played in it; frames and ends are on stdout, or with --json frames on stderr."""
    words = ("play", "--random", "--env", "FrozenLake-v1", "--render", "ansi", "--episodes", 2, "--seed", 4)
    plain, data = cli(*words), cli(*words, "--json")

    said = data.json()
    assert (plain.code, data.code, said["what"], said["checkpoint"]) == (0, 0, "no policy", None)
    assert [episode["seed"] for episode in said["episodes"]] == [4, 5]
    frames = sum(episode["length"] + 1 for episode in said["episodes"])
    assert plain.out.count("SFFF\n") == data.err.count("SFFF\n") == frames
    assert "\x1b" not in plain.out
    assert f"episode 2  seed 5  return {returns(said)[1]:.2f}  length {said['episodes'][1]['length']}" in plain.out
    assert "2 episodes, mean return" in plain.err


def test_an_environment_that_does_not_exist_is_answered(cli):
    """With the nearest that does."""
    answer = cli("play", "--random", "--env", "FrozenLak-v1", "--render", "ansi")

    assert (answer.code, 'Did you mean "FrozenLake' in answer.err) == (3, True)


def test_a_window_is_opened(cli, runs):
    """With a driver that shows nothing, where there is no display; the episode is played at its own speed."""
    words = ("play", runs / "dqn", "--episodes", 1, "--max-episode-steps", 5, "--json")
    answer = cli(*words, env={"SDL_VIDEODRIVER": "dummy"})

    assert answer.code == 0, answer.err
    assert answer.json()["episodes"][0]["length"] == 5


def test_a_window_that_cannot_be_opened_is_no_traceback(cli, runs):
    """A display that is named but not there is found out by the policy's process, and said in words."""
    answer = cli("play", runs / "dqn", "--episodes", 1, env={"SDL_VIDEODRIVER": "x11", "DISPLAY": ":987"})

    assert answer.code == 3
    assert "no window can be opened" in answer.err
    assert "rlctl record" in answer.err


def processes_of(folder):
    """Return the processes that a command of this test has left: they have its folder as their current one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="looks for processes in /proc")
def test_ctrl_c_ends_playing_cleanly(cli, runs, wait_until):
    """What was played until then is said, as data too; the exit code is 130, and nothing is left."""
    words = ("play", runs / "dqn", "--episodes", 10_000, "--max-episode-steps", 3, "--json")
    process = cli.start(*words, env={"SDL_VIDEODRIVER": "dummy"})
    while "episode 2" not in process.stderr.readline():
        pass

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert (process.returncode, "Traceback" in err) == (130, False)
    assert out.count('"length": 3') >= 2
    wait_until(lambda: processes_of(cli.folder) == [])


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="looks for processes in /proc")
def test_ctrl_c_throws_a_film_away(cli, runs, wait_until):
    """Neither a whole film nor a part of one is left, nor a process."""
    pytest.importorskip("imageio_ffmpeg")
    folder = cli.folder / "films"
    process = cli.start("record", runs / "dqn", "--steps", 100_000, "--output", folder / "film.mp4")
    wait_until(lambda: folder.is_dir() and list(folder.glob(".film-*")), timeout=60)

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert (process.returncode, "Traceback" in err) == (130, False)
    assert list(folder.iterdir()) == []
    wait_until(lambda: processes_of(cli.folder) == [])


def test_a_run_is_not_changed_by_being_played(cli, runs):
    """Playing leaves no file in it and alters none."""
    run = runs / "dqn"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}

    played(cli, run, "--episodes", 1)

    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert read_json(run / "result.json")["step"] == 400
