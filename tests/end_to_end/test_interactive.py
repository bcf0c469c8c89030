"""`rlctl interactive` as its clients meet it: a child process that is asked, tormented, and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Cli
from tests.end_to_end.lifecycle import CLEANRL_PPO, DQN, SB3_PPO, train
from tests.json_schema import errors

from rlctl.interaction import LINE_LIMIT, SCHEMA

ROOT = json.loads(SCHEMA.read_text(encoding="utf-8"))
CHANCE = ("--random", "--env", "CartPole-v1")
CLIENT = Path(__file__).parents[2] / "examples" / "interactive_client.py"
NOISY = """
import os, gymnasium
class Noisy(gymnasium.Env):
    action_space = gymnasium.spaces.Discrete(2)
    observation_space = gymnasium.spaces.Box(0.0, 1.0, (1,))
    def reset(self, *, seed=None, options=None):
        print("printed by reset")
        return self.observation_space.low, {}
    def step(self, action):
        print("printed by step", flush=True)
        os.write(1, b"written by step\\n")
        os.system("echo said by a child of step")
        if action == 1:
            os.kill(os.getpid(), 9)
        return self.observation_space.low, 0.0, False, False, {}
gymnasium.register("Noisy-v0", Noisy)
print("printed by the import")
"""

PICKY = """
import numpy as np, gymnasium
class Picky(gymnasium.Env):
    action_space = gymnasium.spaces.Discrete(4)
    observation_space = gymnasium.spaces.Box(0.0, 1.0, (2,))
    def info(self):
        mask = np.zeros(4, np.int8)
        mask[self.np_random.integers(4)] = 1
        return {"action_mask": mask}
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.low, self.info()
    def step(self, action):
        return self.observation_space.low, 0.0, False, False, self.info()
