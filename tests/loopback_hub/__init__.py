"""A model hub on this machine's loopback interface, for tests that run the real huggingface_hub client end to end.

It keeps repositories with their whole history in memory and answers as much of the Hub's HTTP API as the client needs
to create, upload, list, download and delete. `LoopbackHub` runs it inside a process, `python -m tests.loopback_hub`
as one of its own.
"""

from .hub import LoopbackHub

__all__ = ["LoopbackHub"]
