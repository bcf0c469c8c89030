"""Who may import what: import-linter's contracts, a probe of what is really imported, and proof that both can fail."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEEDS = ROOT / "examples" / "seeds"
PACKAGES = (
    "core/rlctl",
    *(f"plugins/{name}/rlctl_{name}" for name in ("callbacks", "cleanrl", "dask", "dqn", "sb3", "slurm", "tune")),
)
HEAVY = (
    "torch",
    "numpy",
    "gymnasium",
    "stable_baselines3",
    "tensorboard",
    "cleanrl",
    "matplotlib",
    "imageio",
    "optuna",
    "rich",
    "ruamel",
    "ruamel.yaml",
    "pytest",
)

PROBE = """
import json, sys
from rlctl.cli import main
heavy, report, sys.argv = json.loads(sys.argv[1]), sys.argv[2], ["rlctl", *sys.argv[3:]]
try:
    main()
finally:
    with open(report, "w") as file:
        json.dump([name for name in heavy if name in sys.modules], file)
"""

# ---- static: import-linter -----------------------------------------------------------------------------------------


def lint(folder, packages):
    """Run lint-imports with the repository's contracts on packages; returns (exit code, contract → kept, output)."""
    program = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    answer = subprocess.run(
        [sys.executable, "-c", program, "--no-cache", "--config", str(ROOT / "pyproject.toml")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, packages)), "COLUMNS": "300", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    verdicts = {}
    for line in answer.stdout.splitlines():
        for verdict in (" KEPT", " BROKEN"):
            if line.endswith(verdict):
                verdicts[line.removesuffix(verdict)] = verdict == " KEPT"
    return answer.returncode, verdicts, answer.stdout + answer.stderr


def contracts():
    """Return the names of the configured contracts."""
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    starts = [number for number, line in enumerate(lines) if line == "[[tool.importlinter.contracts]]"]
    return [lines[number + 1].partition('"')[2].rstrip('"') for number in starts]


def test_every_contract_is_kept(tmp_path):
    """The repository keeps all of its import contracts."""
    code, verdicts, output = lint(tmp_path, [(ROOT / package).parent for package in PACKAGES])
    assert (code, sorted(verdicts)) == (0, sorted(contracts())), output
    assert all(verdicts.values()), output


VIOLATIONS = {
    "Core layers: a module imports only from lines below its own": ("rlctl/runs/store.py", "import rlctl.launch.start"),
    "Core knows no backend, no numeric library and no plugin": ("rlctl/runs/store.py", "import numpy"),
    "The kit for gymnasium knows neither torch nor a backend, and not what starts runs": (
        "rlctl/gym/environments.py",
        "import stable_baselines3",
    ),
    "The kit for PyTorch knows no backend, and not what starts runs": ("rlctl/torch/devices.py", "import gymnasium"),
    "Only the command line knows click and rich": ("rlctl/hooks.py", "import click"),
    "Only rlctl.testing knows pytest": ("rlctl/worker/run.py", "import pytest"),
    "Plugins do not know each other": ("rlctl_sb3/worker.py", "import rlctl_callbacks.jsonl"),
    "Plugins do not know what starts runs": ("rlctl_dqn/worker.py", "import rlctl.launch.start"),
    "Fronts of plugins, and what the host calls of them, are light": ("rlctl_sb3/__init__.py", "import torch"),
}


def test_every_contract_has_a_violation_to_prove_it():
    """No contract is without its entry in the table of violations above."""
    assert sorted(VIOLATIONS) == sorted(contracts())


