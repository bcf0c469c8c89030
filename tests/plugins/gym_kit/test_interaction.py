"""Sessions of `rlctl interactive` in this process: what each request does, whatever the environment does."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from tests.json_schema import errors

from rlctl.gym.interaction import Sessions
from rlctl.gym.interactive_process import lines_of
from rlctl.gym.random_policy import RandomPolicy
from rlctl.interaction import LINE_LIMIT, SCHEMA, InteractionRequest

ROOT = json.loads(SCHEMA.read_text(encoding="utf-8"))
IDENTITY = {
    "run_id": None, "env_id": "Odd", "worker": None, "algo": None, "policy_path": None, "step": None, "acting": "randomly",
}  # fmt: skip


class Odd(gymnasium.Env[Any, Any]):
    """Goes on for ten steps and does what a test wants of it."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    render_mode = "rgb_array"
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    reward: Any = 1.0
    raises: BaseException | None = None
    closed = 0

    def __init__(self, action_space: spaces.Space[Any] | None = None) -> None:
        self.action_space = action_space or spaces.Discrete(3, start=1)
        self.taken: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return np.array([np.nan, -np.inf], np.float32), {
            "seed": np.int64(seed or 0),
            "odd": object,
            "masks": np.ones(2, bool),
        }

    def step(self, action: Any) -> Any:
        if self.raises is not None:
            raise self.raises
        self.taken.append(action)
        return np.ones(2, np.float32), self.reward, len(self.taken) == 10, False, {7: (np.float32(0.5), {np.inf})}

    def render(self) -> Any:
        return np.full((4, 6, 3), 10 * len(self.taken), np.uint8)

    def close(self) -> None:
        type(self).closed += 1


class Talk:
    """Asks Sessions; every request and answer is held to the schema."""

    def __init__(self, env: gymnasium.Env[Any, Any] | None = None, **changes: Any) -> None:
        self.env = env or Odd()
        said: dict[str, Any] = {"frames": "asked", "can_render": True, "seed": 5, **changes}
        asked = InteractionRequest(
            env={"id": "Odd"}, identity=IDENTITY, greedy=True, random=True, input=0, output=1, **said
        )
        self.answers: list[dict[str, Any]] = []
        policy = RandomPolicy(lambda env, **kwargs: self.env)
        self.sessions = Sessions(asked, lambda _: contextlib.nullcontext(policy), self._hear)

    def _hear(self, answer: dict[str, Any]) -> None:
        json.dumps(answer, allow_nan=False)
        assert list(errors(answer, ROOT["$defs"]["answers"][answer["type"]], ROOT)) == []
        self.answers.append(answer)

    def __call__(self, cmd: str, **fields: Any) -> dict[str, Any]:
        """Return the first answer to a request."""
        before = len(self.answers)
        self.sessions.answer(json.dumps({"cmd": cmd, **fields}).encode())
        return self.answers[before]

    def error(self, cmd: str, **fields: Any) -> tuple[str, str]:
        """Return code and message of the error that answers a request."""
        answer = self(cmd, **fields)
        assert answer["type"] == "error", answer
        return answer["code"], answer["message"]


# ---- order -----------------------------------------------------------------------------------------------------------


def test_what_comes_in_the_wrong_order_is_an_error_and_changes_nothing() -> None:
    """A step without an episode, one after its end, a session in a session."""
    talk = Talk()
    assert talk.error("step") == ("wrong_order", "there is no episode.")
    assert talk("init")["type"] == "init"
    assert talk.error("init") == ("wrong_order", "a session is open already.")
    talk("reset", max_steps=1)
    talk("step")
    assert talk.error("step") == ("wrong_order", "the episode is over.")
    assert talk("stop", id=1) == {"type": "stopped", "id": 1, "episodes": 1}
    assert talk.error("step") == ("wrong_order", "there is no episode.")
    assert talk("stop") == {"type": "stopped", "id": None, "episodes": 0}


def test_a_session_knows_nothing_of_the_one_before() -> None:
    """Seeds, episodes and pictures begin anew; one without init is as the command line says."""
    talk = Talk()
    first = [talk("init", frames="png"), talk("reset"), talk("reset"), talk("stop")]
    second = [talk("reset"), talk("stop"), talk("hello", frames="png")]
    assert [first[1]["seed"], first[2]["seed"], second[0]["seed"]] == [5, 6, 5]
    assert [first[2]["episode_index"], second[0]["episode_index"]] == [1, 0]
    assert ["render_payload" in said for said in (first[1], second[0])] == [True, False]
    assert second[2]["frames"] == "png"


def test_ids_are_given_back() -> None:
    """To every answer of a request, and to its error."""
    talk = Talk()
    talk("reset", id="r", max_steps=1)
    talk("step", id=2)
    talk("nonsense", id=3)
    talk("ping", id=4)
    assert [answer["id"] for answer in talk.answers] == ["r", 2, 2, 3, 4]


