"""The hub itself: its repositories, its one user, and what tests ask it to do wrong."""

import secrets
import threading
from collections.abc import Mapping
from typing import NamedTuple

from .repos import Blob, Repo
from .routes import ROUTES
from .uploads import Ticket, Upload, is_large
from .wire import Refused, Request, Response, Server, refuse_unknown

USER = "me"
REPO_NOT_FOUND = "RepoNotFound"


class Logged(NamedTuple):
    """A request as `LoopbackHub.requests` keeps it; status 0 where the connection was cut."""

    method: str
    path: str
    status: int
    bytes: int


class LoopbackHub:
    """A hub on 127.0.0.1 while the `with` block runs; from any number of threads.

    The token is that of the user "me", who reads and writes all under `me/`. Everyone reads what is public. What lies
    under other names is put there by `add_repo`.

    Clients in other processes need the variables of `environment`; see there for the one that Xet calls for.

    Args:
        token: of the user "me".
        port: 0 chooses a free one.
        inline: whether every file comes within its commit, none by LFS. It serves clients that would send large files
            by Xet, which this hub lacks, and cannot be told not to.
    """

    def __init__(self, token: str, port: int = 0, inline: bool = False):
        self.token, self.inline = token, inline
        self.repos: dict[tuple[str, str], Repo] = {}
        self.tickets: dict[str, Ticket] = {}
        self.uploaded: list[Upload] = []
        """Every LFS file that was uploaded, in order: an unchanged one must not be here twice."""
        self.requests: list[Logged] = []
        """Every request; those with status 501 asked for what this hub lacks."""
        self._lock = threading.RLock()
        self._upload_limit: int | None = None
        self._server = Server(port, self._answer, self._note, self._body_limit)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> "LoopbackHub":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def environment(self, token: str | None = None) -> dict[str, str]:
        """The variables with which a new Python process uses this hub, with its own token or another ("" for none).

        Uploads are plain LFS. Up to 1.x huggingface_hub offers its ways of transfer, and this hub chooses `basic`;
        2.x does not ask, but uses Xet wherever hf_xet is installed and HF_HUB_DISABLE_XET is not set. Downloads are
        plain HTTP for every version, as no response here has an X-Xet-Hash.
        """
        return {
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": self.token if token is None else token,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
        }

    def add_repo(
        self, id: str, files: Mapping[str, bytes], *, kind: str = "models", private: bool | None = None
    ) -> str:
        """Puts a repository here, or a further commit into it, without a client; returns the commit's name."""
        with self._lock:
            repo = self.repos.setdefault((kind, id), Repo(kind, id))
            repo.private = repo.private if private is None else private
            blobs = {path: Blob(data, is_large(path, len(data), data[:512])) for path, data in files.items()}
            repo.stored |= {blob.sha256: blob.data for blob in blobs.values() if blob.lfs}
            return repo.commit("main", {**repo.at("main").files, **blobs}, "Add files").sha

    def cut_uploads_after(self, n_bytes: int | None) -> None:
        """From now on closes the connection in the middle of an LFS file or a commit longer than this; None ends it."""
        self._upload_limit = n_bytes

    def user(self, request: Request) -> str | None:
        """Whose token a request has: "me" or nobody's."""
        return USER if request.headers.get("authorization") == f"Bearer {self.token}" else None

    def signed_in(self, request: Request) -> str:
        """The user of a request, which must have one."""
        if user := self.user(request):
            return user
        wrong = "authorization" in request.headers
        raise Refused(401, "Invalid credentials in Authorization header" if wrong else "Invalid username or password.")

    def find(self, request: Request, kind: str, id: str) -> Repo:
        """A repository to read; one that is private is as absent for all but its owner."""
        repo, user = self.repos.get((kind, id)), self.user(request)
        if repo is None or (repo.private and repo.owner != user):
            # The Hub tells a stranger to sign in, whether there is a repository or not.
            if user is None:
                raise Refused(401, "Invalid username or password.", REPO_NOT_FOUND)
            raise Refused(404, "Repository not found", REPO_NOT_FOUND)
        return repo

    def find_writable(self, request: Request, kind: str, id: str, branch: str = "") -> Repo:
        """A repository to write to, or a branch of it: that of a pull request is its author's, too."""
        repo, user = self.find(request, kind, id), self.signed_in(request)
        if repo.pull_requests.get(branch) != user:
            self.allow_writing(user, repo.owner)
        return repo

    def find_proposable(self, request: Request, kind: str, id: str) -> Repo:
        """A repository to open a pull request to: any that a signed-in user can read."""
        self.signed_in(request)
        return self.find(request, kind, id)

    @staticmethod
    def allow_writing(user: str, owner: str) -> None:
        """Refuses a user who would write under another's name."""
        if user != owner:
            raise Refused(403, f'Forbidden: you do not have the right to write under the name "{owner}".')

    def issue_ticket(self, repo: Repo, oid: str, size: int) -> str:
        """Allows one upload to whoever knows the name returned."""
        name = secrets.token_hex(16)
        self.tickets[name] = Ticket(repo, oid, size)
        return name

    def _answer(self, request: Request) -> Response:
        # One request at a time: what a request reads and what it then writes belong together.
        with self._lock:
            try:
                for route in ROUTES:
                    if request.method in route.methods and (match := route.pattern.fullmatch(request.path)):
                        return route.answer(self, request, *match.groups())
                refuse_unknown(request)
            except Refused as refusal:
                return refusal.response
            except (KeyError, ValueError) as error:  # a server error would be taken for one that passes, and retried
                return Refused(400, f"Malformed request: {error!r}").response

    def _note(self, request: Request, status: int) -> None:
        self.requests.append(Logged(request.method, request.path, status, len(request.body)))

    def _body_limit(self, request: Request) -> int | None:
        is_upload = request.method == "PUT" and request.path.startswith("/lfs/")
        is_commit = request.method == "POST" and "/commit/" in request.path
        return self._upload_limit if is_upload or is_commit else None
