"""Requests about users and whole repositories: create and delete them, their settings, branches, tags and history."""

from typing import TYPE_CHECKING, Any

import yaml
from huggingface_hub import ModelCardData

from .files import front_matter
from .repos import Repo
from .wire import Refused, Request, Response

if TYPE_CHECKING:
    from .hub import LoopbackHub

FIELDS: dict[str, Any] = {
    **dict.fromkeys(("library_name", "pipeline_tag", "license", "base_model_relation"), str),
    **dict.fromkeys(("tags", "datasets", "metrics", "widget", "model-index"), list),
    **dict.fromkeys(("language", "base_model"), (str, list)),
}
"""What may stand in a card's metadata, of those that are looked at."""


def whoami(hub: "LoopbackHub", request: Request) -> Response:
    """The user of the token."""
    user = hub.signed_in(request)
    token = {"displayName": "loopback", "role": "write"}
    return Response.of(
        {"type": "user", "id": user, "name": user, "fullname": user, "orgs": []}
        | {"auth": {"type": "access_token", "accessToken": token}}
    )


def validate_card(hub: "LoopbackHub", request: Request) -> Response:
    """Says of a card what is wrong with its metadata: the Hub takes none of another form."""
    body = request.json()
    try:
        data = front_matter(body["content"].encode())
        wrong = [name for name, kind in FIELDS.items() if name in data and not isinstance(data[name], kind)]
        if body.get("repoType", "model") == "model":
            ModelCardData(**data)  # which reads a model-index
    except (TypeError, ValueError, LookupError, yaml.YAMLError) as error:
        wrong = [f"metadata ({type(error).__name__}: {error})"]
    errors = [{"message": f"the form of {name} is wrong"} for name in wrong]
    return Response.of({"errors": errors, "warnings": []}, 400 if errors else 200)


def name_agents(hub: "LoopbackHub", request: Request) -> Response:
    """Knows none of the programs that the client would name in its user agent."""
    return Response.of({"standardEnvVars": [], "harnesses": {}})


def named(user: str, body: dict[str, Any]) -> tuple[str, str]:
    """The kind and the id of the repository that a body names."""
    return f"{body.get('type') or 'model'}s", f"{body.get('organization') or user}/{body['name']}"


def is_private(body: dict[str, Any]) -> bool | None:
    """What a body says of visibility, as huggingface_hub says it now or did in 1.x; None if it says nothing."""
    visibility = body.get("visibility")
    return body.get("private") if visibility is None else visibility != "public"


def create(hub: "LoopbackHub", request: Request) -> Response:
    """Makes a repository with one commit, of a .gitattributes."""
    user, body = hub.signed_in(request), request.json()
    kind, id = named(user, body)
    hub.allow_writing(user, id.split("/")[0])
    found = hub.repos.get((kind, id))
    repo = found or Repo(kind, id, private=bool(is_private(body)))
    hub.repos[kind, id] = repo
    answer = {"url": f"{hub.url}/{repo.path}", "name": id}
    if found is not None:
        return Response.of({"error": f"You already created this {kind[:-1]} repo", **answer}, 409)
    return Response.of(answer)


def delete(hub: "LoopbackHub", request: Request) -> Response:
    """Removes a repository with its history."""
    kind, id = named(hub.signed_in(request), request.json())
    hub.find_writable(request, kind, id)
    del hub.repos[kind, id]
    return Response.of({})


def change_settings(hub: "LoopbackHub", request: Request, kind: str, id: str) -> Response:
    """Makes a repository private or public."""
    repo, body = hub.find_writable(request, kind, id), request.json()
    if (private := is_private(body)) is not None:
        repo.private = private
    return Response.of({"private": repo.private})


def check_rights(hub: "LoopbackHub", request: Request, kind: str, id: str, write: str | None) -> Response:
    """Says whether the user may read, or write."""
    (hub.find_writable if write else hub.find)(request, kind, id)
    return Response.of({})


def list_refs(hub: "LoopbackHub", request: Request, kind: str, id: str) -> Response:
    """The branches and the tags."""
    repo = hub.find(request, kind, id)

    def refs(kind: str, of: dict[str, str]) -> list[dict[str, str]]:
        return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": sha} for name, sha in of.items()]

    branches = {name: sha for name, sha in repo.branches.items() if name not in repo.pull_requests}
    proposed = [{"name": name, "ref": name, "targetCommit": repo.branches[name]} for name in repo.pull_requests]
    heads, tags = refs("heads", branches), refs("tags", repo.tags)
    return Response.of({"branches": heads, "tags": tags, "converts": [], "pullRequests": proposed})


def add_ref(refs: dict[str, str], name: str, sha: str) -> Response:
    """Names a commit, once."""
    if name in refs:
        raise Refused(409, f"Reference already exists: {name}")
    refs[name] = sha
    return Response.of({})


def remove_ref(refs: dict[str, str], name: str) -> Response:
    """Forgets a name; the commit stays."""
    if name not in refs:
        raise Refused(404, f"Reference does not exist: {name}", "RevisionNotFound")
    del refs[name]
    return Response.of({})


def create_branch(hub: "LoopbackHub", request: Request, kind: str, id: str, branch: str) -> Response:
    """Begins a branch at a revision, by default at the end of main."""
    repo = hub.find_writable(request, kind, id)
    return add_ref(repo.branches, branch, repo.at(request.json().get("startingPoint") or "main").sha)


def delete_branch(hub: "LoopbackHub", request: Request, kind: str, id: str, branch: str) -> Response:
    """Removes any branch but main."""
    repo = hub.find_writable(request, kind, id)
    if branch == "main":
        raise Refused(403, "The branch main cannot be deleted.")
    return remove_ref(repo.branches, branch)


def create_tag(hub: "LoopbackHub", request: Request, kind: str, id: str, revision: str) -> Response:
    """Tags a revision."""
    repo = hub.find_writable(request, kind, id)
    return add_ref(repo.tags, request.json()["tag"], repo.at(revision).sha)


def delete_tag(hub: "LoopbackHub", request: Request, kind: str, id: str, tag: str) -> Response:
    """Removes a tag."""
    return remove_ref(hub.find_writable(request, kind, id).tags, tag)


def list_commits(hub: "LoopbackHub", request: Request, kind: str, id: str, revision: str) -> Response:
    """The history of a revision, newest first and all of it."""
    repo = hub.find(request, kind, id)
    return Response.of(
        [
            {"id": commit.sha, "title": commit.title, "message": commit.message, "date": commit.day}
            | {"authors": [{"user": repo.owner}]}
            for commit in repo.history(revision)
        ]
    )
