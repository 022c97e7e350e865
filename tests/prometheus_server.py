"""A small server that speaks Prometheus' HTTP API: what it knows, it answers; what is no PromQL, it refuses as that does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PROXY = "proxy"  # an expression that somebody in between answers, who is no Prometheus
PARSE_ERROR = "1:8: parse error: unclosed left parenthesis"
MANY = "found duplicate series for the match group on the right hand-side of the operation"


class PrometheusServer:
    """What is known: expression -> the value of each version."""

    def __init__(self, series: dict[str, dict[str, float]], *, status: int = 200) -> None:
        self.series, self.status = series, status
        self.asked: list[dict[str, list[str]]] = []

    def answer(self, asked: dict[str, list[str]]) -> tuple[int, bytes]:
        """Answer one query as Prometheus 2.42 does."""
        self.asked.append(asked)
        query, at = asked["query"][0], float(asked["time"][0])
        if self.status != 200 or query == PROXY:
            return self.status, b"<html>"
        if query.count("(") != query.count(")"):
            return 400, _plain(
                {"status": "error", "errorType": "bad_data", "error": f'invalid parameter "query": {PARSE_ERROR}'}
            )
        if "on ()" in query:
            return 422, _plain({"status": "error", "errorType": "execution", "error": MANY})
        kind = "matrix" if query.endswith("]") else "scalar" if query.isdigit() else "vector"
        known = self.series.get(query, {})
        result = [{"metric": {"version": each}, "value": [at, f"{value:g}"]} for each, value in known.items()]
        return 200, _plain({"status": "success", "data": {"resultType": kind, "result": result}})


def _plain(body: Any) -> bytes:
    return json.dumps(body).encode()


@contextmanager
def serving(prometheus: PrometheusServer) -> Iterator[str]:
    """Serve on a free port of the loopback; yields the URL."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            status, body = prometheus.answer(parse_qs(parts.query))
            self.send_response(status if parts.path == "/api/v1/query" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
