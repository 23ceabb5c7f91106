"""A hub on loopback: it takes a token, makes a repository, and keeps what is uploaded to it."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_right"


class Hub:
    """Use with `with`; `url` for HF_ENDPOINT. `files` is what was uploaded, `private` how the repository is seen."""

    def __init__(self, *, public_already: bool = False):
        self.files: dict[str, bytes] = {}
        self.private: bool | None = False if public_already else None  # None: there is no repository
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                hub._answer(self, b"")

            def do_POST(self):
                size = int(self.headers.get("Content-Length") or 0)
                hub._answer(self, self.rfile.read(size) if size else _chunks(self.rfile))

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Hub":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request, body: bytes) -> None:
        path = request.path.partition("?")[0]
        self.asked.append(f"{request.command} {path}")
        status, answer = 200, {}
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            status, answer = 401, {"error": "Invalid username or password."}
        elif path == "/api/whoami-v2":
            answer = {"name": "owner", "type": "user", "auth": {"accessToken": {"role": "write"}}}
        elif path == "/api/repos/create":
            if self.private is not None:
                status, answer = 409, {"url": f"{self.url}/owner/name", "error": "You already created this model repo"}
            else:
                self.private = _wants_private(json.loads(body))
                answer = {"url": f"{self.url}/owner/name", "name": "owner/name", "id": "owner/name"}
        elif path == "/api/validate-yaml":  # of the card
            answer = {"errors": [], "warnings": []}
        elif path.endswith("/preupload/main"):
            names = [file["path"] for file in json.loads(body)["files"]]
            answer = {"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]}
        elif path.endswith("/commit/main"):
            for line in map(json.loads, body.decode().splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            answer = {"commitUrl": f"{self.url}/owner/name/commit/abc", "commitOid": "abc", "success": True}
        elif path.startswith("/api/models/owner/name"):
            answer = {"id": "owner/name", "private": bool(self.private), "siblings": [], "sha": "abc", "tags": []}
        else:
            status, answer = 404, {"error": "not found"}
        content = json.dumps(answer).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


def _wants_private(body: dict) -> bool:
    return bool(body.get("private")) or body.get("visibility") == "private"


def _chunks(stream) -> bytes:
    """The body of a request without a length, sent in chunks."""
    body = b""
    while size := int(stream.readline() or b"0", 16):
        body += stream.read(size)
        stream.readline()
    return body
