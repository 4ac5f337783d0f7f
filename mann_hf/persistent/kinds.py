"""Every kind of lasting memory that comes with the library, registered in `MEMORY_FORMATS`."""

from .labelled_files import FORMAT as LABELLED
from .pairs.files import PAIRS_FORMAT as PAIRS
from .values import MEMORY_FORMATS, MemoryFormat, MemoryValue, format_of

__all__ = ["LABELLED", "MEMORY_FORMATS", "PAIRS", "MemoryFormat", "MemoryValue", "format_of"]
