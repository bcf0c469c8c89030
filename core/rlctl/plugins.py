"""Discovery of plugins by entry points: each is loaded in isolation, and what cannot be used is shown with its reason."""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import pluggy
from attrs import define, field, frozen

from rlctl import __version__, hooks
from rlctl.conversions import ConverterDescriptor
from rlctl.descriptors import API_VERSION, CallbackDescriptor, ExecutorDescriptor, WorkerDescriptor
from rlctl.distributions import EntryPoint, entry_points
from rlctl.errors import NotAvailableError, PluginError, did_you_mean
from rlctl.exports import BUILT_IN, ExportDescriptor


@define
class Plugin:
    """One entry point of the group `rlctl.plugins`; `error` says why it cannot be used, if it cannot."""

    name: str
    distribution: str
    version: str
    module: str
    error: str | None = None
    loaded: object | None = field(default=None, repr=False)


Descriptor = TypeVar(
    "Descriptor", WorkerDescriptor, CallbackDescriptor, ExecutorDescriptor, ConverterDescriptor, ExportDescriptor
)


@frozen
class Registered(Generic[Descriptor]):
    """A descriptor and the plugin that brought it; `error` says why it cannot be used, if it cannot."""

    descriptor: Descriptor
    plugin: Plugin
    error: str | None = None


@define
class Registry:
    """All that the installed plugins bring. Made by `discover`; names are unique among what can be used."""

    plugins: tuple[Plugin, ...]
    workers: tuple[Registered[WorkerDescriptor], ...] = ()
    callbacks: tuple[Registered[CallbackDescriptor], ...] = ()
    executors: tuple[Registered[ExecutorDescriptor], ...] = ()
    converters: tuple[Registered[ConverterDescriptor], ...] = ()
    exports: tuple[Registered[ExportDescriptor], ...] = ()

    def worker(self, name: str) -> Registered[WorkerDescriptor]:
        """Return the usable worker of that name; raises NotAvailableError or PluginError."""
        return _find("worker", name, self.workers, self.plugins)

    def callback(self, name: str) -> Registered[CallbackDescriptor]:
        """Return the usable callback of that name; raises NotAvailableError or PluginError."""
        return _find("callback", name, self.callbacks, self.plugins)

    def executor(self, name: str) -> Registered[ExecutorDescriptor]:
        """Return the usable executor of that name; raises NotAvailableError or PluginError."""
        return _find("executor", name, self.executors, self.plugins)

    def converter(self, name: str) -> Registered[ConverterDescriptor]:
        """Return the usable converter of that name; raises NotAvailableError or PluginError."""
        return _find("converter", name, self.converters, self.plugins)

    def export(self, name: str) -> Registered[ExportDescriptor]:
        """Return the usable format of that name; raises NotAvailableError or PluginError."""
        return _find("format", name, self.exports, self.plugins)

    def refreshed(self, worker: Registered[WorkerDescriptor]) -> Registered[WorkerDescriptor]:
        """Return what the worker's plugin says of it now, after a set-up that may have brought it more algorithms."""
        function = getattr(worker.plugin.loaded, "rlctl_workers")  # noqa: B009 - mypy knows `loaded` as an object
        now = [descriptor for descriptor in function() if descriptor.name == worker.descriptor.name]
        return Registered(now[0], worker.plugin) if now else worker

    def implementations(self, hook: str) -> Iterator[tuple[Plugin, Callable[..., Any]]]:
        """Yield (plugin, function) for each working plugin that implements `hook`."""
        for plugin in self.plugins:
            function = getattr(plugin.loaded, hook, None) if plugin.error is None else None
            if function is not None and hasattr(
                function, f"{hooks.PROJECT}_impl"
            ):  # marked, hence checked by `check_hooks`
                yield plugin, function


def new_manager() -> pluggy.PluginManager:
    """Return a pluggy manager that knows our hooks and has no plugins."""
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    return manager


