"""Locks where a process forks: the child has a copy of each as it was, but not the threads that held them."""

import os
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol
from weakref import WeakSet


class Renewable(Protocol):
    """What has locks that a forked process needs anew."""

    def renew(self) -> None:
        """Called in the child, before it does anything else."""
        ...


_renewables: WeakSet[Renewable] = WeakSet()


def renew_in_children(renewable: Renewable) -> None:
    """Has an object renewed in every process that is forked off while it exists."""
    _renewables.add(renewable)


def renew_cached_properties_in_children(owner: type) -> None:
    """Renews the locks that the cached properties of a class have before Python 3.12."""

    def renew() -> None:
        for attribute in vars(owner).values():
            if isinstance(attribute, cached_property) and hasattr(attribute, "lock"):
                attribute.lock = free(attribute.lock)

    _in_children(renew)


def free(lock: Any) -> Any:
    """An `RLock` that a child can take: this one, or a new one if a thread holds it that is not there any more."""
    if lock.acquire(blocking=False):
        lock.release()
        return lock
    return threading.RLock()


def _renew() -> None:
    for renewable in list(_renewables):
        renewable.renew()


def _in_children(action: Callable[[], None]) -> None:
    if hasattr(os, "register_at_fork"):  # where processes are forked at all
        os.register_at_fork(after_in_child=action)


_in_children(_renew)
