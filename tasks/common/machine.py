"""What a measurement was made on."""

import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

CPU_FLAGS = Path("/proc/cpuinfo")


def made_on(packages: Iterable[str]) -> dict[str, Any]:
    """The processor, how many of its threads are used, and the versions of packages."""
    return {
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in packages},
    }


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    if not CPU_FLAGS.exists():
        return platform.processor() or platform.machine()
    return next(
        (line.split(":")[1].strip() for line in CPU_FLAGS.read_text().splitlines() if line.startswith("model name")),
        platform.machine(),
    )


def cpu_has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 numbers in hardware."""
    if not CPU_FLAGS.exists():
        return False
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(CPU_FLAGS.read_text().split())
