"""Why a script cannot run on this Python: modules that are not here, and combinations known not to work."""

from __future__ import annotations

import functools
from collections.abc import Iterable

# What rlctl puts in front of the scripts itself: gym over gymnasium, strtobool, and the source's own packages.
SHIMMED = {"gym": "gymnasium", "distutils": "", "cleanrl": "", "cleanrl_utils": ""}

# What `pip install rlctl-cleanrl` brings.
_BASE = frozenset({"gymnasium", "numpy", "stable_baselines3", "tensorboard", "torch", "tyro"})

# Modules that no `pip install` on this Python brings, hardest first.
_OUT_OF_REACH = {
    "isaacgym": "isaacgym is not on PyPI: it needs NVIDIA's Isaac Gym Preview, installed by hand on Python 3.8",
    "isaacgymenvs": "isaacgymenvs is not on PyPI: it needs NVIDIA's Isaac Gym Preview, installed by hand on Python 3.8",
    "procgen": "there is no wheel for procgen on Python 3.11 and later: it needs CPython 3.10, with "
    "`pip install procgen`",
    "memory_gym": "memory-gym is pinned to gymnasium 0.29.0: it needs an environment of its own with that gymnasium",
}

# Modules that can be installed, and still do not work together with today's others.
_BROKEN = {
    frozenset({"supersuit", "pettingzoo"}): 'SuperSuit on gymnasium no longer takes its base_class="gym": it '
    "needs an environment of its own with old gym and the SuperSuit of that time",
    frozenset({"envpool", "flax"}): "current flax refuses the dataclass it gives to TrainState.create as params: it "
    "needs a flax of its time (0.6.8, which CleanRL pins)",
}

_PACKAGES = {
    "ale_py": "ale-py",
    "cv2": "opencv-python-headless",
    "stable_baselines3": "stable-baselines3",
    "pettingzoo": '"pettingzoo[atari]"',
    "huggingface_hub": "huggingface-hub",
}


@functools.cache
def _is_here(name: str) -> bool:
    import sys
    from importlib.machinery import PathFinder

    if name in sys.stdlib_module_names:
        return True
    spec = PathFinder.find_spec(name)
    # A folder of that name in the current directory (wandb's, say) is found too, as a package without a file.
    return spec is not None and spec.origin is not None


def extra_modules(imports: Iterable[str]) -> tuple[str, ...]:
    """Return the modules that a script with these imports needs beside what this package brings, wherever it runs."""
    import sys

    needed = {SHIMMED.get(name, name) for name in imports} - {""}
    return tuple(sorted(needed - _BASE - sys.stdlib_module_names))


def packages_of(modules: Iterable[str]) -> str:
    """Return what `pip install` is to be told for these modules."""
    return " ".join(_PACKAGES.get(name, name) for name in modules)


def why_impossible(modules: Iterable[str]) -> str | None:
    """Return why no `pip install` on a Python that we know of today makes a script with these modules run, or None."""
    modules = set(modules)
    for name, reason in _OUT_OF_REACH.items():
        if name in modules:
            return reason
    return next((reason for together, reason in _BROKEN.items() if together <= modules), None)


def missing_modules(imports: Iterable[str]) -> tuple[str, ...]:
    """Return the modules that a script with these imports needs and this Python lacks; what rlctl stands in for is none."""
    needed = {SHIMMED.get(name, name) for name in imports} - {""}
    return tuple(sorted(name for name in needed if not _is_here(name)))


def why_unavailable(imports: Iterable[str]) -> str | None:
    """Return why a script with these imports cannot run here and what would make it run; None where it can."""
    import sys

    imports = set(imports)
    missing = missing_modules(imports)
    installable = {"procgen"} if sys.version_info < (3, 11) else set()
    # What is out of reach may be here all the same; what does not work together fails although it is here.
    here = {name for name in imports if name in _OUT_OF_REACH and name not in missing}
    reason = why_impossible(imports - here - installable)
    if reason is not None:
        return f"{reason}."
    if not missing:
        return None
    verb = "is" if len(missing) == 1 else "are"
    return f"{', '.join(missing)} {verb} not installed: `pip install {packages_of(missing)}`."
