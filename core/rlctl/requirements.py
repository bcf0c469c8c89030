"""Whether the packages that a plugin asks for are installed, from metadata alone: nothing is imported."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Iterable


@functools.cache
def missing(requirement: str) -> str | None:
    """Return why a PEP 508 requirement is not met ("numpy>=2 is needed, found 1.26"), or None when it is."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        wanted = Requirement(requirement)
    except InvalidRequirement as error:
        return f'"{requirement}" is not a requirement: {error}'
    if wanted.marker is not None and not wanted.marker.evaluate():
        return None
    try:
        found = importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement} is not installed"
    if not wanted.specifier.contains(found, prereleases=True):
        return f"{requirement} is needed, found {found}"
    return None


def all_missing(requirements: Iterable[str]) -> list[str]:
    """Return the reasons for all requirements that are not met."""
    return [reason for requirement in requirements if (reason := missing(requirement))]
