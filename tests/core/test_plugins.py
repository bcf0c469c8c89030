"""Discovery: each plugin is loaded in isolation, what cannot be used is shown with its reason, nothing is guessed."""

import json
import subprocess
import sys

import pytest

from rlctl.errors import NotAvailableError, PluginError
from rlctl.plugins import discover, load_only
from rlctl.testing import fake_distribution


def plugin_of(distribution):
    """Return what is known of the plugin of a distribution."""
    (found,) = [plugin for plugin in discover().plugins if plugin.distribution == distribution]
    return found


def named(items, name):
    """Return all registered things of that name, usable or not."""
    return [item for item in items if item.descriptor.name == name]


# ---- what is found -------------------------------------------------------------------------------------------------


def test_an_installed_distribution_is_found(site):
    """A worker is there when its distribution is on the path, and not before."""
    assert named(discover().workers, "toy") == []
    site("toy_worker")
    assert discover().worker("toy").descriptor.entry_point == "toy_worker.worker:ToyWorker"


def test_a_plugin_knows_where_it_came_from(site):
    """What a plugin brings says which distribution, version and module it came from."""
    site("toy_worker")
    plugin = discover().worker("toy").plugin
    assert (plugin.distribution, plugin.version, plugin.module) == ("toy-worker", "1.0", "toy_worker.plugin")


def test_listing_workers_does_not_import_them(site):
    """Discovery loads the plugin's front and leaves the worker's module alone."""
    site("toy_worker")
    discover()
    assert "toy_worker.plugin" in sys.modules
    assert "toy_worker.worker" not in sys.modules


def test_an_object_can_be_a_plugin(site, tmp_path):
    """An entry point may name an object in a module; its methods are the hooks."""
    source = """
        from rlctl import CallbackDescriptor, hookimpl

        class Brings:
            @hookimpl
            def rlctl_callbacks(self):
                return [CallbackDescriptor(name="by_method", summary="", factory="x:y")]

        plugin = Brings()
    """
    site(fake_distribution(tmp_path / "site", "by-object", {"object": "by_object:plugin"}, {"by_object": source}))
    assert discover().callback("by_method").plugin.distribution == "by-object"


def test_two_plugins_may_have_the_same_entry_point_name(site, tmp_path):
    """Only what plugins bring must have unique names, not their entry points."""
    site(
        fake_distribution(tmp_path / "a", "first", {"same": "first_plugin"}, {"first_plugin": ""}),
        fake_distribution(tmp_path / "b", "second", {"same": "second_plugin"}, {"second_plugin": ""}),
    )
    assert (plugin_of("first").error, plugin_of("second").error) == (None, None)


# ---- what is broken costs only itself ------------------------------------------------------------------------------


def test_a_plugin_that_cannot_be_imported_costs_only_itself(site):
    """Beside a plugin whose import fails, all others work, and its reason is kept."""
    site("broken_import", "toy_worker")
    assert plugin_of("broken-import").error == "ImportError: libmoon.so.1: cannot open shared object file"
    assert discover().worker("toy").error is None


def test_a_plugin_that_exits_on_import_costs_only_itself(site, tmp_path):
    """A module that calls sys.exit when it is imported does not end rlctl."""
    site(
        fake_distribution(tmp_path / "site", "leaver", {"leaver": "leaver"}, {"leaver": "raise SystemExit(4)"}),
        "toy_worker",
    )
    assert plugin_of("leaver").error == "SystemExit: 4"
    assert discover().worker("toy").error is None


def test_a_plugin_whose_hook_raises_costs_only_itself(site):
    """A plugin that raises when it is asked what it brings is broken, and all others work."""
    site("raising_hook", "toy_worker")
    assert plugin_of("raising-hook").error == "rlctl_workers: LookupError: the list of workers is on another machine"
    assert discover().worker("toy").error is None


def test_an_answer_that_is_no_descriptor_is_refused(site):
    """A hook that returns something else than descriptors makes its plugin broken, with what it returned."""
    site("strange_answer")
    assert plugin_of("strange-answer").error == (
        "rlctl_callbacks: TypeError: rlctl_callbacks returned 'jsonl', expected CallbackDescriptor"
    )


def test_a_broken_plugin_is_shown_with_its_reason(site, cli):
    """`rlctl plugins list` has a row for a broken plugin, with the distribution and why."""
    site("broken_import")
    rows = {row["distribution"]: row for row in cli("plugins", "list", "--json").json()}
    assert rows["broken-import"]["version"] == "0.3"
    assert rows["broken-import"]["error"] == "ImportError: libmoon.so.1: cannot open shared object file"


