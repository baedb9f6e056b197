"""A stand-in for the APIs: origin.py ADDRESS CERTIFICATE KEY.

It serves HTTPS on port 443: lists of models, streams, WebSocket, bodies of any size. It wants the
key of the test. /paths gives the paths that were asked for since the last time; a stream that is
asked for with `X-Hold` waits for /go after its first event, to see whether anything collects it.
"""

import http.server
import json
import ssl
import sys
import threading

KEY = "sk-test"
MODELS = b'{"object":"list","data":[{"id":"gpt-4o-mini","object":"model"}]}\n'
go = threading.Event()
paths = []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/paths":
            asked, paths[:] = list(paths), []
            return self.answer(200, json.dumps(asked).encode())
        if self.path == "/go":
            go.set()
            return self.answer(200, b"{}")
        return self.handle_api()

    def do_POST(self):
        return self.handle_api()

    def handle_api(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        paths.append(self.path)
        if KEY not in (self.headers.get("Authorization", "") + self.headers.get("x-api-key", "")):
            return self.answer(401, b'{"error":{"message":"no such key"}}')
        if not self.path.startswith("/v1/") or "/v1/v1" in self.path:
            return self.answer(404, b'{"error":{"message":"Invalid URL"}}')
        if self.headers.get("Upgrade") == "websocket":
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            return self.end_headers()
        if b'"stream": true' in body:
            return self.stream()
        return self.answer(200, MODELS)

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.event(b"data: first\n\n")
        if self.headers.get("X-Hold"):
            go.wait(60)
            go.clear()
        self.event(b"data: [DONE]\n\n")
        self.event(b"")

    def event(self, part):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    def log_message(self, *_):
        pass


def main():
    address, certificate, key = sys.argv[1:]
    server = http.server.ThreadingHTTPServer((address, 443), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True,
                                        do_handshake_on_connect=False)
    server.serve_forever()


main()
