"""The schema of CleanRL's scripts, read by syntax tree, against the scripts' own parsers."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import os
import sys
import types
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from rlctl.errors import NotAvailableError, UsageError
from rlctl_cleanrl import needs, scripts, sources
from rlctl_cleanrl.catalogue import CATALOGUE, Algorithm
from rlctl_cleanrl.scripts import Script, missing_modules, read_script, read_scripts, to_argv, why_unavailable

# A checkout of CleanRL's master, which is not on PyPI; its tests are left out where there is none.
MASTER = os.environ.get("RLCTL_TEST_CLEANRL_MASTER")
KINDS: dict[object, str] = {int: "integer", float: "number", bool: "boolean", str: "string"}

TYRO = '''
import os
from dataclasses import dataclass, field
from typing import List, Literal, Optional

import gymnasium as gym
import tyro


@dataclass
class Base:
    exp_name: str = os.path.basename(__file__)[: -len(".py")]
    """the name"""
    seed: int = 1
    cuda: bool = True


@dataclass
class Args(Base):
    env_id: str = "CartPole-v1"
    total_timesteps: int = int(1e6)
    """how long
    it takes"""
    num_envs: int = 4
    learning_starts: int = 25e3
    target_kl: float = None
    v_min: float = -10
    clip: Optional[float] = 0.2
    limit: "int | None" = None
    wandb_entity: str = None
    backend: Literal["gloo", "nccl"] = "gloo"
    window: int = field(default=2 * 8 - 1)
    norm: bool = False
    device_ids: List[int] = field(default_factory=lambda: [])
    width: int = int(os.environ.get("WIDTH", "3"))
    rows: int = 9**9**9
    memory: int = 119
    repo: str = None
    batch_size: int = 0
    num_iterations: int = 0


if __name__ == "__main__":
    args = tyro.cli(Args)
    args.batch_size = int(args.num_envs * 128)
    if args.norm:
        args.num_iterations = 1
    else:
        args.num_iterations = 2
    args.memory = min(args.memory, 100)
    if args.repo is None:
        args.repo = "made up"
    if args.norm:
        import wandb
'''

ARGPARSE = """
import argparse
def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--env_id", type=str, default="CartPole-v1")
    parser.add_argument("--total-timesteps", type=int, default=25e6, help="100%% of it")
    parser.add_argument("--rate", type=float, default="0.5")
    parser.add_argument("--backend", default="gloo", choices=["gloo", "nccl"])
    parser.add_argument("--broken", type=bool, default=True)
    parser.add_argument("--switch", action="store_true")
    parser.add_argument("--ids", nargs="+", default=[])
    return parser.parse_args()
"""


class Captured(Exception):
    """Carries the parser out of a script's parse_args before anything is parsed."""


class Capturing(argparse.ArgumentParser):
    """A real parser that is handed to the test as soon as the script wants to use it."""

    def parse_args(self, *_: Any, **__: Any) -> Any:
        """Hand over the finished parser."""
        raise Captured(self)


def real_parser(path: Path) -> argparse.ArgumentParser:
    """Execute only the script's parse_args, and return the parser that it builds."""
    tree = ast.parse(path.read_text())
    body: list[ast.stmt] = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "parse_args"]
    truth = {"true": 1, "false": 0}
    space: dict[str, Any] = {"os": os, "__file__": str(path), "strtobool": lambda text: truth[text.lower()]}
    space["argparse"] = types.SimpleNamespace(ArgumentParser=Capturing)
    exec(compile(ast.Module(body, []), str(path), "exec", dont_inherit=True), space)
    with pytest.raises(Captured) as caught:
        space["parse_args"]()
    return typing.cast(argparse.ArgumentParser, caught.value.args[0])


