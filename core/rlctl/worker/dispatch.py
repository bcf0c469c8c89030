"""Calls hooks on callback objects one by one, so that a failing one costs only itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pluggy

from rlctl.plugins import check_hooks, new_manager

Implementation = tuple[str, Callable[..., Any], tuple[str, ...]]
OnFailure = Callable[[str, str, BaseException], None]


class Dispatcher:
    """Registered callback objects in order, and the calls to them.

    Each object is a pluggy plugin, so a misspelt hook or argument is refused by `register`. Calls are our own loop and
    not pluggy's, for one reason: in pluggy's, an exception in one implementation keeps the later ones from running.
    `on_failure(name, hook, error)` is told of an exception; the object is dropped unless it raises in turn.
    """

    def __init__(self, on_failure: OnFailure) -> None:
        self._manager: pluggy.PluginManager | None = None
        self._on_failure = on_failure
        self._implementations: dict[str, list[Implementation]] = {}

    def register(self, name: str, plugin: object) -> None:
        """Add an object; raises PluginError for a hook that does not exist or takes no such argument."""
        if self._manager is None:  # not before: it reads all hooks, and most runs of a plan have no object in the host
            self._manager = new_manager()
        check_hooks(self._manager, plugin, name)
        self._implementations.clear()

    def wants(self, hook: str) -> bool:
        """Return whether anything implements `hook`: ask before building its arguments in a hot loop."""
        return bool(self._of(hook))

    def call(self, hook: str, **arguments: Any) -> None:
        """Call every implementation of `hook`, in order of registration."""
        for name, function, names in self._of(hook):
            try:
                function(*map(arguments.__getitem__, names))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a callback may raise anything
                self._drop(name)
                self._on_failure(name, hook, error)

    def first(self, hook: str, **arguments: Any) -> tuple[str, Any] | None:
        """Return (callback's name, answer) of the first implementation of `hook` that does not answer None."""
        for name, function, names in self._of(hook):
            try:
                answer = function(*map(arguments.__getitem__, names))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a callback may raise anything
                self._drop(name)
                self._on_failure(name, hook, error)
                continue
            if answer is not None:
                return name, answer
        return None

    def _of(self, hook: str) -> list[Implementation]:
        known = self._implementations.get(hook)
        if known is None:  # the list is replaced where an object is dropped, never changed: a loop over it goes on
            found = [] if self._manager is None else getattr(self._manager.hook, hook).get_hookimpls()
            # In order of registration (a stable sort), but for those that ask to be first or last.
            found = sorted(found, key=lambda impl: impl.trylast - impl.tryfirst)
            known = [(impl.plugin_name, impl.function, tuple(impl.argnames)) for impl in found]
            self._implementations[hook] = known
        return known

    def _drop(self, name: str) -> None:
        assert self._manager is not None, "only what was registered can be dropped"
        self._manager.unregister(name=name)
        self._implementations.clear()
