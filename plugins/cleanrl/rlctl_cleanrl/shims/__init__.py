"""What CleanRL's unmodified scripts need to run on today's gymnasium as their authors meant: one module per concern."""

from __future__ import annotations


def install() -> None:
    """Install every shim in this process; only a worker does so, before it runs a script. Twice does no harm."""
    from rlctl_cleanrl.shims import distutils, old_gym, today

    distutils.install()
    today.install()
    old_gym.install()