def real_class(path: Path) -> type:
    """Execute only the script's dataclasses, and return Args."""
    tree = ast.parse(path.read_text())
    body: list[ast.stmt] = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name in ("Base", "Args")]
    for node in ast.walk(ast.Module(body, [])):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            node.op = ast.Add()  # 9**9**9 is there to be refused, not to be waited for
    space = {**vars(dataclasses), **vars(typing), "os": os, "__file__": str(path), "__name__": __name__}
    exec(compile(ast.Module(body, []), str(path), "exec", dont_inherit=True), space)
    return typing.cast(type, space["Args"])


def computed(path: Path) -> set[str]:
    """Return what the script assigns from other things than itself, by its text: an oracle of another kind."""
    lines = [line.strip() for line in path.read_text().splitlines() if line.startswith("    args.")]
    pairs = [line.split(" = ", 1) for line in lines if " = " in line]
    return {left[5:] for left, right in pairs if left not in right}


def differences(script: Script) -> list[str]:
    """Compare a script's schema with its own parser, and return what differs."""
    hidden, found = computed(script.path), []
    if script.style == "argparse":
        actions = [action for action in real_parser(script.path)._actions if action.dest != "help"]
        real = {a.dest: ("boolean" if a.nargs == "?" else KINDS[a.type or str], a.default, a.help or "")
                for a in actions if a.nargs != "+"}  # fmt: skip
    else:
        fields = [f for f in dataclasses.fields(real_class(script.path)) if f.default is not dataclasses.MISSING]
        hints = {f.name: f.type for f in fields}
        real = {f.name: (KINDS.get(hints[f.name], "string"), f.default, "") for f in fields}
    if set(real) - hidden != {p.name for p in script.parameters}:
        found.append(f"{script.name}: names {set(real) ^ {p.name for p in script.parameters}}")
    for p in script.parameters:
        kind, default, text = real.get(p.name, ("", None, ""))
        if (p.kind, p.default, p.nullable) != (kind, default, default is None):
            found.append(f"{script.name}.{p.name}: {p} is {kind} {default!r}")
        if type(p.default) not in (type(None), {v: k for k, v in KINDS.items()}[p.kind]):
            found.append(f"{script.name}.{p.name}: {p.default!r} is no {p.kind}")
        if (p.doc != " ".join(text.replace("%%", "%").split())) if script.style == "argparse" else not p.doc:
            found.append(f"{script.name}.{p.name}: doc {p.doc!r}")
    return found


@pytest.fixture(scope="session")
def pypi(fetched_cleanrl: Path) -> sources.Source:
    """PyPI's CleanRL 1.2.0."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLCTL_CACHE_DIR", str(fetched_cleanrl))
        return sources.ensure(None, lambda text: None)


@pytest.fixture(scope="session")
def released(pypi: sources.Source) -> dict[str, Script]:
    """The scripts of 1.2.0 by name."""
    return {script.name: script for script in read_scripts(pypi.path, pytest.fail)}


@pytest.fixture(scope="session")
def master() -> dict[str, Script]:
    """The scripts of a checkout of master by name."""
    if not MASTER:
        pytest.skip("RLCTL_TEST_CLEANRL_MASTER names no checkout of CleanRL's master")
    return {script.name: script for script in read_scripts(Path(MASTER), pytest.fail)}


def write(tmp_path: Path, text: str, name: str = "mine") -> Path:
    """Write a small script of the test's own."""
    path = tmp_path / "cleanrl" / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_every_script_of_the_release_reads_as_its_own_parser_says(released: dict[str, Script]) -> None:
    """All 28 scripts of 1.2.0 agree with their own argparse parser in names, kinds, defaults and help."""
    assert len(released) == 28
    assert {script.style for script in released.values()} == {"argparse"}
    assert [line for script in released.values() for line in differences(script)] == []


def test_every_script_of_master_reads_as_its_own_dataclass_says(master: dict[str, Script]) -> None:
    """All training scripts of master agree with their own dataclass, but for what they compute at run time."""
    assert len(master) == 35
    multigpu = {"backend", "device_ids"}
    assert [line for script in master.values() for line in differences(script)] == []
    assert {p.name for p in master["ppo_atari_multigpu"].parameters} & multigpu == {"backend"}
    assert master["ppo_trxl"].parameter("trxl_memory_length") is not None
    assert master["qdagger_dqn_atari_impalacnn"].parameter("teacher_policy_hf_repo") is not None
    assert not {"batch_size", "minibatch_size", "num_iterations"} & {p.name for p in master["ppo"].parameters}


