"""Result files."""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "scikit-learn", "torch", "transformers")


def versions() -> dict[str, str]:
    """What the figures were made with."""
    return {"python": platform.python_version()} | {package: version(package) for package in PACKAGES}


def rounded(value: Any) -> Any:
    """Numbers to four decimals, however deep."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


def write(path: Path, content: dict[str, Any], **exact: Any) -> None:
    """A JSON file that is there whole or not at all; what is exact is not rounded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(rounded(content) | exact, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(path)
