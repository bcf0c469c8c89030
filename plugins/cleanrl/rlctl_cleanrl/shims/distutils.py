"""`distutils.util.strtobool` for Python 3.12 and later.

Restores the one function of distutils that the argparse scripts of CleanRL 1.2.0 import.
"""

from __future__ import annotations

import importlib.util
import sys
import types

_TRUE = frozenset({"y", "yes", "t", "true", "on", "1"})
_FALSE = frozenset({"n", "no", "f", "false", "off", "0"})


def strtobool(val: str) -> int:
    """Read a yes or no as 1 or 0; anything else is a ValueError."""
    word = val.lower()
    if word in _TRUE:
        return 1
    if word in _FALSE:
        return 0
    raise ValueError(f"invalid truth value {val!r}")


def install() -> None:
    """Provide the two modules, unless this Python has them, or setuptools in its place."""
    # The version comes first: looking for the module makes setuptools load, which takes a while.
    if sys.version_info < (3, 12) or "distutils" in sys.modules or importlib.util.find_spec("distutils") is not None:
        return
    package, util = types.ModuleType("distutils"), types.ModuleType("distutils.util")
    vars(package).update(__path__=[], util=util)
    vars(util).update(strtobool=strtobool)
    sys.modules["distutils"], sys.modules["distutils.util"] = package, util
