"""The state of an Atari emulator (ale-py), which it keeps outside of Python, as data and back.

The emulator gives out all of its state but one thing: with sticky actions, the action that it holds and may repeat in the
next frame, which need not be the last one that it was given. Which one it is shows in what comes next: one that leads to
the same frames is as good as the one itself, and can be put back by giving it often enough.
"""

from __future__ import annotations

import math
from typing import Any

_NEVER = 1e-15
"""A probability so small that what has it does not happen."""


def is_atari(base: Any) -> bool:
    """Return whether a base environment is one of ale-py's."""
    return type(base).__module__.startswith("ale_py")


def hidden(base: Any) -> str | None:
    """Return what an emulator keeps to itself, so that its state is not complete; usually None."""
    if getattr(base, "sound_obs", False):
        return "the state of the sound, which is observed"
    if getattr(base, "continuous", False) and _stickiness(base.ale):
        return "the continuous action that it holds and may repeat"
    return None


def atari_state(base: Any) -> dict[str, Any]:
    """Return the state of an environment's emulator, its random generator and the action that it holds included."""
    state, held = base.ale.cloneState(include_rng=True), 0
    if _stickiness(base.ale) and hidden(base) is None:
        held = _held_action(base.ale, state, base._action_set)  # noqa: SLF001 - there is no other way to its actions
    return {"emulator": state.serialize(), "held": held}


def set_atari_state(base: Any, saved: dict[str, Any]) -> None:
    """Put the emulator of an environment of the same game into a state."""
    import ale_py

    base.ale.reset_game()
    if _stickiness(base.ale):
        _hold(base.ale, base._action_set[saved["held"]])  # noqa: SLF001
    base.ale.restoreState(ale_py.ALEState(saved["emulator"]))


def _stickiness(ale: Any) -> float:
    """Return the probability that an action is repeated; 0 for 1 as well, where no action ever comes through."""
    probability = float(ale.getFloat("repeat_action_probability"))
    return probability if probability < 1 else 0.0


def _held_action(ale: Any, state: Any, actions: list[Any]) -> int:
    """Return the index of an action that, held in `state`, gives the future at hand; the emulator is as before then."""
    expected = _future(ale, actions[0])
    for index, action in enumerate(actions):
        _hold(ale, action)
        ale.restoreState(state)
        if _future(ale, actions[0]) == expected:
            _hold(ale, action)
            ale.restoreState(state)
            return index
    raise AssertionError("the emulator holds an action that it was never given")


def _hold(ale: Any, action: Any) -> None:
    """Give an action until it is held."""
    for _ in range(_frames_until_released(ale)):
        ale.act(action, 1.0)


def _future(ale: Any, action: Any) -> list[Any]:
    """Return the states of the frames in which what is held now can still count, if `action` is given in each."""
    return [
        (ale.act(action, 1.0), ale.cloneState(include_rng=True).serialize()) for _ in range(_frames_until_released(ale))
    ]


def _frames_until_released(ale: Any) -> int:
    return math.ceil(math.log(_NEVER) / math.log(_stickiness(ale)))
