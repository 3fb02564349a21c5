"""A small Hugging Face hub on loopback: folders as repositories, and the faults that networks and hubs have.

It speaks the part of the hub's protocol that the real clients use to download: the description of a repository with its
files, the tree of a commit, HEAD and GET of a file with ranges. Repositories are folders below `root`,
`<organisation>/<name>` or `datasets/<organisation>/<name>`.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """A running hub.

    Attributes:
        root: folder of its repositories.
        asked: every request: method, path, range of bytes.
        gated, private: repositories that are so; answers are 403 and 401.
        busy: status -> how many times it is answered before anything else is.
        retry_after: what is said of when to come again.
        cut: name of a file -> how many times its connection breaks in the middle.
        wrong: names of files whose content is not what the commit says.
        silent: requests get no answer.
        mute: requests whose path holds this get no answer.
    """

    root: Path
    url: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    gated: set[str] = field(default_factory=set)
    private: set[str] = field(default_factory=set)
    busy: dict[int, int] = field(default_factory=dict)
    retry_after: str | None = "0"
    cut: dict[str, int] = field(default_factory=dict)
    wrong: set[str] = field(default_factory=set)
    silent: bool = False
    mute: str | None = None

    def downloads(self, name: str) -> list[str]:
        """The ranges in which a file was asked for; an empty one is the whole."""
        return [where for method, path, where in self.asked if method == "GET" and path.endswith(f"/{name}")]


def _git_sha1(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def _is_large(name: str) -> bool:
    return name.endswith((".safetensors", ".gguf", ".bin", ".parquet"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _give(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        """The description of some paths."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["paths"]
        self._answer(asked)

    def do_GET(self) -> None:
        self._answer(None)

    def _answer(self, paths: list[str] | None) -> None:
        hub = self.hub
        path = urllib.parse.unquote(self.path.partition("?")[0])
        hub.asked.append((self.command, path, str(self.headers.get("Range") or "")))
        while hub.silent or (hub.mute is not None and hub.mute in path):
            time.sleep(0.1)
        for status, times in hub.busy.items():
            if times > 0:
                hub.busy[status] -= 1
                said = {} if hub.retry_after is None else {"Retry_After": hub.retry_after}
                self._give(status, b"busy", **said)
                return
        parts = path.strip("/").split("/")
        if parts[0] == "api":
            prefix, rest = ("datasets/" if parts[1] == "datasets" else ""), parts[2:]
        else:
            prefix, rest = ("datasets/" if parts[0] == "datasets" else ""), parts[bool(parts[0] == "datasets") :]
        name, rest = prefix + "/".join(rest[:2]), rest[2:]
        folder = hub.root / name
        if name in hub.gated:
            self._give(403, b"{}", X_Error_Code="GatedRepo", X_Error_Message="Access is restricted")
        elif name in hub.private or not folder.is_dir():
            self._give(401 if name in hub.private else 404, b"{}", X_Error_Code="RepoNotFound")
        elif rest and rest[0] in ("revision", "tree", "resolve", "paths-info") and rest[1] not in (COMMIT, "main"):
            self._give(404, b"{}", X_Error_Code="RevisionNotFound")
        elif parts[0] == "api":
            self._describe(name, folder, rest, paths)
        else:
            self._file(folder, "/".join(rest[2:]))

    def _describe(self, name: str, folder: Path, rest: list[str], paths: list[str] | None) -> None:
        found: list[dict[str, Any]] = []
        inside = "/".join(rest[2:]) if rest and rest[0] == "tree" else ""
        whole = not rest or rest[0] != "tree" or "recursive=True" in self.path or "recursive=true" in self.path
        for path in sorted((folder / inside).rglob("*") if whole else (folder / inside).iterdir()):
            key = str(path.relative_to(folder))
            if paths is not None and key not in paths:
                continue
            if path.is_dir():
                if rest and rest[0] != "revision":
                    found.append({"type": "directory", "path": key, "oid": "0" * 40, "size": 0})
                continue
            body = path.read_bytes()
            entry: dict[str, Any] = {"type": "file", "path": key, "rfilename": key, "size": len(body)}
            entry |= {"oid": _git_sha1(body), "blobId": _git_sha1(body)}
            if _is_large(key):
                entry["lfs"] = {"oid": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 130}
                entry["lfs"]["sha256"] = entry["lfs"]["oid"]
            found.append(entry)
        if paths is not None or (rest and rest[0] == "tree"):
            self._give(200, json.dumps(found).encode(), Content_Type="application/json")
            return
        said = {"id": name.removeprefix("datasets/"), "sha": COMMIT, "private": False, "gated": False, "tags": []}
        self._give(200, json.dumps({**said, "siblings": found}).encode(), Content_Type="application/json")

    def _file(self, folder: Path, name: str) -> None:
        path = folder / name
        if not path.is_file():
            self._give(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
            return
        body = path.read_bytes()
        etag = hashlib.sha256(body).hexdigest() if _is_large(name) else _git_sha1(body)
        if name in self.hub.wrong:
            body = bytes([body[0] ^ 1]) + body[1:]
        headers = {"ETag": f'"{etag}"', "X_Repo_Commit": COMMIT, "Accept_Ranges": "bytes"}
        whole, status = len(body), 200
        if wanted := self.headers.get("Range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            headers["Content_Range"] = f"bytes {first}-{last or whole - 1}/{whole}"
            body, status = body[int(first) : int(last) + 1 if last else whole], 206
        if self.command == "GET" and self.hub.cut.get(name, 0) > 0:
            self.hub.cut[name] -= 1
            self.send_response(status)
            for key, value in {**headers, "Content_Length": str(len(body))}.items():
                self.send_header(key.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        self._give(status, body, **headers)


@contextmanager
def running(root: Path) -> Iterator[Hub]:
    """A hub of the repositories below `root`, as long as the context lasts."""
    hub = Hub(root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.silent, hub.mute = False, None
        server.shutdown()
        server.server_close()
        thread.join()