gymnasium.register("Picky-v0", Picky)
"""


class Client:
    """Talks to a process of `rlctl interactive`; every line that it gets is held to the schema."""

    def __init__(self, cli: Cli, *words: object, **options: Any) -> None:
        self.errors = cli.folder / f"stderr-{time.monotonic_ns()}"
        with self.errors.open("w") as file:
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stderr": file, "text": False}
            self.process = cli.start("interactive", *words, **{**pipes, "errors": None, **options})
        self.greeting = self.read()

    def send(self, line: bytes) -> None:
        """Send bytes as they are."""
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        """Return the next answer."""
        assert self.process.stdout is not None
        line: Any = self.process.stdout.readline()
        assert line, f"nothing was said:\n{self.errors.read_text()}"
        answer: dict[str, Any] = json.loads(line)
        assert list(errors(answer, ROOT["$defs"]["answers"][answer["type"]], ROOT)) == [], answer
        return answer

    def __call__(self, cmd: str, **fields: Any) -> dict[str, Any]:
        """Send a request and return its answer."""
        self.send(json.dumps({"cmd": cmd, **fields}).encode() + b"\n")
        return self.read()

    def episode(self, **reset: Any) -> dict[str, Any]:
        """Let the policy play an episode; returns its end."""
        answer = self("reset", **reset)
        while not (answer.get("terminated") or answer.get("truncated")):
            answer = self("step")
            assert answer["type"] == "step", answer
        return self.read()

    def end(self) -> tuple[int, bytes]:
        """Close stdin; returns the exit code and all that was said until then."""
        out, _ = self.process.communicate(timeout=60)
        return self.process.returncode, out


SMALL = ("--set", "hyperparameters.n_steps=64", "--set", "hyperparameters.n_epochs=1")
TRAININGS: dict[str, tuple[list[str], int]] = {
    "dqn": (DQN, 300),
    "sb3": ([*SB3_PPO, "--set", "hyperparameters.normalize=true"], 128),
    "recurrent": (["sb3/recurrent_ppo", "CartPole-v1", *SMALL], 64),
    "cleanrl": (CLEANRL_PPO, 256),
}
"""Small runs with statistics of a normalisation, and of a policy that remembers, among them; and their steps."""


@pytest.fixture(scope="module")
def run_of(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest):
    """Return `run_of(name)`: the run of one of TRAININGS, trained when it is first asked for."""
    folder = tmp_path_factory.mktemp("interactive")
    cli = Cli(folder)

    def find(name: str) -> Path:
        if not (folder / name).exists():
            own = {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
            if name == "cleanrl":
                own["RLCTL_CACHE_DIR"] = str(request.getfixturevalue("fetched_cleanrl"))
            words, steps = TRAININGS[name]
            train(lambda *said, timeout: cli(*said, env=own, timeout=timeout), folder, name, words, "-n", steps)
        return folder / name

    yield find
    cli.close()


# ---- the policies of runs and files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["dqn", "sb3", "recurrent", "cleanrl"])
def test_the_episodes_are_those_of_an_evaluation(backend, cli, cleanrl_cache, run_of):
    """To the last bit, in the order of its seeds, whatever else was played and asked for in between."""
    client = Client(cli, run_of(backend))
    first = client.episode()
    client("reset", seed=5, max_steps=3, frame=True)
    client("step", action=1)
    client("step", frame=True)
    second = client.episode()
    again = client.episode(seed=first["seed"])
    code, rest = client.end()
    (measured,) = cli("evaluate", run_of(backend), "--episodes", 2, "--json").json()["evaluations"]

    assert [first["seed"], second["seed"]] == measured["seeds"]
    assert [first["total_reward"], second["total_reward"]] == measured["returns"]
    assert [first["episode_length"], second["episode_length"]] == measured["lengths"]
    assert again["total_reward"] == first["total_reward"]
    assert (code, rest) == (0, b""), client.errors.read_text()
    assert client.greeting["run_id"] == backend
    assert Path(client.greeting["policy_path"]).is_dir()


def test_a_policy_that_samples_plays_an_episode_as_it_is_played_alone(cli, run_of):
    """`rlctl play --stochastic` of the same seed, though others came before."""
    words = (run_of("sb3"), "--stochastic")
    client = Client(cli, *words)
    client.episode(seed=1)
    sampled = client.episode(seed=7)
    client.end()
    played = cli("play", *words, "--seed", 7, "--episodes", 1, "--render", "rgb_array", "--json").json()["episodes"]

    assert (client.greeting["acting"], sampled["total_reward"]) == ("stochastically", played[0]["return"])


def test_chance_plays_as_chance_does(cli):
    """`rlctl play --random` of the same seeds, which count up."""
    client = Client(cli, *CHANCE, "--seed", 4)
    found = [client.episode(), client.episode()]
    client.end()
    words = ("play", *CHANCE, "--seed", 4, "--episodes", 2, "--render", "rgb_array", "--json")
    played = cli(*words).json()["episodes"]

    assert [(said["seed"], said["total_reward"]) for said in found] == [(one["seed"], one["return"]) for one in played]


def test_the_caller_can_act_instead_of_the_policy(cli, run_of):
    """Its action is what is taken: always to one side, the pole falls at once."""
    client = Client(cli, run_of("dqn"), "--seed", 0)
    client("reset")
    taken = [client("step", action=1) for _ in range(5)]
    client.end()

    assert [said["action"] for said in taken] == [1] * 5
    positions = [said["observation"][1] for said in taken]
    assert positions == sorted(positions)


def test_a_librarys_file_acts_as_its_run(cli, run_of):
    """SB3's zip, with what made it."""
    made = ("-w", "sb3", "-a", "ppo", "--env", "CartPole-v1", "--set", "hyperparameters.normalize=true", "--trust")
    from_file, from_run = (
        Client(cli, *words) for words in ((run_of("sb3") / "backend" / "model.zip", *made), (run_of("sb3"),))
    )
    episodes = [client.episode(seed=3) for client in (from_file, from_run)]

    assert episodes[0]["total_reward"] == episodes[1]["total_reward"]
    assert from_file.greeting["policy_path"].endswith("model.zip")
    assert [client.end()[0] for client in (from_file, from_run)] == [0, 0]


def test_a_file_of_cleanrl_acts(cli, cleanrl_cache, run_of, tmp_path):
    """What its scripts save, without any trust."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    weights = load_file(next((run_of("cleanrl") / "checkpoints").glob("*/weights.safetensors")))
    names = {name.removeprefix("agent/"): value for name, value in weights.items()}
    torch.save(names, tmp_path / "ppo.cleanrl_model")
    client = Client(cli, tmp_path / "ppo.cleanrl_model", "-w", "cleanrl/ppo", "--env", "CartPole-v1")
    of_the_run = Client(cli, run_of("cleanrl"))

    assert client.episode(seed=3)["total_reward"] == of_the_run.episode(seed=3)["total_reward"]


def test_an_algorithm_without_a_run_acts_untrained(cli):
    """Numbers as actions, by a policy that has learned nothing; the same one for the same seed."""
    words = ("--worker", "sb3", "--algo", "ppo", "--env", "Pendulum-v1", "--set", "seed=3")
    found = []
    for _ in range(2):
        client = Client(cli, *words)
        client("reset", seed=1)
        found.append(client("step")["action"])
        assert client("step", action=[1.5])["action"] == [1.5]
        client.end()

    assert found[0] == found[1]
    assert (client.greeting["algo"], client.greeting["policy_path"]) == ("ppo", None)


def test_a_policy_that_minds_masks_minds_them_here(cli):
    """Each action is the one that the environment allowed, also after one of the caller's."""
    (cli.folder / "picky.py").write_text(PICKY)
    words = ("--worker", "sb3", "--algo", "maskable_ppo", "--env", "picky:Picky-v0")
    client = Client(cli, *words, env={"PYTHONPATH": path_with(cli.folder)})
    said = [client("reset", seed=1), *(client("step", **({"action": 2} if index == 3 else {})) for index in range(9))]
    client.end()

    allowed = [answer["info"]["action_mask"].index(1) for answer in said]
    expected = [2 if index == 3 else action for index, action in enumerate(allowed[:-1])]
    assert [answer["action"] for answer in said[1:]] == expected
    assert len(set(allowed)) > 1


