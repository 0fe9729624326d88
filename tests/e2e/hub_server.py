"""A hub on 127.0.0.1: the file API as far as huggingface_hub uses it, with faults on demand."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import unquote, urlsplit

GOOD_TOKEN = "hf_good"
POOR_TOKEN = "hf_without_access"


@dataclass
class Repository:
    """Commits by hash, each a name → bytes; branches and tags by name."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False

    def commit(self, files: dict[str, bytes], ref: str = "main") -> str:
        """A new commit of just these files, `ref` pointing to it; returns its hash."""
        text = repr((len(self.commits), sorted(files))).encode()
        commit = hashlib.sha1(text).hexdigest()
        self.commits[commit] = dict(files)
        self.refs[ref] = commit
        return commit


@dataclass(frozen=True)
class Request:
    """One request as the server saw it."""

    method: str
    path: str
    range: str | None
    token: str | None


class HubServer:
    """Use as a context manager; `url` is what HF_ENDPOINT should be."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[Request] = []
        self.cut_after: dict[str, int] = {}  # file → bytes sent before its next GET is cut off
        self.status: int | None = None  # answer everything with this
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("H", (_Handler,), {"hub": self}))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def add(self, repo_id: str, *, gated: bool = False) -> Repository:
        """An empty repository."""
        self.repositories[repo_id] = Repository(gated=gated)
        return self.repositories[repo_id]

    def fetched(self, method: str = "GET") -> list[str]:
        """File names whose contents (or headers) were asked for, in order."""
        paths = (r.path for r in self.requests if r.method == method and "/resolve/" in r.path)
        return [path.rpartition("/")[2] for path in paths]

    def __enter__(self) -> HubServer:
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        self.hub.requests.append(Request(self.command, path, self.headers.get("Range"), token))
        if self.hub.status is not None:
            self._send(self.hub.status)
        elif token not in (None, GOOD_TOKEN, POOR_TOKEN):
            self._send(401, error_message="Invalid credentials in Authorization header")
        elif info := re.fullmatch(r"/api/models/(.+?)(?:/revision/(.+))?", path):
            self._info(info[1], info[2] or "main")
        elif file := re.fullmatch(r"/(.+?)/resolve/([^/]+)/(.+)", path):
            self._file(file[1], file[2], file[3], token)
        else:
            self._send(404)

    def _find(self, repo_id: str, revision: str) -> tuple[Repository, str] | None:
        """The repository and the commit; None: the answer, an error, is sent."""
        repository = self.hub.repositories.get(repo_id)
        if repository is None:
            self._send(404, error_code="RepoNotFound")
            return None
        commit = repository.refs.get(revision, revision)
        if commit not in repository.commits:
            self._send(404, error_code="RevisionNotFound")
            return None
        return repository, commit

    def _info(self, repo_id: str, revision: str) -> None:
        if found := self._find(repo_id, revision):
            repository, commit = found
            files = repository.commits[commit].items()
            siblings = [{"rfilename": n, "size": len(d), "blobId": _etag(d)} for n, d in files]
            info = {"id": repo_id, "modelId": repo_id, "sha": commit, "siblings": siblings}
            self._send(200, json.dumps(info).encode(), {"Content-Type": "application/json"})

    def _file(self, repo_id: str, revision: str, name: str, token: str | None) -> None:
        found = self._find(repo_id, revision)
        if found is None:
            return
        repository, commit = found
        if repository.gated and token != GOOD_TOKEN:
            self._send(401 if token is None else 403, error_code="GatedRepo")
            return
        data = repository.commits[commit].get(name)
        if data is None:
            self._send(404, error_code="EntryNotFound", headers={"X-Repo-Commit": commit})
            return
        headers = {
            "ETag": f'"{_etag(data)}"',
            "X-Repo-Commit": commit,
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted:
            begin, end = int(wanted[1]), int(wanted[2]) + 1 if wanted[2] else len(data)
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(data)}"
            self._send(206, data[begin:end], headers)
        else:
            cut = self.hub.cut_after.pop(name, None) if self.command == "GET" else None
            self._send(200, data, headers, cut=cut)

    def _send(
        self,
        status: int,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        error_code: str | None = None,
        error_message: str | None = None,
        cut: int | None = None,
    ) -> None:
        """`cut`: send only so many bytes of the body, then drop the connection."""
        self.send_response(status, HTTPStatus(status).phrase)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if error_code:
            self.send_header("X-Error-Code", error_code)
        if error_message:
            self.send_header("X-Error-Message", error_message)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])
            if cut is not None:
                self.wfile.flush()
                self.close_connection = True


def _etag(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()