def test_an_episode_that_is_left_is_closed() -> None:
    """By the next one, and by the end of the session."""
    Odd.closed = 0
    talk = Talk()
    talk("reset")
    talk("reset")
    talk("stop")
    assert Odd.closed == 2


# ---- steps -----------------------------------------------------------------------------------------------------------


def test_the_end_of_an_episode_follows_its_step() -> None:
    """With the sum of its rewards and its seed."""
    talk = Talk()
    talk("reset", seed=9)
    for _ in range(10):
        talk("step")
    *_, step, done = talk.answers
    assert (step["terminated"], step["truncated"], step["step_index"], step["episode_reward"]) == (
        True,
        False,
        10,
        10.0,
    )
    assert done == {
        "type": "episode_done", "id": None, "total_reward": 10.0, "episode_length": 10, "episode_number": 1, "seed": 9,
        "terminated": True, "truncated": False,
    }  # fmt: skip


@pytest.mark.parametrize(("max_steps", "end"), [(4, (False, True)), (10, (True, False)), (50, (True, False))])
def test_max_steps_cuts_off_and_never_extends(max_steps: int, end: tuple[bool, bool]) -> None:
    """Where the episode ends by itself in the same step, that is what is said."""
    talk = Talk()
    talk("reset", max_steps=max_steps)
    for _ in range(min(max_steps, 10)):
        step = talk("step")
    assert (step["terminated"], step["truncated"]) == end
    assert talk.answers[-1]["type"] == "episode_done"


def test_whatever_is_in_observations_rewards_and_infos_is_legal_json() -> None:
    """What is no finite number is text, keys are text, numpy's values are plain, an object is its text."""
    env = Odd()
    env.reward = np.float64(np.nan)
    talk = Talk(env)
    ready, step = talk("reset"), talk("step")
    assert ready["observation"] == ["nan", "-inf"]
    assert ready["info"] == {"seed": 5, "odd": str(object), "masks": [True, True]}
    assert ready["observation_space"] == {
        "kind": "box", "class": "gymnasium.spaces.box:Box", "shape": [2], "dtype": "float32", "low": "-inf", "high": "inf",
    }  # fmt: skip
    assert ready["action_space"] == {
        "kind": "discrete",
        "class": "gymnasium.spaces.discrete:Discrete",
        "n": 3,
        "start": 1,
    }
    assert (step["reward"], step["episode_reward"], step["info"]) == ("nan", "nan", {"7": [0.5, ["inf"]]})


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit("bye"), AssertionError()])
def test_what_an_environment_raises_costs_the_episode_and_not_the_session(error: BaseException, capsys: Any) -> None:
    """The error names it, its traceback is on stderr, and the next reset is answered."""
    env = Odd()
    talk = Talk(env)
    talk("reset")
    env.raises = error
    code, message = talk.error("step", id=4)
    assert (code, message.startswith(type(error).__name__)) == ("failed", True)
    assert "Traceback" in capsys.readouterr().err
    assert talk.error("step")[0] == "wrong_order"
    env.raises = None
    assert (talk("reset")["seed"], talk("step")["type"]) == (6, "step")


# ---- actions ---------------------------------------------------------------------------------------------------------

HAND = spaces.Dict({"arm": spaces.Box(-1.0, 1.0, (2,), np.float32), "grip": spaces.MultiDiscrete([2, 3])})


@pytest.mark.parametrize(
    ("space", "action"),
    [
        (spaces.Discrete(3, start=1), 3),
        (spaces.Box(-1.0, 1.0, (2,), np.float32), [0, -0.75]),
        (spaces.Box(0, 255, (1, 2), np.uint8), [[0, 255]]),
        (spaces.Box(-np.inf, np.inf, (), np.float64), 1e300),
        (spaces.MultiDiscrete([2, 3]), [1, 2]),
        (spaces.MultiBinary(3), [0, 1, 1]),
        (spaces.Tuple([spaces.Discrete(2), spaces.Text(5)]), [1, "ab"]),
        (HAND, {"arm": [0.5, 1], "grip": [0, 2]}),
    ],
)
def test_a_callers_action_is_taken_as_a_member_of_the_space(space: spaces.Space[Any], action: Any) -> None:
    """Of the space's own type; the answer says it as it was given."""
    talk = Talk(Odd(space))
    talk("reset")
    said = talk("step", action=action)
    assert space.contains(talk.env.taken[0])  # type: ignore[attr-defined]
    assert said["action"] == action


