"""Where files are read from: a folder, a single file, or a repository on the Hub at one revision."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import (
    _CACHED_NO_EXIST,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    is_offline_mode,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ..errors import UnsafeFileError
from ..hub_names import is_hub_name
from .files import CONFIG, read_json
from .probe import NOT_ASKED, Refusal, TransportError, hub_refusal

HUB_ARGUMENTS = ("cache_dir", "local_files_only", "revision", "token")
ARGUMENTS = (*HUB_ARGUMENTS, "subfolder", "force_download")
"""Arguments of a `from_pretrained` that say where its files are."""
COMMIT, IN_CACHE = re.compile(r"[0-9a-f]{40}"), re.compile(r"/snapshots/([0-9a-f]{40})/")
HEADER_SECONDS = 10.0
"""How long the question may take whether the Hub has a file."""


@dataclass(frozen=True)
class Source:
    """A folder, a single file, or a repository on the Hub, with the arguments by which its files are asked for.

    Attributes:
        place: the path or the repository's name; None where there is nothing to read.
        subfolder: of the folder or repository.
        revision: branch, tag or commit.
        token: Hub token, `True` for the stored one, `False` for none.
        cache_dir: the Hub cache, if it is not the usual one.
        local_files_only: whether to use no network.
        force_download: whether a file is fetched though the cache has it, once.
    """

    place: str | None
    subfolder: str = ""
    revision: str | None = None
    token: str | bool | None = field(default=None, repr=False)
    cache_dir: str | None = None
    local_files_only: bool = False
    force_download: bool = False
    _fetched: dict[str, Path] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, place: str | os.PathLike[str] | None, arguments: Mapping[str, Any] | None = None) -> "Source":
        """The source that a `from_pretrained` reads.

        Args:
            place: a folder, a file, or a Hub repository.
            arguments: of the `from_pretrained`; those that say nothing of places are passed over.
        """
        given = {name: (arguments or {}).get(name) for name in ARGUMENTS}
        plain = {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in given.items()}
        known: dict[str, Any] = {name: value for name, value in plain.items() if value is not None}
        return cls(None if place is None else os.fspath(place), **known)

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments for another `from_pretrained` that is to read the same files."""
        given = {name: getattr(self, name) for name in ARGUMENTS}
        return {name: value for name, value in given.items() if value or (name == "token" and value is not None)}

    @property
    def folder(self) -> Path | None:
        """The folder on this machine; None for a single file and for a repository."""
        return Path(self.place, self.subfolder) if self.place is not None and os.path.isdir(self.place) else None

    @property
    def file(self) -> Path | None:
        """The single file that the source is; None for others."""
        return Path(self.place) if self.place is not None and os.path.isfile(self.place) else None

    @property
    def repository(self) -> str | None:
        """The name by which the Hub is asked; None for what is on this machine."""
        return None if self.place is None or os.path.exists(self.place) else self.place

    @property
    def is_offline(self) -> bool:
        """Whether the Hub is not to be asked."""
        return self.local_files_only or is_offline_mode()

    @cached_property
    def refusal(self) -> Refusal | None:
        """Why the Hub does not give the repository; None if it does. It is asked once."""
        if self.is_offline:
            return NOT_ASKED
        return hub_refusal(str(self.place), revision=self.revision, token=self.token)

    @cached_property
    def on_this_machine(self) -> "Source":
        """The same without the Hub: the folder, or what its cache has of the repository."""
        return replace(self, local_files_only=True, force_download=False)

    def at_one_commit(self) -> "Source":
        """The repository as it is now: what is checked is then what is loaded, whatever is pushed meanwhile."""
        if self.repository is None or self._is_commit:
            return self
        config = self.path(CONFIG)
        found = None if config is None else IN_CACHE.search(config.as_posix())
        return self if found is None else replace(self, revision=found[1])

    def fetch(self, name: str) -> Path | None:
        """Where a file is on this machine, downloaded if need be; None if the source has no such file.

        Raises:
            OSError: the Hub does not give the file, or is out of reach and its cache does not have it.
        """
        if self.folder is not None:
            return self.folder / name if (self.folder / name).is_file() else None
        if self.repository is None:
            return None
        if name not in self._fetched:
            path = self._download(name)
            if path is None:
                return None
            self._fetched[name] = path
        return self._fetched[name]

    def path(self, name: str) -> Path | None:
        """Where a file is on this machine, downloaded if need be; None where it is not to be had.

        Raises:
            OSError: there is no such repository or revision, or this machine's cache cannot be written.
        """
        try:
            return self.fetch(name)
        except OSError as error:
            if isinstance(error, GatedRepoError) or is_of_connection(error):
                return None
            raise

    def json(self, name: str, most: int | None = None) -> Any:
        """The content of a JSON file, by `read_json`; None where it is not to be had."""
        path = self.path(name)
        return None if path is None else read_json(path, most, self.folder)

    def has(self, name: str) -> bool:
        """Whether there is a file, which may be too large to download."""
        if self.repository is None:
            return self.fetch(name) is not None
        if isinstance(held := self._held(name), str) or self.is_offline:
            return isinstance(held, str)
        url = hf_hub_url(self.repository, self._within(name), revision=self.revision)
        try:
            get_hf_file_metadata(url, token=self.token, timeout=HEADER_SECONDS)
        except (OSError, ValueError, TransportError, RuntimeError):  # loading says why the place cannot be read
            return False
        return True

    def is_unknown(self, name: str) -> bool:
        """Whether the Hub cache neither has a file nor knows that the repository has none."""
        return self.repository is not None and self._held(name) is None

    def why_not_to_be_had(self, name: str) -> Refusal | None:
        """Why a file is not in the Hub cache, and the Hub would not give it; None if it may be there."""
        if self.on_this_machine.has(name) or self.refusal is None or self.refusal.may_pass:
            return None
        return self.refusal

    def refused(self, name: str, why: str) -> UnsafeFileError:
        """The error for one of its files."""
        return UnsafeFileError(f"{name} in {self.place!r} is refused: {why}", name)

    @property
    def _is_commit(self) -> bool:
        return self.revision is not None and COMMIT.fullmatch(self.revision) is not None

    def _within(self, name: str) -> str:
        return (PurePosixPath(self.subfolder) / name).as_posix()

    def _held(self, name: str) -> Any:
        """The path of a file in the Hub cache, `_CACHED_NO_EXIST` of one that the repository lacks, or None."""
        if self.place is None or not is_hub_name(self.place):
            return None
        return try_to_load_from_cache(self.place, self._within(name), self.cache_dir, self.revision)

    def _download(self, name: str) -> Path | None:
        assert self.repository is not None
        if self._is_commit and self._held(name) is _CACHED_NO_EXIST:
            return None
        try:
            return Path(
                hf_hub_download(
                    self.repository,
                    self._within(name),
                    revision=self.revision,
                    token=False if self.is_offline else self.token,
                    cache_dir=self.cache_dir,
                    force_download=self.force_download,
                    local_files_only=self.is_offline,
                )
            )
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError:
            return None
        except ValueError as error:  # no name that the Hub has, or arguments that do not go together
            raise OSError(str(error)) from error
        except (TransportError, RuntimeError) as error:  # older clients raise the latter as they try a second time
            if isinstance(error, OSError):
                raise
            if isinstance(held := self._held(name), str):
                return Path(held)
            raise ConnectionError(f"{name} of {self.place!r} could not be downloaded: {error}") from error


def is_of_connection(error: OSError) -> bool:
    """Whether an error of `Source.fetch` says that the Hub is out of reach, and nothing of the file or repository."""
    of_repository = isinstance(error, RepositoryNotFoundError | RevisionNotFoundError)
    return isinstance(error, LocalEntryNotFoundError | HfHubHTTPError | ConnectionError) and not of_repository
