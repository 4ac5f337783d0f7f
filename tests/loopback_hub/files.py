"""Requests that read files: what a repository holds, and the content."""

import contextlib
import hashlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import yaml

from .repos import Blob, Commit, Repo
from .wire import Refused, Request, Response

if TYPE_CHECKING:
    from .hub import LoopbackHub


def front_matter(card: bytes) -> dict[str, Any]:
    """The metadata of a model card.

    Raises:
        ValueError, yaml.YAMLError: they are none.
    """
    match = re.match(r"---\n(.*?)\n---", card.decode(errors="replace"), re.DOTALL)
    found = yaml.safe_load(match[1]) if match else None
    if not isinstance(found or {}, dict):
        raise ValueError("they are no fields with values")
    return found or {}


def lfs_details(blob: Blob) -> dict[str, Any]:
    """What a listing says of an LFS file beyond others."""
    return {"oid": blob.sha256, "sha256": blob.sha256, "size": len(blob.data), "pointerSize": len(blob.pointer)}


def sibling(path: str, blob: Blob, detailed: bool) -> dict[str, Any]:
    """A file as the description of its repository names it."""
    if not detailed:
        return {"rfilename": path}
    lfs = {"lfs": lfs_details(blob)} if blob.lfs else {}
    return {"rfilename": path, "size": len(blob.data), "blobId": blob.oid, **lfs}


def info(hub: "LoopbackHub", request: Request, kind: str, id: str, revision: str | None) -> Response:
    """Describes a repository, with its files at a revision."""
    repo = hub.find(request, kind, id)
    commit = repo.at(revision or "main")
    first = list(repo.history(commit.sha))[-1]
    card: dict[str, Any] = {}
    if "README.md" in commit.files:
        with contextlib.suppress(ValueError, yaml.YAMLError):
            card = front_matter(commit.files["README.md"].data)
    described = {
        "_id": hashlib.sha1(repo.path.encode()).hexdigest()[:24],
        "id": repo.id,
        "author": repo.owner,
        "sha": commit.sha,
        "private": repo.private,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "createdAt": first.day,
        "lastModified": commit.day,
        "tags": card.get("tags") or [],
        "siblings": [sibling(path, blob, request.flag("blobs")) for path, blob in sorted(commit.files.items())],
    }
    return Response.of(described | {key: card[key] for key in ("pipeline_tag", "library_name") if card.get(key)})


def under(commit: Commit, folder: str) -> dict[str, Blob]:
    """The files in a folder at any depth; of "" all."""
    return {path: blob for path, blob in commit.files.items() if not folder or path.startswith(f"{folder}/")}


def last_change(repo: Repo, commit: Commit, path: str) -> Commit:
    """The newest commit that changed a file or something in a folder."""

    def state(commit: Commit) -> dict[str, str]:
        files = {path: commit.files[path]} if path in commit.files else under(commit, path)
        return {name: blob.oid for name, blob in files.items()}

    found = commit
    for older in repo.history(commit.sha):
        if state(older) != state(commit):
            break
        found = older
    return found


def entry(repo: Repo, commit: Commit, path: str, expand: bool) -> dict[str, Any]:
    """A file or a folder as listings have it."""
    blob = commit.files.get(path)
    if blob is None:
        names = repr(sorted((name, inner.oid) for name, inner in under(commit, path).items()))
        found = {"type": "directory", "oid": hashlib.sha1(names.encode()).hexdigest(), "size": 0, "path": path}
    else:
        found = {"type": "file", "oid": blob.oid, "size": len(blob.data), "path": path}
        found |= {"lfs": lfs_details(blob)} if blob.lfs else {}
    if expand:
        last = last_change(repo, commit, path)
        found["lastCommit"] = {"id": last.sha, "title": last.title, "date": last.day}
    return found


def folders(paths: dict[str, Blob]) -> Iterator[str]:
    """Every folder that leads to some paths, some of them more than once."""
    for path in paths:
        parts = path.split("/")
        yield from ("/".join(parts[:depth]) for depth in range(1, len(parts)))


def list_tree(hub: "LoopbackHub", request: Request, kind: str, id: str, revision: str, folder: str | None) -> Response:
    """The files and folders in a folder, or below it at any depth."""
    repo = hub.find(request, kind, id)
    commit, folder = repo.at(revision), (folder or "").strip("/")
    inside = under(commit, folder)
    if folder and not inside:
        raise not_there(commit, folder)
    depth = folder.count("/") + 1 if folder else 0
    paths = sorted({*inside, *folders(inside)} - {folder})
    wanted = [
        path
        for path in paths
        if (path.count("/") == depth or request.flag("recursive")) and path.startswith(f"{folder}/" if folder else "")
    ]
    return Response.of([entry(repo, commit, path, request.flag("expand")) for path in wanted])


def describe_paths(hub: "LoopbackHub", request: Request, kind: str, id: str, revision: str) -> Response:
    """Those of the paths that are there; the others are left out without an error."""
    repo = hub.find(request, kind, id)
    commit, form = repo.at(revision), parse_qs(request.body.decode())
    there = [path for path in form.get("paths", []) if path in commit.files or under(commit, path)]
    expand = form.get("expand", [""])[-1].lower() == "true"
    return Response.of([entry(repo, commit, path, expand) for path in there])


def not_there(commit: Commit, path: str) -> Refused:
    """The error for a path; it names the commit, as the client remembers that the path is not in that one."""
    return Refused(404, f"Entry not found: {path}", "EntryNotFound", {"X-Repo-Commit": commit.sha})


def resolve(hub: "LoopbackHub", request: Request, kind: str | None, id: str, revision: str, path: str) -> Response:
    """A file's content, or the part of it that a Range asks for. Large files come from here too, with no redirect."""
    commit = hub.find(request, kind or "models", id).at(revision)
    blob = commit.files.get(path)
    if blob is None:
        raise not_there(commit, path)
    headers = {
        "ETag": f'"{blob.etag}"',
        "X-Repo-Commit": commit.sha,
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
    }
    if blob.lfs:
        headers |= {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": str(len(blob.data))}
    size = len(blob.data)
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if asked is None or not (asked[1] or asked[2]):
        return Response(200, blob.data, headers)
    first = int(asked[1]) if asked[1] else max(size - int(asked[2]), 0)
    last = min(int(asked[2]), size - 1) if asked[1] and asked[2] else size - 1
    if first > last:
        raise Refused(416, "Range not satisfiable", headers={"Content-Range": f"bytes */{size}"})
    return Response(206, blob.data[first : last + 1], headers | {"Content-Range": f"bytes {first}-{last}/{size}"})
