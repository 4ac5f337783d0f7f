"""Repositories in memory: files, commits, branches and tags. What is made is never changed, but for the refs."""

import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property

from .wire import Refused

LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".h5", ".onnx", ".msgpack", ".parquet", ".zip", ".npz")
GIT_ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()


def git_hash(kind: str, data: bytes) -> str:
    """The name that git gives an object."""
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data).hexdigest()


@dataclass(frozen=True)
class Blob:
    """A file's content; `lfs` where git would hold a pointer to it."""

    data: bytes = field(repr=False)
    lfs: bool = False

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        """The text that git holds in place of an LFS file."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.data)}\n".encode()

    @cached_property
    def oid(self) -> str:
        """The name of what git holds."""
        return git_hash("blob", self.pointer if self.lfs else self.data)

    @property
    def etag(self) -> str:
        """What the client compares its own file with: of an LFS file the SHA-256, of any other git's name."""
        return self.sha256 if self.lfs else self.oid


@dataclass(frozen=True)
class Commit:
    """All files at one time, and the commit before."""

    sha: str
    parent: str | None
    title: str
    message: str
    date: datetime
    files: Mapping[str, Blob] = field(repr=False)

    @property
    def day(self) -> str:
        """The date in the form of the Hub's API."""
        return self.date.strftime("%Y-%m-%dT%H:%M:%S.000Z")


@dataclass(eq=False)
class Repo:
    """A repository of a kind (`models`, `datasets` or `spaces`) under `owner/name`; begins with one commit."""

    kind: str
    id: str
    private: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict, repr=False)
    stored: dict[str, bytes] = field(default_factory=dict, repr=False)
    """LFS files by their SHA-256, from their upload on: a commit may never come."""
    pull_requests: dict[str, str] = field(default_factory=dict)
    """Who opened each, by the name of its branch, such as `refs/pr/1`."""
    _numbers: Iterator[int] = field(default_factory=itertools.count, repr=False)

    def __post_init__(self) -> None:
        self.commit("main", {".gitattributes": Blob(GIT_ATTRIBUTES)}, "initial commit")

    @property
    def owner(self) -> str:
        return self.id.split("/")[0]

    @property
    def path(self) -> str:
        """Where the repository is in a URL of the site, as opposed to its API."""
        return self.id if self.kind == "models" else f"{self.kind}/{self.id}"

    def commit(self, branch: str, files: Mapping[str, Blob], title: str, message: str = "") -> Commit:
        """Moves a branch, which may be new, to a new commit of these files, the same as before or not."""
        parent = self.branches.get(branch)
        content = repr((next(self._numbers), self.kind, self.id, parent, title, sorted(files))).encode()
        now = datetime.now(timezone.utc)
        made = Commit(git_hash("commit", content), parent, title, message, now, dict(files))
        self.commits[made.sha] = made
        self.branches[branch] = made.sha
        return made

    def open_pull_request(self, author: str, base: str) -> str:
        """Begins a branch on which an author, who need not be the owner, proposes changes to a branch."""
        name = f"refs/pr/{len(self.pull_requests) + 1}"
        self.pull_requests[name] = author
        self.branches[name] = self.branches[base]
        return name

    def at(self, revision: str) -> Commit:
        """The commit of a branch, a tag or a commit's full name."""
        name = re.sub("^refs/(heads|tags)/", "", revision)
        sha = self.branches.get(name) or self.tags.get(name) or revision
        if sha not in self.commits:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[sha]

    def history(self, revision: str) -> Iterator[Commit]:
        """The commits that led to a revision, newest first."""
        commit: Commit | None = self.at(revision)
        while commit is not None:
            yield commit
            commit = self.commits[commit.parent] if commit.parent else None
