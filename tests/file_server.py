"""A server on this machine that gives files away, and drops, truncates and flips on demand."""

import hashlib
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONFIG = b'{"model_type": "brainlm"}'
WEIGHTS = bytes(range(256)) * 3000
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


class Server(ThreadingHTTPServer):
    """Files by path, and what shall go wrong with the next answers for each."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files = {"/atlas.nii": WEIGHTS}
        for revision in ("main", COMMIT):
            folder = f"/owner/name/resolve/{revision}/old_13M/"
            self.files |= {folder + "config.json": CONFIG, folder + "model.safetensors": WEIGHTS}
        self.faults = {}  # path to faults of the next answers
        self.log = []  # method and path of every request

    def handle_error(self, request, client_address):
        """Say nothing of clients that go away."""


class Handler(BaseHTTPRequestHandler):
    """The routes of the hub that its client asks for, and plain files."""

    def log_message(self, *arguments):
        """Say nothing."""

    def do_HEAD(self):
        self.answer("HEAD")

    def do_GET(self):
        self.answer("GET")

    def answer(self, method):
        self.server.log.append((method, self.path))
        content = self.server.files.get(self.path)
        faults = self.server.faults.get(self.path, [])
        fault = faults.pop(0) if faults and method == "GET" else None
        if content is None or isinstance(fault, int):
            self.send_response(fault or 404)
            if "/owner/name/" in self.path:
                known = any(f"/{revision}/" in self.path for revision in ("main", COMMIT))
                self.send_header("X-Error-Code", "EntryNotFound" if known else "RevisionNotFound")
                self.send_header("X-Repo-Commit", COMMIT)
            else:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if fault == "refuse":
            self.close_connection = True
            return
        large = len(content) > 1000  # the hub names large files by SHA-256, small ones otherwise
        etag = sha256(content) if large else hashlib.sha1(content).hexdigest()
        sent = content
        if fault == "flip":
            sent = content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]
        if fault == "flip elsewhere":
            sent = bytes([content[0] ^ 1]) + content[1:]
        if fault in ("drop", "truncate"):
            sent = content[: len(content) // 2]
        self.send_response(200)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if fault != "no length":  # a client cannot know that a "truncate" is one, but for the hash
            self.send_header("Content-Length", str(len(sent if fault == "truncate" else content)))
        self.end_headers()
        if method == "GET":
            self.wfile.write(sent)


@contextmanager
def running_server():
    """Serve until the block ends."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
