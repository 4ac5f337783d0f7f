"""Requests that write files: how each is to come, LFS files one by one, and the commit that makes them visible."""

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from .repos import LFS_SUFFIXES, Blob, Repo
from .wire import Refused, Request, Response

if TYPE_CHECKING:
    from .hub import LoopbackHub

MAX_REGULAR = 10_000_000


class Upload(NamedTuple):
    """An LFS file that has been uploaded whole."""

    repo: str
    oid: str
    bytes: int


class Ticket(NamedTuple):
    """The right to upload one LFS file: what a signed URL is on the real Hub."""

    repo: Repo
    oid: str
    size: int


def is_large(path: str, size: int, sample: bytes) -> bool:
    """Whether a file is to be uploaded by LFS: by its name, its size, or as its first bytes are no text."""
    return path.endswith(LFS_SUFFIXES) or size > MAX_REGULAR or b"\0" in sample


def choose_modes(hub: "LoopbackHub", request: Request, kind: str, id: str, revision: str) -> Response:
    """Says how files are to be uploaded, and what is there under their names: what is unchanged the client leaves."""
    present = find_for_commit(hub, request, kind, id, revision).at(revision).files
    chosen = []
    for file in request.json()["files"]:
        path = file["path"]
        large = not hub.inline and is_large(path, file["size"], base64.b64decode(file["sample"]))
        chosen.append({"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False})
        if path in present:
            chosen[-1]["oid"] = present[path].etag
    return Response.of({"files": chosen})


def find_for_commit(hub: "LoopbackHub", request: Request, kind: str, id: str, branch: str) -> Repo:
    """The repository of a commit to a branch, or of a pull request to it."""
    if request.flag("create_pr"):
        return hub.find_proposable(request, kind, id)
    return hub.find_writable(request, kind, id, branch)


def offer_uploads(hub: "LoopbackHub", request: Request, kind: str | None, id: str) -> Response:
    """The batch request of git-lfs: where to put each file; nothing for one that is already here."""
    # Nobody sees a file before a commit names it, so whoever may open a pull request may send one.
    repo, body = hub.find_proposable(request, kind or "models", id), request.json()
    if body["operation"] != "upload":
        raise Refused(501, "The loopback hub takes LFS files, but gives them only by their paths.")
    objects = []
    for wanted in body["objects"]:
        offer = {"oid": wanted["oid"], "size": wanted["size"], "authenticated": True}
        if wanted["oid"] not in repo.stored:
            ticket = hub.issue_ticket(repo, wanted["oid"], wanted["size"])
            verify = f"{hub.url}/{repo.path}.git/info/lfs/verify"
            offer["actions"] = {"upload": {"href": f"{hub.url}/lfs/{ticket}"}, "verify": {"href": verify}}
        objects.append(offer)
    # "basic" is one PUT. A client that also offered "xet" or "multipart" takes this for our choice.
    return Response.of({"transfer": "basic", "objects": objects})


def store(hub: "LoopbackHub", request: Request, ticket: str) -> Response:
    """Takes one LFS file whole. It comes without a token: knowing the URL is the right to it."""
    if ticket not in hub.tickets:
        raise Refused(403, "This upload has not been asked for.")
    repo, oid, size = hub.tickets[ticket]
    if len(request.body) != size or hashlib.sha256(request.body).hexdigest() != oid:
        raise Refused(400, "The content is not what was announced.")
    del hub.tickets[ticket]
    repo.stored[oid] = request.body
    hub.uploaded.append(Upload(repo.id, oid, size))
    return Response()


def verify(hub: "LoopbackHub", request: Request, kind: str | None, id: str) -> Response:
    """Confirms that an LFS file has come."""
    repo, body = hub.find_proposable(request, kind or "models", id), request.json()
    if len(repo.stored.get(body["oid"], b"")) != body["size"]:
        raise Refused(404, f"No such LFS file: {body['oid']}")
    return Response.of({})


def refuse_discussion(hub: "LoopbackHub", request: Request, kind: str, id: str) -> Response:
    """Discussions, and pull requests without a commit, are not kept here."""
    hub.find(request, kind, id)
    raise Refused(403, "The loopback hub opens pull requests with a commit alone (create_pr=True).")


def commit(hub: "LoopbackHub", request: Request, kind: str, id: str, branch: str) -> Response:
    """Makes a commit of lines of JSON, on its branch or as a pull request to it; where one line is refused, nothing."""
    repo, proposes = find_for_commit(hub, request, kind, id, branch), request.flag("create_pr")
    if branch not in repo.branches:
        raise Refused(404, f"Invalid branch: {branch}", "RevisionNotFound")
    lines = [json.loads(line) for line in request.body.splitlines() if line.strip()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    head = repo.branches[branch]
    if not head.startswith(header.get("parentCommit") or ""):
        raise Refused(412, "A commit has happened since. Please refresh and try again.")
    files = dict(repo.at(head).files)
    for line in lines:
        apply(repo, files, line["key"], line["value"])
    branch = repo.open_pull_request(hub.signed_in(request), branch) if proposes else branch
    made = repo.commit(branch, files, header["summary"], header.get("description") or "")
    where = f"{hub.url}/{repo.path}"
    opened = {"pullRequestUrl": f"{where}/discussions/{branch.rpartition('/')[2]}"} if proposes else {}
    return Response.of({"success": True, "commitOid": made.sha, "commitUrl": f"{where}/commit/{made.sha}", **opened})


def apply(repo: Repo, files: dict[str, Blob], key: str, value: dict[str, Any]) -> None:
    """Does what one line of a commit says to the files by their paths."""
    path = value.get("path", "")
    if key == "file":
        files[path] = Blob(base64.b64decode(value["content"]))
    elif key == "lfsFile":
        if value["oid"] not in repo.stored:
            raise Refused(400, f"The LFS file of {path} has not been uploaded.")
        files[path] = Blob(repo.stored[value["oid"]], lfs=True)
    elif key == "deletedFile":
        if files.pop(path, None) is None:
            raise Refused(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
    elif key == "deletedFolder":
        inside = [name for name in files if name.startswith(f"{path.rstrip('/')}/")]
        if not inside:
            raise Refused(404, f"A folder with this name doesn't exist: {path}", "EntryNotFound")
        for name in inside:
            del files[name]
    elif key != "header":
        raise Refused(400, f"Unknown kind of line in a commit: {key}")
