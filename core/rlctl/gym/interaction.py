"""Answers the requests of `rlctl interactive`: sessions one after the other, each of episodes in one environment."""

from __future__ import annotations

import base64
import contextlib
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from rlctl.evaluations import EvaluationRequest
from rlctl.gym.evaluation import Slot, separated, stacked
from rlctl.gym.facts import described
from rlctl.gym.png import png
from rlctl.gym.values import NotInSpaceError, action_of, plain
from rlctl.gym.watching import View, Window
from rlctl.interaction import (
    LINE_LIMIT,
    VERSION,
    InteractionRequest,
    Request,
    RequestError,
    check_version,
    read_request,
)
from rlctl.worker.protocol import Policy

Lend = Callable[[int], contextlib.AbstractContextManager[Policy]]
"""Lends a policy whose generators are seeded by the number."""
Message = dict[str, Any]


class Episode:
    """One episode, of a policy and an environment of its own: what was played before can make no difference."""

    def __init__(
        self, asked: InteractionRequest, lend: Lend, seed: int, max_steps: int | None, *, can_render: bool
    ) -> None:
        self.seed = seed
        self.steps = 0
        self.terminated = self.truncated = False
        self._max_steps = max_steps
        self._greedy = asked.greedy
        view = View("rgb_array", lambda env: Window(env, lambda _: None, "rgb_array")) if can_render else None
        request = EvaluationRequest(env=asked.env, seeds=(seed,), num_envs=1, greedy=asked.greedy)
        with contextlib.ExitStack() as stack:
            self._policy = stack.enter_context(lend(seed))
            self.slot = Slot(self._policy, request, view, stack)
            self.slot.begin(seed)
            self._open = stack.pop_all()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.terminated or self.truncated

    def close(self) -> None:
        """Close the environment and give the policy back."""
        self._open.close()

    def step(self, given: Any) -> Any:
        """Take the `given` action, or the policy's for None; returns the one that was taken.

        The policy is asked in any case: one that remembers must see every observation.
        """
        slot = self.slot
        observations = stacked([slot.observation], slot.env.observation_space)
        chosen = self._policy.act(observations, greedy=self._greedy, started=np.array([slot.started]))
        taken = given if given is not None else next(separated(chosen, slot.env.action_space))
        slot.step(taken)
        self.steps += 1
        self.terminated = slot.terminated
        self.truncated = slot.truncated or (self.steps == self._max_steps and not slot.terminated)
        return taken

    def picture(self, kind: str | None) -> Message:
        """Return what is to be seen now as the field of an answer, `kind` png or rgb; none for None."""
        if kind is None:
            return {}
        seen = np.asarray(self.slot.env.render())
        if seen.ndim != 3 or seen.shape[2] != 3 or seen.dtype != np.uint8:
            raise ValueError(f"it renders {seen.dtype} of shape {list(seen.shape)}, which is no picture")
        data = base64.b64encode(png(seen)).decode("ascii") if kind == "png" else seen.tolist()
        size = {"width": seen.shape[1], "height": seen.shape[0]}
        return {"render_payload": {"mode": "rgb_array", **size, kind: data}}


