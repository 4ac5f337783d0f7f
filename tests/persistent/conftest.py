"""What tests of the lasting memory share."""

from collections.abc import Callable

import pytest

from mann_hf.models import LabelledMemory
from tests.same_memory import same_memory


@pytest.fixture
def assert_same_memory() -> Callable[[LabelledMemory, LabelledMemory], None]:
    return same_memory