# ---- what a client may do --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory):
    """A client of a process that acts by chance; each test that ends its session leaves it as it was."""
    folder = tmp_path_factory.mktemp("talk")
    cli = Cli(folder)
    yield Client(cli, *CHANCE)
    cli.close()


@pytest.mark.parametrize(
    "garbage", [b"garbage\n", b"\xff\x00\xfe\n", b'{"cmd": "step"\n', b"[[[[\n", b"\x1b[A\r\n", b"NaN\n"]
)
def test_garbage_is_an_error_and_the_session_goes_on(talk, garbage):
    """Whatever it is."""
    talk("reset", seed=1)
    before = talk("step", action=1)
    talk.send(garbage)
    assert talk.read()["code"] in ("bad_json", "bad_request")
    after = talk("step", action=1)
    assert (before["step_index"], after["step_index"]) == (1, 2)
    talk("stop")


def test_a_line_may_be_long_and_not_too_long(talk):
    """Just below the limit it is read; above it is passed over, in no memory, and the session goes on."""
    talk("reset", seed=1)
    ping = b'{"cmd": "ping", "id": 8}'
    talk.send(ping.ljust(LINE_LIMIT) + b"\n")
    assert talk.read() == {"type": "pong", "id": 8}
    talk.send(ping.ljust(LINE_LIMIT + 1) + b"\n")
    assert talk.read()["code"] == "line_too_long"
    talk.send(b"x" * 20 * LINE_LIMIT + b"\n")
    assert talk.read()["code"] == "line_too_long"
    assert talk("step")["step_index"] == 1
    talk("stop")


def test_two_clients_in_turn_get_the_same(talk):
    """A session after the other in one process, the second as if there had been none before."""
    said = []
    for frames in ("none", "none"):
        session = [talk("init", version="1.0", frames=frames), talk("reset")]
        session += [talk("step") for _ in range(3)]
        said.append([*session, talk("stop")])
    assert said[0] == said[1]


def test_requests_can_be_sent_ahead(talk):
    """The answers come in their order."""
    lines = [{"cmd": "reset", "seed": 2}, *({"cmd": "step", "id": index} for index in range(3)), {"cmd": "stop"}]
    talk.send("".join(json.dumps(line) + "\n" for line in lines).encode())
    assert [talk.read()["type"] for _ in lines] == ["ready", "step", "step", "step", "stopped"]


def test_another_version_is_refused(talk):
    """And the one that is spoken taken."""
    assert talk("init", version="2.0")["code"] == "unsupported_version"
    assert talk("hello", version="1.0")["version"] == "1.0"
    talk("stop")


# ---- how it ends -----------------------------------------------------------------------------------------------------


def processes_below(folder: Path) -> list[str]:
    """Return the command lines of processes whose current folder it is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


def test_the_end_of_stdin_in_the_middle_of_a_line_is_the_end(cli, wait_until):
    """The line is torn, which is said; the exit code is 0, and nothing is left."""
    client = Client(cli, *CHANCE)
    client("reset")
    client.send(b'{"cmd": "st')
    code, rest = client.end()

    assert (code, json.loads(rest)["code"]) == (0, "bad_json")
    wait_until(lambda: processes_below(cli.folder) == [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number, cli, wait_until, monkeypatch, tmp_path):
    """Also while it waits for a request: exit code 0, no traceback, no process, no folder."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    client = Client(cli, *CHANCE)
    client("reset")
    client.process.send_signal(number)

    assert client.process.wait(30) == 0
    assert "Traceback" not in client.errors.read_text()
    wait_until(lambda: processes_below(cli.folder) == [])
    assert list(temporary.iterdir()) == []


