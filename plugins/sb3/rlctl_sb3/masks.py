"""Which actions an environment allows, as sb3-contrib's MaskablePPO asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlctl import RlctlError

ACTION_MASK = "action_mask"


class ActionMasks(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Says `action_masks()` by the environment's own method of that name, or by `info["action_mask"]`.

    Raises RlctlError in a reset for an environment that has neither.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self._has_own = env.has_wrapper_attr("action_masks")
        self._mask: NDArray[np.bool_] | None = None

    def action_masks(self) -> NDArray[np.bool_]:
        """Return what is allowed now, (num_actions,)."""
        if self._has_own:
            return np.asarray(self.env.get_wrapper_attr("action_masks")(), bool)
        assert self._mask is not None, "asked before the first reset"
        return self._mask

    def reset(self, **kwargs: Any) -> Any:
        observation, info = self.env.reset(**kwargs)
        if not self._has_own and ACTION_MASK not in info:
            raise RlctlError(
                f'{self.spec.id if self.spec else self.env} does not say which actions are allowed: it has no method '
                f'action_masks(), and no info["{ACTION_MASK}"].',
                hint="Use sb3/ppo for it.",
            )  # fmt: skip
        self._remember(info)
        return observation, info

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        self._remember(result[4])
        return result

    def _remember(self, info: Mapping[str, Any]) -> None:
        if ACTION_MASK in info:
            self._mask = np.asarray(info[ACTION_MASK]).astype(bool)
