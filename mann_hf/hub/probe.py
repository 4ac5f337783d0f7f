"""Asks the Hub once, and briefly, whether it has a repository: libraries would ask over and over."""

import importlib
import threading
from typing import Any, Literal, NamedTuple

from huggingface_hub import get_hf_file_metadata, hf_hub_url, is_offline_mode
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from .files import CARD, CONFIG

PROBE_SECONDS = 3.0
"""How long one small request may take until what is on this machine is taken; without that, its client tries on."""
REFUSED = (401, 403)
BUSY = (429, 500, 502, 503, 504)
"""What the Hub answers where it may answer otherwise in a moment."""
NOT_THE_HUB = (407, 408)
"""What a proxy on the way answers."""
ASKED_FOR = {"model": CONFIG, "dataset": CARD}
"""The file that libraries ask for first, by the kind of repository."""
RepositoryKind = Literal["model", "dataset"]

TransportError: Any = HfHubHTTPError.__bases__[0]
"""The base of all errors of the HTTP client that the Hub's client is built on, httpx or httpx2."""
_TimeoutError: Any = importlib.import_module(TransportError.__module__.partition(".")[0]).TimeoutException


class Refusal(NamedTuple):
    """Why the Hub does not give a repository, and what would change that.

    Attributes:
        words: why.
        cure: what would change it.
        out_of_reach: whether the Hub itself has not said no.
        may_pass: whether the Hub is only slow or busy, so that its client, which waits and tries again, may succeed.
    """

    words: str
    cure: str
    out_of_reach: bool = False
    may_pass: bool = False


NOT_ASKED = Refusal(
    "not asked, as HF_HUB_OFFLINE or local_files_only is set",
    "connect to the Hub once without HF_HUB_OFFLINE and local_files_only",
    out_of_reach=True,
)


def hub_refusal(
    repo_id: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    kind: RepositoryKind = "model",
) -> Refusal | None:
    """None if the Hub has the repository for us to read, asked once for a few headers of one of its files."""
    if is_offline_mode():
        return NOT_ASKED
    outcome: list[BaseException | None] = []

    def ask() -> None:
        try:
            url = hf_hub_url(repo_id, ASKED_FOR[kind], revision=revision, repo_type=kind)
            commit = get_hf_file_metadata(url, token=token, timeout=PROBE_SECONDS).commit_hash
            outcome.append(None if commit else ConnectionError("something else answers in its place"))
        except Exception as error:
            outcome.append(error)

    # In a thread of its own, as no timeout of the request covers the look-up of the host's name.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return _refusal(outcome[0] if outcome else TimeoutError(f"no answer within {PROBE_SECONDS:g} s"), revision)


def _refusal(error: BaseException | None, revision: str | None) -> Refusal | None:
    """What the outcome of a request means."""
    cure_of_access = "a token that may read the repository (`hf auth login`, or token=...)"
    match error:
        # The repository is there, though without this file: what its other files are worth shows on loading.
        case None | EntryNotFoundError():
            return None
        case GatedRepoError():
            return Refusal("the repository is gated, and access was not granted", cure_of_access)
        case RepositoryNotFoundError():
            cure = f"check the spelling of the name, or give {cure_of_access}"
            return Refusal("it has no such repository, or a private one", cure)
        case RevisionNotFoundError():
            return Refusal(f"the repository has no revision {revision!r}", "check the revision")
        case LocalTokenNotFoundError():
            return Refusal("not asked, as token=True and no token is stored", cure_of_access)
        case HfHubHTTPError() if error.response.status_code in REFUSED:
            return Refusal(f"access refused ({error.response.status_code})", cure_of_access)
        case HfHubHTTPError() if error.response.status_code == 404:  # as of a mirror, which gives no reason
            cure = f"check the spelling of the name and HF_ENDPOINT, or give {cure_of_access}"
            return Refusal("it has no such repository or file (404), or a private one", cure)
        case HfHubHTTPError() if 400 <= error.response.status_code < 500 and not _may_change(error):
            cure = "check the name and the revision, or take another repository"
            return Refusal(f"it does not give the repository ({error.response.status_code})", cure)
        case TransportError() | OSError():
            busy = isinstance(error, HfHubHTTPError) and error.response.status_code in BUSY
            slow = isinstance(error, TimeoutError | _TimeoutError)
            said = (str(error).splitlines() or [""])[0] or type(error).__name__
            return Refusal(f"out of reach ({said})", "connect to the Hub", True, may_pass=busy or slow)
        case _:
            raise error


def _may_change(error: HfHubHTTPError) -> bool:
    return error.response.status_code in (*BUSY, *NOT_THE_HUB)