@pytest.mark.parametrize(
    ("space", "action", "words"),
    [
        (spaces.Discrete(3, start=1), 0, "action: expected a whole number from 1 to 3, got 0"),
        (spaces.Discrete(3), True, "got True"),
        (spaces.Discrete(3), 1.0, "got 1.0"),
        (spaces.Discrete(3), "left", 'got "left"'),
        (spaces.Box(-1.0, 1.0, (2,), np.float32), [0, 2], "action[1]: expected a number from -1.0 to 1.0, got 2.0"),
        (spaces.Box(-1.0, 1.0, (2,), np.float32), 0, "action: expected shape [2], got []"),
        (spaces.Box(-1.0, 1.0, (2,), np.float32), [[0], [1, 2]], "action: expected numbers of shape [2]"),
        (spaces.Box(-1.0, 1.0, (2,), np.float32), ["0", "1"], "action: expected numbers of shape [2]"),
        (spaces.Box(-np.inf, np.inf, (1,), np.float32), [1e300], "got inf"),
        (spaces.Box(0, 255, (1,), np.uint8), [256], "action[0]: expected a whole number from 0 to 255, got 256"),
        (spaces.Box(0, 255, (1,), np.uint8), [1.5], "expected a whole number"),
        (spaces.MultiDiscrete([2, 3]), [1, 3], "action[1]: expected a whole number from 0 to 2, got 3"),
        (spaces.MultiDiscrete([2, 3]), [10**30, 0], "action: expected numbers of shape [2]"),
        (spaces.MultiBinary(2), [2, 0], "action[0]: expected a whole number from 0 to 1"),
        (spaces.Tuple([spaces.Discrete(2)]), [2], "action[0]: expected a whole number from 0 to 1"),
        (spaces.Tuple([spaces.Discrete(2)]), [0, 0], "action: expected a list of 1"),
        (HAND, {"arm": [0, 0]}, "action: expected an object of arm, grip"),
        (HAND, {"arm": [0, 9], "grip": [0, 0]}, "action.arm[1]: expected a number from -1.0 to 1.0, got 9.0"),
    ],
)
def test_an_action_that_is_none_of_the_space_is_refused_and_no_step_taken(
    space: spaces.Space[Any], action: Any, words: str
) -> None:
    """With the place, what is expected there, and the value."""
    talk = Talk(Odd(space))
    talk("reset")
    code, message = talk.error("step", action=action)
    assert (code, words in message) == ("bad_action", True), message
    assert talk("step")["step_index"] == 1


# ---- pictures --------------------------------------------------------------------------------------------------------


def test_pictures_are_sent_where_they_are_asked_for() -> None:
    """By the request, or for all steps by the session; a request can do without."""
    talk = Talk()
    assert "render_payload" not in talk("reset")
    assert "render_payload" in talk("step", frame=True)
    talk("stop")
    talk("init", frames="rgb")
    assert "render_payload" in talk("reset")
    assert "render_payload" not in talk("step", frame=False)


def test_a_png_holds_what_is_seen() -> None:
    """To the last bit, by another program's reader."""
    images = pytest.importorskip("PIL.Image")
    talk = Talk()
    talk("reset")
    payload = talk("step", frame=True)["render_payload"]
    picture = np.asarray(images.open(io.BytesIO(base64.b64decode(payload["png"]))))
    assert (payload["mode"], payload["width"], payload["height"]) == ("rgb_array", 6, 4)
    assert np.array_equal(picture, np.full((4, 6, 3), 10, np.uint8))


def test_nested_lists_are_what_is_seen() -> None:
    """Height, width, colours."""
    talk = Talk(frames="rgb")
    assert talk("reset")["render_payload"]["rgb"] == np.zeros((4, 6, 3), int).tolist()


def test_a_picture_that_cannot_be_had_is_an_error_before_the_step() -> None:
    """In a session without pictures, and of an environment that draws none."""
    talk = Talk(frames="none")
    talk("reset")
    assert talk.error("step", frame=True) == ("no_frames", "this session was begun without pictures.")
    assert talk("step")["step_index"] == 1
    blind = Talk(can_render=False)
    assert "draws no pictures" in blind.error("reset", frame=True)[1]


# ---- lines -----------------------------------------------------------------------------------------------------------


def test_lines_are_read_whole_however_they_arrive(tmp_path: Any) -> None:
    """A long one is None and costs no memory, the last one need not end."""
    whole = b"a\n\n" + b"b" * 100_000 + b"\n" + b"c" * 100_001 + b"\n" + b"d" * 500_000 + b"\nend"
    (tmp_path / "lines").write_bytes(whole)
    descriptor = os.open(tmp_path / "lines", os.O_RDONLY)
    found = list(lines_of(descriptor, 100_000))
    os.close(descriptor)
    assert found == [b"a", b"", b"b" * 100_000, None, None, b"end"]


def test_a_line_that_is_too_long_is_an_error() -> None:
    """With the limit."""
    talk = Talk()
    talk.sessions.answer(None)
    assert (talk.answers[0]["code"], str(LINE_LIMIT) in talk.answers[0]["message"]) == ("line_too_long", True)
