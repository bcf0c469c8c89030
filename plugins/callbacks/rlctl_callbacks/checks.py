"""What is wrong with the options of callbacks for reasons that no single option shows: found before a run starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rlctl import EnvFacts, Problem, RunConfig


def problems_in(config: RunConfig, env: EnvFacts | None) -> Iterator[Problem]:
    """Yield the problems of the callbacks of a run whose environment was found to be `env`."""
    options = {name: said for name, said in config.callbacks.items() if isinstance(said, Mapping)}
    known = env if env is not None and env.error is None else None
    if "video" in options:
        yield from _of_video(options["video"], known)
    if "frames" in options and config.env.kwargs.get("render_mode") != "rgb_array":
        hint = "--set env.kwargs.render_mode=rgb_array"
        yield Problem("callbacks.frames", "needs an environment that was made to show pictures.", hint)
    if "transitions" in options:
        yield from _of_transitions(options["transitions"], known)


def _of_video(said: Mapping[str, Any], env: EnvFacts | None) -> Iterator[Problem]:
    if said["every_steps"] is None and said["every_episodes"] is None:
        hint = "Set callbacks.video.every_steps or callbacks.video.every_episodes."
        yield Problem("callbacks.video", "does not say how often to film.", hint)
    if isinstance(said["height"], int) and said["height"] % 2:
        yield Problem("callbacks.video.height", f"must be even, got {said['height']}")
    if env is not None and env.render_modes is not None and "rgb_array" not in env.render_modes:
        modes = ", ".join(env.render_modes) or "none"
        yield Problem("callbacks.video", f"the environment shows no pictures; its render modes: {modes}.")


def _of_transitions(said: Mapping[str, Any], env: EnvFacts | None) -> Iterator[Problem]:
    for place, key in enumerate(said["infos"]):
        if not isinstance(key, str):
            yield Problem(
                f"callbacks.transitions.infos[{place}]", f"expected the name of an entry of info, got {key!r}"
            )
    if env is not None and env.observation is not None and not _is_made_of_arrays(env.observation):
        message = f"observations {env.observation_text} cannot be recorded: they are no arrays of one shape."
        yield Problem("callbacks.transitions", message)


def _is_made_of_arrays(space: Mapping[str, Any]) -> bool:
    inner = space.get("spaces", ())
    parts = inner.values() if isinstance(inner, Mapping) else inner
    return space["kind"] != "other" and all(map(_is_made_of_arrays, parts))