def test_a_killed_host_takes_the_policys_process_with_it(cli, wait_until):
    """It holds the end of a pipe that ends with it."""
    client = Client(cli, *CHANCE)
    client("reset")
    assert processes_below(cli.folder) != []
    client.process.kill()

    wait_until(lambda: processes_below(cli.folder) == [])


def memory_of(folder: Path) -> int:
    """Return the kilobytes that the policy's processes hold, those whose current folder it is."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder and b"interactive_process" in (process / "cmdline").read_bytes():
                words = (process / "status").read_text().split()
                total += int(words[words.index("VmRSS:") + 1])
        except OSError:
            continue
    return total


def test_a_client_that_does_not_read_makes_it_wait(cli, wait_until):
    """Neither memory grows nor is anything lost: what it had asked for is answered when it reads again; and it can be ended."""
    client = Client(cli, *CHANCE)
    client("reset")
    before = memory_of(cli.folder)
    assert client.process.stdin is not None
    os.set_blocking(client.process.stdin.fileno(), False)
    ping, sent, quiet = b'{"cmd": "ping", "id": "%s"}\n' % (b"x" * 4000), 0, 0
    while quiet < 10:  # until nothing more is taken, for a second
        try:
            sent += os.write(client.process.stdin.fileno(), ping)
            quiet = 0
        except BlockingIOError:
            quiet += 1
            time.sleep(0.1)
    assert sent < 1_000_000, "more was taken than pipes and one chunk hold"
    assert memory_of(cli.folder) < before + 5_000
    assert client.read()["type"] == "pong"
    client.process.send_signal(signal.SIGTERM)
    assert client.process.wait(30) == 0
    wait_until(lambda: processes_below(cli.folder) == [])


def test_a_client_that_goes_away_is_the_end(cli, wait_until):
    """Nobody reads the answer any more."""
    client = Client(cli, *CHANCE)
    assert client.process.stdout is not None
    client.process.stdout.close()
    client.send(b'{"cmd": "ping"}\n')

    assert client.process.wait(30) == 0
    wait_until(lambda: processes_below(cli.folder) == [])


def test_what_is_printed_never_comes_between_the_answers(cli):
    """Not what is written to the file descriptor, nor what a child of the environment says: it is all on stderr."""
    (cli.folder / "noisy.py").write_text(NOISY)
    client = Client(cli, "--random", "--env", "noisy:Noisy-v0", env={"PYTHONPATH": path_with(cli.folder)})
    assert [client("reset")["type"], client("step", action=0)["type"]] == ["ready", "step"]
    assert client.end() == (0, b"")

    printed = client.errors.read_text()
    for words in ("printed by the import", "printed by reset", "printed by step", "written by step", "said by a child"):
        assert words in printed


def test_a_crash_of_the_policys_process_is_the_last_answer(cli):
    """Killed in the midst of a step: who waits for an answer is told, and the exit code says so."""
    (cli.folder / "noisy.py").write_text(NOISY)
    client = Client(cli, "--random", "--env", "noisy:Noisy-v0", env={"PYTHONPATH": path_with(cli.folder)})
    client("reset")
    answer = client("step", action=1)

    assert (answer["code"], "ended with code -9" in answer["message"]) == ("ended", True)
    assert client.end()[0] == 1
    assert "ended with code -9" in client.errors.read_text()


def path_with(folder: Path) -> str:
    """Return PYTHONPATH with a folder before the others."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("nope",), 2, "there are no runs in"),
        (("--random", "--env", "CartPol-v1"), 3, 'Did you mean "CartPole'),
        (("--random", "--stochastic", "--env", "CartPole-v1"), 2, "--random"),
        (("--worker", "sb3", "--algo", "sac", "--env", "CartPole-v1"), 2, "sac"),
    ],
)
def test_what_cannot_start_is_the_only_answer(words, code, message, cli):
    """For the client on stdout, for people on stderr."""
    outcome = cli("interactive", *words)

    said = outcome.json()
    assert (outcome.code, said["type"], said["code"]) == (code, "error", "cannot_start")
    assert message in f"{said['message']} {said['hint']}"
    assert message in outcome.err


def test_the_example_plays_an_episode(cli):
    """As a user would copy it, with `rlctl` on the path."""
    here = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    done = subprocess.run(
        [sys.executable, str(CLIENT)],
        cwd=cli.folder,
        env=here,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert "'type': 'init'" in first and "'type': 'episode_done'" in last
    assert len(CLIENT.read_text().splitlines()) <= 25
