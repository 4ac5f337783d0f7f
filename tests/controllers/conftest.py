"""The Hub of this machine alone, and what was logged, for every test here."""

from tests.local_hub import hub, said, warnings

__all__ = ["hub", "said", "warnings"]