def test_the_catalogue_is_what_the_release_says(released: dict[str, Script]) -> None:
    """The committed table has exactly the names, spaces, image marks and needs of the fetched 1.2.0."""
    assert (
        tuple(Algorithm(s.name, s.action_spaces, s.image, needs.extra_modules(s.imports)) for s in released.values())
        == CATALOGUE
    )


def test_facts_of_released_scripts(released: dict[str, Script]) -> None:
    """Spaces, environments, images and what is saved are read off the scripts."""
    ppo, dqn, atari = released["ppo"], released["dqn"], released["ppo_atari"]
    assert (ppo.default_env, ppo.default_total_timesteps, ppo.fixed_num_envs) == ("CartPole-v1", 500000, False)
    assert (ppo.action_spaces, ppo.image, ppo.saves_model) == (("discrete",), False, False)
    assert dqn.fixed_num_envs and dqn.saves_model and released["c51"].fixed_num_envs
    assert released["sac_continuous_action"].action_spaces == ("box",)
    assert atari.image and {"ale_py", "cv2"} <= set(atari.imports)
    assert "wandb" not in ppo.imports and {"gym", "torch", "tensorboard", "distutils"} <= set(ppo.imports)
    assert "pettingzoo" in released["ppo_pettingzoo_ma_atari"].imports
    assert "learning_rate" in {p.name for p in ppo.hyper_parameters}
    assert not scripts.RESERVED & {p.name for p in ppo.hyper_parameters}


def test_where_another_network_can_stand_for_that_of_a_script(released: dict[str, Script]) -> None:
    """Where an Agent has nothing but policy and value; the others say what they have besides."""
    able = {name for name, script in released.items() if script.no_network is None}
    assert able == {
        "ppo", "ppo_atari", "ppo_atari_envpool", "ppo_continuous_action", "ppo_continuous_action_isaacgym",
        "ppo_pettingzoo_ma_atari", "ppo_procgen",
    }  # fmt: skip
    reasons = {name: script.no_network for name, script in released.items() if name.startswith(("pp", "rpo"))}
    assert reasons["ppo_atari_lstm"] == "its Agent has get_value(x, lstm_state, done)"
    assert reasons["ppo_rnd_envpool"] == "its Agent has more than one value, or a memory"
    assert reasons["ppo_atari_multigpu"] == "it uses agent.actor as well"
    assert reasons["ppg_procgen"] == "it uses agent.get_pi as well"
    assert released["dqn"].no_network == "it has no class Agent"


def test_what_scripts_do_with_observations(released: dict[str, Script]) -> None:
    """Two lay them flat themselves; those with a replay buffer take float32 only, unless they see to it."""
    assert {name for name, script in released.items() if script.flattens} == {
        "ppo_continuous_action", "rpo_continuous_action",
    }  # fmt: skip
    assert released["dqn"].needs_float32
    assert not released["ppo"].needs_float32 and not released["sac_continuous_action"].needs_float32


def test_special_fields_of_a_tyro_script(tmp_path: Path) -> None:
    """Inheritance, optional kinds, wrong annotations and what cannot be offered are each handled."""
    script = read_script(write(tmp_path, TYRO))
    known = {p.name: p for p in script.parameters}
    assert (known["learning_starts"].kind, known["learning_starts"].default) == ("integer", 25000)
    assert (known["target_kl"].kind, known["target_kl"].default, known["target_kl"].nullable) == ("number", None, True)
    assert (known["v_min"].default, type(known["v_min"].default)) == (-10.0, float)
    assert (known["clip"].nullable, known["clip"].default) == (True, 0.2)
    assert (known["limit"].kind, known["window"].default) == ("integer", 15)
    assert (known["exp_name"].default, known["total_timesteps"].doc) == ("mine", "how long it takes")
    assert known["backend"].choices == ("gloo", "nccl")
    assert {"memory", "repo"} <= set(known)
    assert not {"batch_size", "num_iterations", "device_ids", "width", "rows"} & set(known)
    assert (script.imports, script.action_spaces) == (("dataclasses", "gymnasium", "os", "typing", "tyro"), ())