def test_listing_workers_names_what_is_broken(site, cli):
    """`rlctl workers list` works beside a broken plugin and says on stderr that there is one."""
    site("broken_import", "toy_worker")
    outcome = cli("workers", "list")
    assert outcome.code == 0
    assert "toy" in outcome.out
    assert "plugin broken-import 0.3 is broken: ImportError: libmoon.so.1" in outcome.err


def test_a_run_works_beside_every_broken_plugin(site, cli):
    """A run of a sound worker is not disturbed by any of the ways in which other plugins can be broken."""
    site(
        "toy_worker",
        "broken_import",
        "raising_hook",
        "misspelt_hook",
        "wrong_argument",
        "hook_wrapper",
        "strange_answer",
    )
    outcome = cli("run", "toy", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json()["status"] == "finished"


# ---- hooks are checked ---------------------------------------------------------------------------------------------


def test_a_misspelt_hook_is_an_error_with_the_right_name(site):
    """A hook that does not exist breaks its plugin, and the nearest one that does is offered."""
    site("misspelt_hook")
    error = plugin_of("misspelt-hook").error
    assert error == 'misspelt-hook:misspelt: there is no hook rlctl_worker. Did you mean "rlctl_workers"?'


def test_a_wrong_argument_is_an_error_that_names_it(site):
    """A hook implementation with an argument that the hook does not have breaks its plugin."""
    site("wrong_argument")
    assert "Argument(s) {'machine'} are declared in the hookimpl" in plugin_of("wrong-argument").error


def test_a_hook_wrapper_is_refused(site):
    """A hook wrapper, with which one plugin could change what another says, breaks its plugin."""
    site("hook_wrapper")
    assert plugin_of("hook-wrapper").error == (
        "hook-wrapper:wrapper: rlctl_workers is a hook wrapper; rlctl's hooks do not support wrappers"
    )


def test_a_function_without_the_marker_is_not_called(site, tmp_path):
    """A function that merely has a hook's name is not an implementation: the marker is what is checked and called."""
    source = "def rlctl_workers(): raise AssertionError('called')"
    site(fake_distribution(tmp_path / "site", "unmarked", {"unmarked": "unmarked"}, {"unmarked": source}))
    assert plugin_of("unmarked").error is None


# ---- names ---------------------------------------------------------------------------------------------------------


def test_a_name_that_two_distributions_bring_is_refused_for_both(site):
    """Neither of two workers of one name can be used, and the reason names both distributions."""
    site("toy_worker", "duplicate_name")
    errors = [item.error for item in named(discover().workers, "toy")]
    assert len(errors) == 2
    assert set(errors) == {"brought by toy-worker 1.0 and toy-twin 2.0: uninstall one of them"} or set(errors) == {
        "brought by toy-twin 2.0 and toy-worker 1.0: uninstall one of them"
    }


def test_asking_for_a_name_of_two_says_why_it_cannot_be_had(site):
    """Asking for a worker that two distributions bring raises an error that names both."""
    site("toy_worker", "duplicate_name")
    with pytest.raises(PluginError, match=r'worker "toy" cannot be used: brought by .*toy-twin 2.0'):
        discover().worker("toy")


@pytest.mark.parametrize(
    ("kind", "folder", "name"),
    [
        ("callback", "toy_callbacks", "recorder"),
        ("executor", "toy_executor", "toy"),
        ("converter", "toy_converter", "toy"),
        ("export", "toy_format", "skill"),
    ],
)
def test_whatever_has_the_name_of_another_is_refused_too(site, kind, folder, name):
    """What holds for workers of one name holds for callbacks, executors, converters and formats."""
    site(folder, "duplicate_name")
    with pytest.raises(
        PluginError, match=f'(?:{kind}|format) "{name}" cannot be used: brought by .* and .*: uninstall one of them'
    ):
        getattr(discover(), kind)(name)


def test_a_format_that_rlctl_itself_has_cannot_be_replaced(site):
    """A plugin's format of that name is refused; rlctl's own stays."""
    site("duplicate_name")
    ours, theirs = [found for found in discover().exports if found.descriptor.name == "onnx"]
    assert discover().export("onnx") is ours
    assert ours.plugin.distribution == "rlctl"
    assert theirs.error == "rlctl itself has a format of this name"


def test_a_refused_name_leaves_the_rest_of_its_plugin(site):
    """A plugin of which one name is refused still brings its others."""
    site("toy_callbacks", "duplicate_name")
    assert discover().callback("stopper").error is None


def test_an_unknown_worker_is_answered_with_the_nearest(site):
    """Asking for a worker that does not exist offers the nearest one that can be used."""
    site("toy_worker")
    with pytest.raises(NotAvailableError) as caught:
        discover().worker("toi")
    assert str(caught.value) == 'there is no worker "toi". Did you mean "toy"?'


def test_an_unknown_worker_recalls_what_was_not_loaded(site):
    """Where a plugin is broken, an unknown name may be its; the answer says so."""
    site("broken_import")
    with pytest.raises(NotAvailableError) as caught:
        discover().worker("moon")
    assert "Not loaded: broken-import (see `rlctl plugins list`)." in caught.value.hint


def test_an_unusable_worker_is_never_offered(site):
    """Did-you-mean names only what can be used."""
    site("future_api")
    with pytest.raises(NotAvailableError) as caught:
        discover().worker("futur")
    assert "future" not in (caught.value.hint or "")


# ---- versions of the contract --------------------------------------------------------------------------------------


def test_a_worker_for_a_newer_api_is_shown(site, cli):
    """A worker that was made for a newer plugin API is listed, with what would help."""
    site("future_api")
    (row,) = [row for row in cli("workers", "list", "--json").json() if row["name"] == "future"]
    assert row["available"] is False
    assert row["status"] == "needs plugin API 2, this rlctl speaks 1: upgrade rlctl"


@pytest.mark.parametrize("kind", ["worker", "callback", "executor", "converter"])
def test_what_is_made_for_a_newer_api_cannot_be_used(site, kind):
    """Asking for something made for a newer plugin API raises an error that says to upgrade."""
    site("future_api")
    with pytest.raises(PluginError, match=f'{kind} "future" cannot be used: needs plugin API 2.*upgrade rlctl'):
        getattr(discover(), kind)("future")


# ---- the worker process --------------------------------------------------------------------------------------------


def test_load_only_touches_no_other_plugin(site):
    """The worker process loads the one plugin it needs and imports no other, broken or not."""
    env = site("toy_worker", "toy_callbacks", "broken_import")
    program = (
        "import json, sys; from rlctl.plugins import load_only; load_only('toy-worker', 'toy')\n"
        "print(json.dumps([name for name in sys.modules if 'toy_' in name or 'broken' in name or 'rlctl_' in name]))"
    )
    answer = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == ["toy_worker", "toy_worker.plugin"]


def test_load_only_of_a_broken_plugin_says_why(site):
    """A plugin that cannot be loaded where the worker runs raises an error with its reason."""
    site("broken_import")
    with pytest.raises(PluginError, match="plugin broken of broken-import cannot be used: ImportError: libmoon"):
        load_only("broken-import", "broken")


def test_load_only_of_an_absent_plugin_says_so(site):
    """A plugin that is not installed where the worker runs raises an error that names it."""
    with pytest.raises(NotAvailableError, match="plugin toy of toy-worker is not installed in this Python"):
        load_only("toy-worker", "toy")


# ---- requirements --------------------------------------------------------------------------------------------------


def test_a_worker_whose_requirements_are_missing_is_shown_with_them(site, cli):
    """A worker that requires a package that is not here is listed as unavailable, with the package."""
    site("unusable_workers")
    (row,) = [row for row in cli("workers", "list", "--json").json() if row["name"] == "toy_unmet"]
    assert (row["available"], row["status"]) == (False, "surely-not-installed>=1 is not installed")


def test_a_worker_whose_requirements_are_missing_is_not_run(site, cli):
    """A run of a worker that requires a package that is not here is refused before anything starts."""
    site("unusable_workers")
    outcome = cli("run", "toy_unmet")
    assert outcome.code == 3
    assert 'worker "toy_unmet" cannot run here: surely-not-installed>=1 is not installed.' in outcome.err


def test_a_worker_that_cannot_list_its_settings_is_refused_with_the_reason(site, cli):
    """A run of a worker whose hyper-parameters cannot be listed is refused with what its function raised."""
    site("unusable_workers")
    outcome = cli("run", "toy_unlisted")
    assert outcome.code == 3
    assert "FileNotFoundError: /nowhere/settings.py" in outcome.err


@pytest.mark.parametrize(
    ("worker", "reason"),
    [
        ("toy_absent", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("toy_raises", "OSError: libmoon.so.1: cannot open shared object file"),
    ],
)
def test_a_worker_that_cannot_be_made_fails_its_run_readably(site, cli, worker, reason):
    """A worker whose module or constructor raises leaves a failed run with that reason, and exit code 1."""
    site("unusable_workers")
    outcome = cli("run", worker, "--json")
    assert outcome.code == 1
    assert outcome.json()["reason"] == reason