@pytest.mark.parametrize("contract", VIOLATIONS)
def test_a_contract_is_broken_by_its_violation(contract, tmp_path):
    """In a copy of the sources, one forbidden line breaks the contract that forbids it; imports in functions count."""
    for package in PACKAGES:
        source = ROOT / package
        shutil.copytree(source, tmp_path / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    file, line = VIOLATIONS[contract]
    with (tmp_path / file).open("a") as opened:
        opened.write(f"\n\ndef _forbidden() -> None:\n    {line}\n")
    code, verdicts, output = lint(tmp_path, [tmp_path])
    assert (code, verdicts[contract]) == (1, False), output


@pytest.mark.parametrize(
    "contract", [name for name in VIOLATIONS if name.startswith(("Core knows", "Only the command"))]
)
def test_the_lists_of_core_s_modules_are_complete(contract):
    """A new module of core cannot escape a contract by not being listed: only the exceptions of the table are missing."""
    text = (ROOT / "pyproject.toml").read_text()
    listed = text[text.index(f'name = "{contract}"') :].partition("source_modules = [")[2].partition("]")[0]
    allowed = {"gym", "torch", "__init__"} if contract.startswith("Core") else {"cli", "__main__", "__init__"}
    children = {path.stem for path in (ROOT / "core" / "rlctl").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert {name for name in children - {"__pycache__", "py"} if f'"rlctl.{name}"' not in listed} == allowed


# ---- dynamic: what is really imported ------------------------------------------------------------------------------


def imported_by(tmp_path, *args, **env):
    """Run a command in a fresh process; returns (what of HEAVY it imported, its output)."""
    report = tmp_path / "imported.json"
    answer = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(HEAVY), str(report), *args],
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(report.read_text()), answer.stdout


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "--version",
        "workers list",
        "callbacks list",
        "plugins list",
        "runs list",
        "workers --help",
        "run --help",
        "play --help",
        "record --help",
        "config convert --help",
        "export --help",
        "presets import zoo --help",
        "import sb3 --help",
        "plan --help",
    ],
)
def test_listing_and_help_import_nothing_heavy(command, tmp_path, rlctl_env):
    """Commands that only look around import no backend, no numeric library, no rich and no YAML parser."""
    found, output = imported_by(tmp_path, *command.split())
    assert found == []
    assert output or command == "runs list"


def test_completion_imports_nothing_heavy(tmp_path, rlctl_env):
    """Completing a worker's name, which a shell does at each key, imports nothing heavy either."""
    words = {"_RLCTL_COMPLETE": "bash_complete", "COMP_WORDS": "rlctl run dq", "COMP_CWORD": "2"}
    found, output = imported_by(tmp_path, **words)
    assert found == []
    assert "plain,dqn" in output


def test_converters_import_nothing_heavy_but_yaml(tmp_path, rlctl_env):
    """A conversion needs no library of the training: the environment is looked at in a process of its own."""
    trials = ["config", "convert", "--from", "indra", str(SEEDS / "indra_ppo.source.yaml")]
    found, output = imported_by(tmp_path, *trials)
    assert found == ["ruamel", "ruamel.yaml"]
    assert "worker: sb3" in output
    words = {"_RLCTL_COMPLETE": "bash_complete", "COMP_WORDS": "rlctl config convert --from in", "COMP_CWORD": "4"}
    found, output = imported_by(tmp_path, **words)
    assert found == []
    assert "plain,indra" in output


@pytest.mark.network
def test_a_job_of_mosaic_is_looked_at_without_anything_heavy(tmp_path, cleanrl_cache):
    """Down to the settings of the script, which is there already."""
    job = str(SEEDS / "mosaic_cleanrl.json")
    found, output = imported_by(tmp_path, "run", "--from-mosaic", job, "--dry-run", "--json")
    assert found == []
    assert "cartpole-ppo-mosaic" in output


def test_showing_an_algorithm_s_settings_imports_nothing_heavy(tmp_path, rlctl_env):
    """Settings are read without importing the library that they are of."""
    found, output = imported_by(tmp_path, "workers", "show", "sb3", "--algo", "ppo")
    assert found == []
    assert "learning_rate" in output


def test_the_probe_sees_a_heavy_front(site, tmp_path, rlctl_env):
    """With a plugin whose front imports numpy, the probe reports numpy: it can fail."""
    site("heavy_front")
    assert imported_by(tmp_path, "workers", "list")[0] == ["numpy"]


def test_importing_rlctl_costs_nothing(tmp_path):
    """`import rlctl` loads none of its modules, as its public names are resolved on first use."""
    program = (
        "import sys, rlctl; print([name for name in sys.modules if name.startswith(('rlctl.', 'attr', 'pluggy'))])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_every_public_name_resolves():
    """Each name of `rlctl.__all__` and `rlctl.testing.__all__` can be had, and the lists are sorted."""
    import rlctl
    import rlctl.testing

    for module in (rlctl, rlctl.testing):
        assert sorted(module.__all__) == list(module.__all__)
        assert [name for name in module.__all__ if getattr(module, name, None) is None] == []