class Sessions:
    """Answers lines by `write(message)`, whatever is in them; a session is what is between `init`, or a reset, and `stop`."""

    def __init__(self, asked: InteractionRequest, lend: Lend, write: Callable[[Message], None]) -> None:
        self._asked = asked
        self._lend = lend
        self._write = write
        self._episode: Episode | None = None
        self._is_open = False
        self._begin(asked.frames, is_open=False)

    def greet(self) -> None:
        """Say who is here, before anybody has asked."""
        self._write(self._introduction(None))

    def answer(self, line: bytes | None) -> None:
        """Answer a line; None: one that was too long to be kept."""
        request_id = None
        try:
            if line is None:
                raise RequestError("line_too_long", f"a line is longer than {LINE_LIMIT} bytes, and was passed over.")
            request = read_request(line)
            request_id = request.id
            for message in self._answers(request):
                self._write({"type": message["type"], "id": request_id, **message})
        except RequestError as error:
            found = request_id if error.request_id is None else error.request_id
            said = {"code": error.code, "message": error.message, "hint": error.hint}
            self._write({"type": "error", "id": found, **said})

    def close(self) -> None:
        """Leave the episode that is being played, if there is one."""
        episode, self._episode = self._episode, None
        if episode is not None:
            episode.close()

    # ---- requests --------------------------------------------------------------------------------------------------

    def _answers(self, request: Request) -> Iterator[Message]:
        if request.command in ("init", "hello"):
            yield self._init(request)
        elif request.command == "reset":
            yield self._reset(request.fields)
        elif request.command == "step":
            yield self._step(request.fields)
            if self._episode is not None and self._episode.over:
                yield self._done(self._episode)
        elif request.command == "stop":
            yield self._stop()
        else:
            yield {"type": "pong"}

    def _init(self, request: Request) -> Message:
        check_version(request.fields.get("version"))
        if self._is_open:
            raise RequestError("wrong_order", "a session is open already.", hint='End it: {"cmd": "stop"}.')
        self._begin(request.fields.get("frames", self._asked.frames))
        return self._introduction(request.id)

    def _begin(self, frames: str, *, is_open: bool = True) -> None:
        self._is_open = is_open
        self._frames = frames
        self._seeds = self._asked.seeds()
        self._begun = self._ended = 0

    def _introduction(self, request_id: Any) -> Message:
        said = {"version": VERSION, **self._asked.identity, "frames": self._frames, "line_limit": LINE_LIMIT}
        return {"type": "init", "id": request_id, **said}

    def _reset(self, fields: Mapping[str, Any]) -> Message:
        if not self._is_open:
            self._begin(self._asked.frames)
        kind = self._picture_wanted(fields.get("frame"))
        seed = fields.get("seed")
        seed = next(self._seeds) if seed is None else seed
        can_render = self._asked.can_render and self._frames != "none"
        with self._failures():
            self.close()
            episode = Episode(self._asked, self._lend, seed, fields.get("max_steps"), can_render=can_render)
            self._episode = episode
            env, info = episode.slot.env, episode.slot.info
            self._begun += 1
            message = {
                "type": "ready", **{name: self._asked.identity[name] for name in ("run_id", "env_id", "algo")},
                "seed": seed, "observation": plain(episode.slot.observation),
                "observation_shape": plain(env.observation_space.shape),
                "observation_space": described(env.observation_space), "action_space": described(env.action_space),
                "info": plain(info), "step_index": 0, "episode_index": self._begun - 1, "episode_reward": 0.0,
            }  # fmt: skip
            return {**message, **episode.picture(kind)}

    def _step(self, fields: Mapping[str, Any]) -> Message:
        episode = self._episode
        if episode is None or episode.over:
            reason = "there is no episode." if episode is None else "the episode is over."
            raise RequestError("wrong_order", reason, hint='Begin one: {"cmd": "reset"}.')
        kind = self._picture_wanted(fields.get("frame"))
        given = None
        if fields.get("action") is not None:
            try:
                given = action_of(episode.slot.env.action_space, fields["action"])
            except NotInSpaceError as error:
                raise RequestError("bad_action", str(error)) from error
        with self._failures():
            taken = episode.step(given)
            slot = episode.slot
            message = {
                "type": "step", "step_index": episode.steps, "episode_index": self._begun - 1, "action": plain(taken),
                "observation": plain(slot.observation), "reward": plain(slot.reward), "terminated": episode.terminated,
                "truncated": episode.truncated, "info": plain(slot.info), "episode_reward": plain(slot.episode_return),
            }  # fmt: skip
            return {**message, **episode.picture(kind)}

    def _done(self, episode: Episode) -> Message:
        self._ended += 1
        return {
            "type": "episode_done", "total_reward": plain(episode.slot.episode_return),
            "episode_length": episode.slot.length, "episode_number": self._ended, "seed": episode.seed,
            "terminated": episode.terminated, "truncated": episode.truncated,
        }  # fmt: skip

    def _stop(self) -> Message:
        with self._failures():
            self.close()
        ended = self._ended if self._is_open else 0
        self._is_open = False
        return {"type": "stopped", "episodes": ended}

    # ---- what can go wrong -----------------------------------------------------------------------------------------

    def _picture_wanted(self, frame: bool | None) -> str | None:
        """Return what a picture is to be, png or rgb, None for no picture; raises RequestError where there can be none."""
        wanted = self._frames in ("png", "rgb") if frame is None else frame
        if not wanted:
            return None
        if self._frames == "none":
            hint = 'Begin the session by {"cmd": "init", "frames": "asked"}.'
            raise RequestError("no_frames", "this session was begun without pictures.", hint=hint)
        if not self._asked.can_render:
            raise RequestError("no_frames", f"{self._asked.env['id']} draws no pictures (render mode rgb_array).")
        return "rgb" if self._frames == "rgb" else "png"

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Make whatever a library raises an error; the episode is then over, but not the session."""
        try:
            yield
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            with contextlib.suppress(Exception):
                self.close()
            self._episode = None
            hint = 'Nothing but this episode is lost: {"cmd": "reset"} begins another.'
            raise RequestError("failed", f"{type(error).__name__}: {error}", hint=hint) from error