def check_hooks(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    """Register `plugin`; raises PluginError for a misspelt hook, a wrong argument or a hook wrapper, and unregisters it."""
    try:
        manager.register(plugin, name=name)
    except pluggy.PluginValidationError as error:
        raise PluginError(f"{name}: {str(error).splitlines()[-1]}") from error
    known = {hook for hook in vars(hooks) if hook.startswith("rlctl_")}
    for caller in manager.get_hookcallers(plugin) or []:
        problem = None
        if not caller.has_spec():
            problem = f"{name}: there is no hook {caller.name}. {did_you_mean(caller.name, known) or ''}".strip()
        elif any(impl.plugin is plugin and (impl.hookwrapper or impl.wrapper) for impl in caller.get_hookimpls()):
            problem = f"{name}: {caller.name} is a hook wrapper; rlctl's hooks do not support wrappers"
        if problem:
            manager.unregister(plugin)
            raise PluginError(problem)


def accepted_arguments(function: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """Return the arguments that `function` names: an implementation of a hook may leave out what it does not need."""
    names, optional = pluggy._hooks.varnames(function)  # noqa: SLF001 - pluggy's own reading of a signature
    return {name: value for name, value in arguments.items() if name in (*names, *optional)}


@functools.cache
def discover() -> Registry:
    """Load all installed plugins and ask them what they bring. A broken one costs only itself."""
    manager = new_manager()
    plugins = tuple(_load(entry_point, manager) for entry_point in entry_points(hooks.ENTRY_POINT_GROUP))
    registry = Registry(plugins)
    registry.workers = _collect(registry, "rlctl_workers", WorkerDescriptor)
    registry.callbacks = _collect(registry, "rlctl_callbacks", CallbackDescriptor)
    registry.executors = _collect(registry, "rlctl_executors", ExecutorDescriptor)
    registry.converters = _collect(registry, "rlctl_converters", ConverterDescriptor)
    registry.exports = _beside_built_in(_collect(registry, "rlctl_exports", ExportDescriptor))
    return registry


def load_only(distribution: str, name: str) -> object:
    """Load one plugin and touch no other, as the worker process does; raises PluginError."""
    for entry_point in entry_points(hooks.ENTRY_POINT_GROUP):
        if entry_point.name == name and entry_point.distribution.display_name() == distribution:
            plugin = _load(entry_point, new_manager())
            if plugin.error:
                raise PluginError(f"plugin {name} of {distribution} cannot be used: {plugin.error}")
            assert plugin.loaded is not None
            return plugin.loaded
    raise NotAvailableError(f"plugin {name} of {distribution} is not installed in this Python")


def _load(entry_point: EntryPoint, manager: pluggy.PluginManager) -> Plugin:
    source = entry_point.distribution
    plugin = Plugin(entry_point.name, source.display_name(), source.version, module=entry_point.value)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for data: a plugin that greets must not break --json
            loaded = _imported(entry_point.value)
        # The same name in two distributions is legal for plugins; only what they *bring* must be unique.
        check_hooks(manager, loaded, f"{plugin.distribution}:{plugin.name}")
        plugin.loaded = loaded
    except PluginError as error:
        plugin.error = error.message
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        plugin.error = f"{type(error).__name__}: {error}"
    return plugin


def _imported(value: str) -> object:
    module, _, attribute = value.partition(":")
    found: object = importlib.import_module(module)
    for part in filter(None, attribute.split(".")):
        found = getattr(found, part)
    return found


def _collect(registry: Registry, hook: str, kind: type[Descriptor]) -> tuple[Registered[Descriptor], ...]:
    found: list[Registered[Descriptor]] = []
    for plugin, function in registry.implementations(hook):
        try:
            with contextlib.redirect_stdout(sys.stderr):
                brought = list(function())
            strangers = [item for item in brought if not isinstance(item, kind)]
            if strangers:
                raise TypeError(f"{hook} returned {strangers[0]!r}, expected {kind.__name__}")
        except Exception as error:  # noqa: BLE001 - see _load
            plugin.error = f"{hook}: {type(error).__name__}: {error}"
            continue
        found += [Registered(descriptor, plugin, _version_problem(descriptor)) for descriptor in brought]
    return tuple(_mark_conflicts(sorted(found, key=lambda item: item.descriptor.name)))


def _beside_built_in(found: Iterable[Registered[ExportDescriptor]]) -> tuple[Registered[ExportDescriptor], ...]:
    """Return rlctl's own formats and those that were found; a name that rlctl itself has is refused."""
    own = Plugin("rlctl", "rlctl", __version__, module="rlctl.exports")
    taken = {descriptor.name for descriptor in BUILT_IN}
    others = [
        Registered(item.descriptor, item.plugin, "rlctl itself has a format of this name")
        if item.descriptor.name in taken
        else item
        for item in found
    ]
    return (*(Registered(descriptor, own) for descriptor in BUILT_IN), *others)


def _version_problem(descriptor: Any) -> str | None:
    if descriptor.api_version > API_VERSION:
        return f"needs plugin API {descriptor.api_version}, this rlctl speaks {API_VERSION}: upgrade rlctl"
    return None


def _mark_conflicts(found: Iterable[Registered[Descriptor]]) -> Iterator[Registered[Descriptor]]:
    """Refuse a name that two plugins bring, for both: which one would be used must not depend on an order of loading."""
    found = list(found)
    for item in found:
        rivals = [other for other in found if other.descriptor.name == item.descriptor.name]
        if len(rivals) > 1 and item.error is None:
            owners = " and ".join(f"{other.plugin.distribution} {other.plugin.version}" for other in rivals)
            yield Registered(item.descriptor, item.plugin, f"brought by {owners}: uninstall one of them")
        else:
            yield item


def _find(
    what: str, name: str, found: Iterable[Registered[Descriptor]], plugins: Iterable[Plugin]
) -> Registered[Descriptor]:
    found = list(found)
    matches = [item for item in found if item.descriptor.name == name]
    usable = [item for item in matches if item.error is None]
    if usable:
        return usable[0]
    if matches:
        raise PluginError(f'{what} "{name}" cannot be used: {matches[0].error}')
    broken = [plugin for plugin in plugins if plugin.error]
    hint = did_you_mean(name, (item.descriptor.name for item in found if item.error is None))
    if broken:
        names = ", ".join(plugin.distribution for plugin in broken)
        hint = f"{hint or ''} Not loaded: {names} (see `rlctl plugins list`).".strip()
    raise NotAvailableError(f'there is no {what} "{name}".', hint=hint)
