"""Whether the packages that a plugin asks for are installed, from metadata alone: nothing is imported."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from rlctl.distributions import version_of

_PLAIN = re.compile(r"([A-Za-z0-9._-]+?)\s*(?:>=\s*([0-9.]+))?")
_RELEASE = re.compile(r"([0-9.]+)(?:\+.*)?")


@functools.cache
def missing(requirement: str) -> str | None:
    """Return why a PEP 508 requirement is not met ("numpy>=2 is needed, found 1.26"), or None when it is.

    `name` and `name>=1.2`, which is what nearly all say, are compared here: importing `packaging` would take a third of
    the time of `rlctl workers list`.
    """
    plain = _PLAIN.fullmatch(requirement)
    if plain is None:
        return _missing(requirement)
    name, at_least = plain.groups()
    found = version_of(name)
    release = _RELEASE.fullmatch(found or "")
    if found is None or at_least is None:
        return None if found else f"{requirement} is not installed"
    if release is None:  # a pre-release, say
        return _missing(requirement)
    met = _numbers(release[1]) >= _numbers(at_least)
    return None if met else f"{requirement} is needed, found {found}"


def all_missing(requirements: Iterable[str]) -> list[str]:
    """Return the reasons for all requirements that are not met."""
    return [reason for requirement in requirements if (reason := missing(requirement))]


def _missing(requirement: str) -> str | None:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        wanted = Requirement(requirement)
    except InvalidRequirement as error:
        return f'"{requirement}" is not a requirement: {error}'
    if wanted.marker is not None and not wanted.marker.evaluate():
        return None
    found = version_of(wanted.name)
    if found is None:
        return f"{requirement} is not installed"
    met = wanted.specifier.contains(found, prereleases=True)
    return None if met else f"{requirement} is needed, found {found}"


def _numbers(release: str) -> tuple[int, ...]:
    """Return (1, 2) for "1.2" and for "1.2.0", which are the same release."""
    numbers = [int(part) for part in release.strip(".").split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
