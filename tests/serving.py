"""A web server for tests, on this machine, that can misbehave in every way that a real one does."""

import contextlib
import re
import threading
import time
from collections import defaultdict, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """What is served, how it goes wrong, and what was asked.

    Attributes:
        files: content of each path.
        faults: for each path what goes wrong with its next requests, in turn; afterwards all is well.
        asked: path, Range and User-Agent of each request.
        most: how many requests there were at once, at most.
        pause: seconds that an answer takes.
        retry_after: what it says with 503.
    """

    def __init__(self):
        self.files, self.faults, self.asked = {}, defaultdict(deque), []
        self.now, self.most, self.pause, self.retry_after = 0, 0, 0.0, "1"
        self.lock = threading.Lock()
        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.httpd.daemon_threads = True

    @property
    def address(self):
        return f"http://127.0.0.1:{self.httpd.server_port}"

    def times(self, path):
        return [asked[0] for asked in self.asked].count(path)

    def handler(server):  # noqa: N805 (self is the handler's)
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_HEAD(self):
                self.answer(only_header=True)

            def do_GET(self):
                with server.lock:
                    server.asked.append((self.path, self.headers["Range"], self.headers["User-Agent"]))
                    server.now += 1
                    server.most = max(server.most, server.now)
                time.sleep(server.pause)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client has gone
                    self.answer()
                with server.lock:
                    server.now -= 1

            def answer(self, only_header=False):
                faults = server.faults[self.path]
                fault = None if only_header or not faults else faults.popleft()
                content = server.files.get(self.path)
                start = int((re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "") or [0, 0])[1])
                if content is not None and start and start >= len(content):
                    fault = 416
                if content is None or isinstance(fault, int):
                    self.send_response(fault or 404)
                    self.send_header("Content-Length", "0")
                    if fault == 503:
                        self.send_header("Retry-After", server.retry_after)
                    self.end_headers()
                    return
                start = 0 if fault == "whole" else start
                said = len(content)
                if fault == "elsewhere":
                    start += 7
                body = content[start : start + 1000] if fault == "some" else content[start:]
                self.send_response(206 if start or fault == "elsewhere" else 200)
                if start or fault == "elsewhere":
                    self.send_header("Content-Range", f"bytes {start}-{said - 1}/{said}")
                length = {"more": len(body) + 99, "less": len(body) // 2, "huge": 10**13}.get(fault, len(body))
                if fault == "endless":
                    self.send_header("Transfer-Encoding", "chunked")
                else:
                    self.send_header("Content-Length", str(length))
                self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
                self.end_headers()
                if only_header:
                    return
                if fault == "endless":
                    while True:
                        self.wfile.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
                elif fault == "break":
                    self.wfile.write(body[: len(body) // 2])
                elif fault == "damage":
                    self.wfile.write(body.replace(b"7", b"8"))
                else:
                    self.wfile.write(body[:length])
                if fault in ("break", "more", "less", "huge"):
                    self.close_connection = True

        return Handler


@contextlib.contextmanager
def serving():
    """A running server."""
    server = Server()
    thread = threading.Thread(target=server.httpd.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.httpd.shutdown()
        server.httpd.server_close()
        thread.join()
