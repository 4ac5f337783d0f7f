"""Uploads to the Hub that are whole or not at all, and that say in words why they failed."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CommitInfo, HfApi, ModelInfo
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ..errors import HubError, InvalidInputError
from .files import CARD, card_in, check_hub_arguments
from .probe import TransportError
from .pushing import NOT_SIGNED_IN, check_push

FORBIDDEN, COMMITTED_MEANWHILE = 403, 412
PULL_REQUESTS = "refs/pr/"


class Repository:
    """A repository of models at one commit of one branch; one that is not made yet is empty.

    Args:
        api: the client.
        id: `"owner/name"`.
        revision: the branch; one that is not there yet begins as `main`.

    Attributes:
        is_there: whether it has been made.
        is_private: of one that is there; None where that is not known.
        sha: the commit; None where there is none.
        files: the paths in it.
    """

    def __init__(self, api: HfApi, id: str, revision: str | None) -> None:
        self.api, self.id, self.revision = api, id, revision
        self.is_there, self.has_branch = True, True
        info = self._info(revision)
        self.is_private = None if info is None else info.private
        self.sha = None if info is None else info.sha
        self.files = api.list_repo_files(id, revision=self.sha) if self.sha else []

    def _info(self, revision: str | None) -> ModelInfo | None:
        try:
            return self.api.model_info(self.id, revision=revision)
        except RevisionNotFoundError:
            if revision is None:  # nothing has been committed yet
                return None
            if revision.startswith(PULL_REQUESTS):
                raise
            self.has_branch = False
            return self._info(None)
        except RepositoryNotFoundError as error:
            if error.response.status_code == NOT_SIGNED_IN:
                raise
            self.is_there = self.has_branch = False
            return None

    def has(self, name: str) -> bool:
        """Whether it has a file."""
        return name in self.files

    def read(self, name: str) -> str | None:
        """Where a file of it is on this machine; None if it has none. What cannot be fetched raises."""
        return self.api.hf_hub_download(self.id, name, revision=self.sha) if self.has(name) else None

    def card(self) -> str | None:
        """The card of the repository; None if it has none."""
        path = self.read(CARD)
        return None if path is None else card_in(Path(path).parent)

    def make(self, private: bool | None) -> None:
        """Makes what is not there yet, the repository and the branch."""
        if not self.is_there:
            self.api.create_repo(self.id, private=private, exist_ok=True)
        if not self.has_branch and self.revision is not None:
            self.api.create_branch(self.id, branch=self.revision, exist_ok=True)


def upload(
    fill: Callable[[Repository, Path], None],
    repo_id: str,
    replaced: Callable[[str], bool],
    what: str,
    *,
    token: bool | str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
    commit_description: str | None = None,
) -> CommitInfo:
    """Uploads a folder as one commit: a reader finds all of it or what was before.

    The repository is made if need be, once the folder is written. Files whose content the Hub has already are not sent
    again. Where somebody else commits meanwhile, it is done again on what is there then.

    Args:
        fill: writes the files into a folder; called with it and what is in the repository.
        repo_id: its name.
        replaced: whether a file is removed where it is not written anew, by its path.
        what: is uploaded, for the message.
        token: of the user.
        private: of a repository that is made.
        revision: the branch; made if need be, but not to propose a change to it.
        create_pr: opens a pull request in place of a commit.
        commit_message, commit_description: of the commit.

    Raises:
        InvalidInputError: that is no name, or it was to be private, and is there and public.
        HubError: there is no token, the Hub refuses, or it is out of reach.
    """
    check_hub_arguments({"token": token, "revision": revision})
    check_push(repo_id, token)
    api = HfApi(token=token)
    with _in_words(repo_id, api):
        if "/" not in repo_id:
            repo_id = f"{api.whoami()['name']}/{repo_id}"
        for last in (False, False, True):
            repository = Repository(api, repo_id, revision)
            if private and repository.is_private is False:
                raise InvalidInputError(
                    f"{repo_id} exists already and is public, but private=True was given: nothing was uploaded. "
                    "Choose another name, or make it private first (HfApi().update_repo_settings)."
                )
            with tempfile.TemporaryDirectory() as temporary:
                fill(repository, Path(temporary))
                if not (create_pr and repository.is_there):  # it may be that of others, where one makes nothing
                    repository.make(private)
                try:
                    with _sending(repo_id):
                        return api.upload_folder(
                            repo_id=repo_id,
                            folder_path=temporary,
                            revision=revision,
                            parent_commit=repository.sha,
                            delete_patterns=[name for name in repository.files if replaced(name)],
                            create_pr=create_pr,
                            commit_message=commit_message or f"Upload {what}",
                            commit_description=commit_description,
                        )
                except HfHubHTTPError as error:
                    if last or error.response.status_code != COMMITTED_MEANWHILE:
                        raise
    raise AssertionError("unreachable")


@contextmanager
def _in_words(repo_id: str, api: HfApi) -> Iterator[None]:
    """Says of what the client raises what a user can do about it."""
    try:
        yield
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise _out_of_reach(repo_id, api, error) from error
    except HfHubHTTPError as error:
        raise HubError(f"{repo_id}: {_refusal(error, api)}", repo_id, error.response.status_code) from error
    except TransportError as error:
        raise _out_of_reach(repo_id, api, error) from error


@contextmanager
def _sending(repo_id: str) -> Iterator[None]:
    """Tells a file that was refused from one that did not come through: the client raises RuntimeError for both."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error.__cause__, HfHubHTTPError):
            raise error.__cause__ from error
        said = " ".join(map(str, filter(None, (error, error.__cause__))))
        raise HubError(
            f"{repo_id} is unchanged, as the upload was interrupted ({said}). Push again: what was uploaded is not "
            "sent twice.",
            repo_id,
        ) from error


def _out_of_reach(repo_id: str, api: HfApi, error: Exception) -> HubError:
    said = str(error).rstrip(".")
    return HubError(
        f"{repo_id}: the Hub ({api.endpoint}) is out of reach: {said}. Push when there is a network, without "
        "HF_HUB_OFFLINE; HF_ENDPOINT says where the Hub is.",
        repo_id,
    )


def _refusal(error: HfHubHTTPError, api: HfApi) -> str:
    status, said = error.response.status_code, error.server_message or str(error)
    if status == NOT_SIGNED_IN:
        return (
            f"the Hub ({api.endpoint}) does not know the token that was sent: it is mistyped, or has ended. Log in "
            "anew with `hf auth login`, or give another by HF_TOKEN or token=."
        )
    if status == FORBIDDEN:
        return (
            f"the Hub does not let this token write there ({said}). Choose a name of your own or of your organisation, "
            "and a token that may write; to a repository that is there, create_pr=True proposes a change."
        )
    return f"the Hub answers {status}: {said}"
