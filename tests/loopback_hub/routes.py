"""Which function answers which request."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from . import files, manage, uploads
from .wire import Request, Response, refuse_unknown

if TYPE_CHECKING:
    from .hub import LoopbackHub

API = "/api/(models|datasets|spaces)/([^/]+/[^/]+)"
SITE = "/(?:(datasets|spaces)/)?([^/]+/[^/]+)"


class Route(NamedTuple):
    """Some methods on the paths of a pattern, and the function that is given the pattern's groups."""

    methods: list[str]
    pattern: re.Pattern[str]
    function: Callable[..., Response]

    def answer(self, hub: "LoopbackHub", request: Request, *groups: str | None) -> Response:
        return self.function(hub, request, *(group and unquote(group) for group in groups))


def refuse(hub: "LoopbackHub", request: Request, kind: str, id: str) -> Response:
    """Says of a repository that it is not there, or else of the request that it is unknown."""
    hub.find(request, kind, id)
    refuse_unknown(request)


def refuse_bare_name(hub: "LoopbackHub", request: Request, name: str) -> Response:
    """Names without an owner, which a few old models of the real Hub have, are not there."""
    return refuse(hub, request, "models", name)


ROUTES = [
    Route(methods.split(), re.compile(pattern), function)
    for methods, pattern, function in (
        ("GET", "/api/whoami-v2", manage.whoami),
        ("GET", "/api/agent-harnesses", manage.name_agents),
        ("POST", "/api/validate-yaml", manage.validate_card),
        ("POST", "/api/repos/create", manage.create),
        ("DELETE", "/api/repos/delete", manage.delete),
        ("GET", f"{API}(?:/revision/([^/]+))?", files.info),
        ("PUT", f"{API}/settings", manage.change_settings),
        ("GET", f"{API}/auth-check(/write)?", manage.check_rights),
        ("GET", f"{API}/refs", manage.list_refs),
        ("POST", f"{API}/branch/([^/]+)", manage.create_branch),
        ("DELETE", f"{API}/branch/([^/]+)", manage.delete_branch),
        ("POST", f"{API}/tag/([^/]+)", manage.create_tag),
        ("DELETE", f"{API}/tag/([^/]+)", manage.delete_tag),
        ("GET", f"{API}/commits/([^/]+)", manage.list_commits),
        ("GET", f"{API}/tree/([^/]+)(?:/(.*))?", files.list_tree),
        ("POST", f"{API}/paths-info/([^/]+)", files.describe_paths),
        ("GET HEAD", f"{SITE}/resolve/([^/]+)/(.+)", files.resolve),
        ("POST", f"{API}/preupload/([^/]+)", uploads.choose_modes),
        ("POST", f"{SITE}\\.git/info/lfs/objects/batch", uploads.offer_uploads),
        ("PUT", "/lfs/([0-9a-f]+)", uploads.store),
        ("POST", f"{SITE}\\.git/info/lfs/verify", uploads.verify),
        ("POST", f"{API}/commit/([^/]+)", uploads.commit),
        ("POST", f"{API}/discussions", uploads.refuse_discussion),
        ("GET HEAD POST PUT DELETE", f"{API}/.+", refuse),
        ("GET HEAD POST PUT DELETE", "/api/(models|datasets|spaces)/([^/]+)", refuse),
        ("GET HEAD", "/([^/]+)/resolve/.+", refuse_bare_name),
    )
]