def test_special_arguments_of_an_argparse_script(tmp_path: Path) -> None:
    """The flag is the script's own; what argparse cannot say honestly is hidden."""
    script = read_script(write(tmp_path, ARGPARSE))
    assert [p.name for p in script.parameters] == ["env_id", "total_timesteps", "rate", "backend"]
    assert script.parameters[1].doc == "100% of it" and script.default_total_timesteps == 25_000_000
    assert to_argv(script, {"env_id": "A-v0", "rate": 1e-5}) == ["--env_id=A-v0", "--rate=1e-05"]
    with pytest.raises(UsageError, match="one of"):
        to_argv(script, {"backend": "mpi"})


def test_nothing_of_a_script_is_executed(tmp_path: Path) -> None:
    """A script that would leave a file behind is read, and no file is there."""
    trace = tmp_path / "trace"
    text = f"open({str(trace)!r}, 'w').close()\n" + ARGPARSE.replace('"0.5"', f"open({str(trace)!r}, 'w')")
    assert read_script(write(tmp_path, text)).parameter("rate") is None
    assert not trace.exists()


def test_what_is_no_script_is_skipped_and_what_is_broken_is_reported(tmp_path: Path) -> None:
    """Helpers are passed over in silence, broken and incomplete scripts and second names by one sentence each."""
    good = write(tmp_path, TYRO)
    write(tmp_path, "def helper(): pass\n", "helper")
    write(tmp_path, "def broken(:\n", "broken")
    write(tmp_path, ARGPARSE.replace(', default="CartPole-v1"', ", required=True"), "required")
    (tmp_path / "cleanrl" / "folder").mkdir()
    (tmp_path / "cleanrl" / "folder" / "mine.py").write_text(TYRO)
    said: list[str] = []
    assert [script.path for script in read_scripts(tmp_path, said.append)] == [good]
    assert len(said) == 3
    assert "broken.py cannot be parsed: line 1" in said[0]
    assert "required.py: env_id has no default" in said[1]
    assert "same name" in said[2]
    with pytest.raises(NotAvailableError, match="no CleanRL training script"):
        read_script(tmp_path / "cleanrl" / "helper.py")
    with pytest.raises(NotAvailableError, match="cannot be read"):
        read_script(tmp_path / "cleanrl" / "absent.py")


def test_helpers_of_a_script_count_among_its_needs(tmp_path: Path) -> None:
    """What a sibling imports is needed too; what is under a condition or has a way out is not."""
    write(tmp_path, "import pygame_of_the_helper\n", "my_env")
    extra = "import my_env\ntry:\n    import maybe\nexcept ImportError:\n    pass\nif True:\n    import perhaps\n"
    script = read_script(write(tmp_path, extra + TYRO))
    assert "pygame_of_the_helper" in script.imports
    assert not {"my_env", "maybe", "perhaps", "wandb"} & set(script.imports)


