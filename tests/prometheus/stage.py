"""A relay under a small load, with failures of the client, of the API and of the network."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import urllib.request

CERTIFICATES = os.path.join(os.path.dirname(__file__), "../../certs")

CONFIGURATION = """workers = 2
admin = "127.0.0.1:{admin}"
[[listener]]
address = "127.0.0.1:0"
[[listener]]
address = "127.0.0.1:0"
certificate = "api.example.com.pem"
key = "api.example.com.key"
[[listener]]
address = "127.0.0.1:0"
certificate = "old.example.com.pem"
key = "old.example.com.key"
[[route]]
path = "/gpt/"
upstream = "https://localhost:{tls_origin}/"
ca = "{certificates}/ca.pem"
[[route]]
path = "/local/"
upstream = "http://127.0.0.1:{origin}/"
[[route]]
path = "/down/"
upstream = "http://127.0.0.1:{closed}/"
[[route]]
path = "/untrusted/"
upstream = "https://localhost:{tls_origin}/"
[timeouts]
response_head = "2s"
"""


def free_port():
    """A port that no one listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Stage:
    """An API, a relay in front of it, and clients. To be entered once."""

    def __init__(self, narrows, folder):
        self.narrows, self.folder = narrows, folder
        self.admin, self.plain, self.tls = free_port(), 0, 0

    async def __aenter__(self):
        self.answered = 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{CERTIFICATES}/server.pem", f"{CERTIFICATES}/server.key")
        self.origins = [
            await asyncio.start_server(self.answer, "127.0.0.1", 0),
            await asyncio.start_server(self.answer, "127.0.0.1", 0, ssl=context),
        ]
        origin, tls_origin = (it.sockets[0].getsockname()[1] for it in self.origins)
        self.make_certificate("api.example.com", 60)
        self.make_certificate("old.example.com", 9)
        self.file = os.path.join(self.folder, "narrows.toml")
        self.text = CONFIGURATION.format(
            admin=self.admin, origin=origin, tls_origin=tls_origin,
            closed=free_port(), certificates=os.path.abspath(CERTIFICATES))
        self.write(self.text)
        self.log = open(os.path.join(self.folder, "narrows.log"), "w+")
        command = [self.narrows, "run", "--config", self.file]
        self.relay = subprocess.Popen(command, stderr=self.log)
        for _ in range(200):
            with open(self.log.name) as log:
                ready = r'ready addresses="?http://\S+:(\d+) https://\S+:(\d+)'
                line = re.search(ready, log.read())
            if line:
                self.plain, self.tls = int(line[1]), int(line[2])
                return self
            await asyncio.sleep(0.05)
        raise SystemExit("narrows does not start: " + open(self.log.name).read())

    async def __aexit__(self, *_):
        self.relay.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.relay.wait(5)
        self.relay.kill()
        for origin in self.origins:
            origin.close()

    def make_certificate(self, name, days):
        path = os.path.join(self.folder, name)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", str(days), "-subj", f"/CN={name}", "-addext",
             f"subjectAltName=DNS:{name}", "-out", f"{path}.pem", "-keyout", f"{path}.key"],
            check=True, capture_output=True)

    def write(self, text):
        with open(self.file, "w") as file:
            file.write(text)

    def get(self, path, accept="*/*"):
        """A page of the admin listener."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin}{path}")
        request.add_header("Accept", accept)
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.headers["content-type"], response.read().decode()

    def status(self):
        return json.loads(self.get("/status")[1])

    async def answer(self, reader, writer):
        """The API. What it does is in the path."""
        ends = (OSError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.suppress(*ends):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"content-length: (\d+)", head, re.I)
                await reader.readexactly(int(length[1]) if length else 0)
                if not await self.respond(head.split(" ")[1], writer):
                    break
        writer.close()

    async def respond(self, path, writer):
        self.answered += 1
        # Times as a model has them, of which each is a hundredth.
        await asyncio.sleep(0.01 + self.answered % 17 * 0.004)
        if path == "/stream":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                         b"Transfer-Encoding: chunked\r\n\r\n")
            for event in range(20):
                writer.write(b"d\r\ndata: token\n\n\r\n")
                await writer.drain()
                await asyncio.sleep(0.25 if event == self.answered % 40 else 0.02)
            writer.write(b"0\r\n\r\n")
        elif path == "/leaves":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegin")
            return False
        elif path == "/silent":
            await asyncio.sleep(4)
            return False
        elif path == "/nonsense":
            writer.write(b"HTTP/1.1 OK\r\n\r\n")
            return False
        else:
            status = {"/busy": "429 Too Many Requests", "/broken": "500 Internal Server Error"}
            body = b"x" * 2000
            head = f"HTTP/1.1 {status.get(path, '200 OK')}\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
        await writer.drain()
        return True

    async def load(self, seconds):
        """Clients of every kind, each again and again."""
        requests = [
            ("/gpt/ok", 0.05), ("/gpt/stream", 0.1), ("/local/ok", 0.1), ("/local/stream", 0.3),
            ("/gpt/busy", 0.5), ("/gpt/broken", 0.9), ("/local/leaves", 1.1),
            ("/local/nonsense", 1.3), ("/local/silent", 1.5), ("/down/", 1.2),
            ("/untrusted/", 1.4), ("/none", 0.7), ("/gpt/../..", 1.7),
        ]
        loops = [self.ask(path, pause) for path, pause in requests]
        loops += [self.ask("/gpt/stream", 0.8, leaves=True), self.ask("/gpt/ok", 0.2, tls=True)]
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.gather(*loops), seconds)

    async def ask(self, path, pause, leaves=False, tls=False):
        context, name, port = None, None, self.plain
        if tls:
            name, port = "api.example.com", self.tls
            context = ssl.create_default_context(cafile=os.path.join(self.folder, f"{name}.pem"))
        request = (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                   f"Content-Length: 500\r\n\r\n{'y' * 500}")
        while True:
            # asyncio misses the end of some connections with TLS.
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=context, server_hostname=name)
                writer.write(request.encode())
                await asyncio.wait_for(reader.read(100) if leaves else reader.read(), 5)
                writer.close()
            await asyncio.sleep(pause)
