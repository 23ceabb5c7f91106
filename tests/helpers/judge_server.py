"""A server for tests of the LLM judge: chat completions on loopback, with every fault that such servers have."""

import json
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from clarifyvlm.judges import JudgeArguments, make_judge

GOOD = {
    "false_claims": [],
    "strategy_evidence": "lists both",
    "used_strategy": "enumerate",
    "answer_evidence": "red, blue",
    "states_answer": True,
    "answered_readings": [{"reading": 1, "right": True}, {"reading": 2, "right": True}],
    "ignores_other_readings": False,
    "asks_which": False,
    "question_evidence": "",
    "separated_readings": [],
}


class Server:
    """Chat completions on a random loopback port. `reply(request)` gives (status, body, headers) or a fault's name:
    hang (no answer), drop (closes), reset (closes with RST), half (half of the body), drip (a byte now and then)."""

    def __init__(self):
        self.requests: list[dict] = []
        self.reply = lambda request: completion(GOOD)
        self.stop = threading.Event()
        self._connections: list[socket.socket] = []
        self.in_flight = self.most_in_flight = 0
        lock, server = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                server._connections.append(self.connection)

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    server.requests.append(request)
                    server.in_flight += 1
                    server.most_in_flight = max(server.most_in_flight, server.in_flight)
                answer = server.reply(request)
                if answer == "hang":
                    server.stop.wait(20)
                    answer = (503, {}, {})
                with lock:
                    server.in_flight -= 1
                if answer in ("drop", "reset"):
                    self.close_connection = True
                    _reset(self.connection) if answer == "reset" else self.connection.close()
                    return
                if answer in ("half", "drip"):
                    data = json.dumps(completion(GOOD)[1]).encode()
                    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
                    self.wfile.write(head.encode() + data[: len(data) // 2])
                    while answer == "drip" and not server.stop.wait(0.1):
                        self.wfile.write(b" ")
                    self.close_connection = True
                    return
                status, body, headers = answer
                data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in ({"Content-Type": "application/json"} | headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self._handler, self.port, self.http = Handler, 0, None
        self.start()

    def start(self) -> None:
        """Listen; after `close`, on the same port as before."""

        class Http(ThreadingHTTPServer):
            request_queue_size = 128  # connections at once; the default of 5 turns some away
            daemon_threads = True
            block_on_close = False

        self.http = Http(("127.0.0.1", self.port), self._handler)
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Die: nobody listens, and open connections are cut."""
        self.http.shutdown()
        self.http.server_close()
        for connection in self._connections:
            _reset(connection)
        self._connections.clear()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_) -> None:
        self.stop.set()
        self.close()


def _reset(connection: socket.socket) -> None:
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()
    except OSError:
        pass  # closed already


def completion(content, finish_reason="stop", **message):
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": text, **message}}
    return 200, {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}, {}


def make(server, image_root=None, **changes):
    """A judge at `server`, without retries."""
    options = {"judge_timeout_s": 5.0, "judge_max_retries": 0} | changes
    arguments = JudgeArguments(judge="openai", judge_base_url=server.url, judge_model="m", **options)
    return make_judge(arguments, image_root)