def test_why_a_script_is_unavailable(
    released: dict[str, Script], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reason is one sentence that says what would make it run, and a folder named like a module is no module."""
    (tmp_path / "some_module_of_ours").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    script = read_script(write(tmp_path, "import some_module_of_ours, gym\nfrom cleanrl_utils import x\n" + ARGPARSE))
    assert "some_module_of_ours" in missing_modules(script.imports)
    assert not {"gym", "cleanrl_utils", "argparse"} & set(missing_modules(script.imports))
    assert "`pip install some_module_of_ours" in str(why_unavailable(script.imports))
    (tmp_path / "some_module_of_ours" / "__init__.py").touch()
    needs._is_here.cache_clear()  # a process looks once
    assert "some_module_of_ours" not in missing_modules(script.imports)
    assert "not on PyPI" in str(why_unavailable(released["ppo_continuous_action_isaacgym"].imports))
    assert "flax" in str(why_unavailable(released["ppo_atari_envpool_xla_jax"].imports))
    assert "SuperSuit" in str(why_unavailable(released["ppo_pettingzoo_ma_atari"].imports))
    if sys.version_info >= (3, 11):
        assert "no wheel for procgen on Python 3.11 and later" in str(why_unavailable(released["ppo_procgen"].imports))


def values_of(script: Script) -> st.SearchStrategy[dict[str, object]]:
    """Draw any values for any of a script's parameters."""
    kinds: dict[str, st.SearchStrategy[object]] = {
        "integer": st.integers(),
        "number": st.floats(allow_nan=False),
        "boolean": st.booleans(),
        "string": st.text(),
    }
    each = {}
    for p in script.parameters:
        one = st.sampled_from(p.choices) if p.choices else kinds[p.kind]
        each[p.name] = st.none() | one if p.nullable else one
    return st.fixed_dictionaries({}, optional=each)


def same(given_values: dict[str, object], parsed: argparse.Namespace | object) -> bool:
    """Tell whether each value arrived: equal, of the same type, and floats with every bit."""
    return all(repr(getattr(parsed, name)) == repr(value) for name, value in given_values.items())


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_values_arrive_through_argparse(released: dict[str, Script], data: st.DataObject) -> None:
    """Any values given to any script of 1.2.0 come out of its real parser bit by bit."""
    script = released[data.draw(st.sampled_from(sorted(released)))]
    values = data.draw(values_of(script))
    parsed = argparse.ArgumentParser.parse_args(real_parser(script.path), to_argv(script, values))
    assert same(values, parsed)


@pytest.mark.filterwarnings("ignore:The field:UserWarning")  # tyro's, of annotations that disagree with defaults
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_values_arrive_through_tyro(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any values given to a tyro script come out of tyro bit by bit."""
    tyro = pytest.importorskip("tyro")
    script = read_script(write(tmp_path_factory.mktemp("tyro"), TYRO))
    values = data.draw(values_of(script))
    assume("None" not in values.values())
    assert same(values, tyro.cli(real_class(script.path), args=to_argv(script, values)))


@pytest.mark.filterwarnings("ignore:The field:UserWarning")
def test_values_arrive_in_every_script_of_master(master: dict[str, Script]) -> None:
    """Each script of master takes all of its defaults, and a false for each boolean, through tyro."""
    tyro = pytest.importorskip("tyro")
    for script in master.values():
        values = {p.name: False if p.kind == "boolean" else p.default for p in script.parameters}
        if script.style == "tyro":
            assert same(values, tyro.cli(real_class(script.path), args=to_argv(script, values))), script.name


def test_arguments_that_cannot_be_said_are_refused(released: dict[str, Script], tmp_path: Path) -> None:
    """A wrong name, kind or None is an error with the value, never a silent change."""
    ppo, mine = released["ppo"], read_script(write(tmp_path, TYRO))
    assert to_argv(ppo, {"cuda": False, "learning_rate": 0.001}) == ["--cuda=False", "--learning-rate=0.001"]
    assert to_argv(ppo, {"target_kl": None}) == []
    assert to_argv(mine, {"cuda": False, "norm": True, "target_kl": None}) == [
        "--no-cuda",
        "--norm",
        "--target-kl=None",
    ]
    for values in (
        {"nothing": 1},
        {"seed": True},
        {"seed": 1.5},
        {"gamma": "0.9"},
        {"gamma": None},
        {"gamma": 10**400},
    ):
        with pytest.raises(UsageError):
            to_argv(ppo, values)
    with pytest.raises(UsageError, match="'None'"):
        to_argv(mine, {"wandb_entity": "None"})
