#!/usr/bin/env python3
"""Where the instructions of a small exchange go, of the same with the heads of an SDK and its API,
and those of an event of a stream.

    CARGO_PROFILE_RELEASE_STRIP=none CARGO_PROFILE_RELEASE_DEBUG=1 cargo build --release
    benches/instructions.py [--narrows target/release/narrows]

One client asks again and again on one connection, then reads one stream. valgrind's callgrind counts
the instructions outside of the kernel; what a run of 300 takes is subtracted from what a run of 1,300
takes. The counts are the same on every machine of a kind, however busy it is. Needs Linux, Python 3
and valgrind.
"""

import argparse
import collections
import os
import re
import socket
import ssl
import subprocess
import tempfile
import threading
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
CERTIFICATE, KEY = f"{ROOT}/certs/authority.pem", f"{ROOT}/certs/authority.key"
FEW, MANY = 300, 1300
REQUEST = (b"POST /gpt/v1 HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
           b"Authorization: Bearer sk-1234567890\r\nUser-Agent: x/1\r\nAccept: */*\r\n"
           b"Content-Length: 400\r\n\r\n" + b"z" * 400)
RESPONSE = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 512\r\n\r\n"
            + b"x" * 512)
# As OpenAI's SDK for Python asks, with a trace, and as the API answers.
SDK_REQUEST = b"""POST /gpt/v1/chat/completions HTTP/1.1
Host: relay.example.com:8443
Accept-Encoding: gzip, deflate, br, zstd
Connection: keep-alive
Accept: application/json
Content-Type: application/json
User-Agent: OpenAI/Python 1.99.1
X-Stainless-Lang: python
X-Stainless-Package-Version: 1.99.1
X-Stainless-OS: Linux
X-Stainless-Arch: x64
X-Stainless-Runtime: CPython
X-Stainless-Runtime-Version: 3.12.4
Authorization: Bearer sk-proj-%s
X-Stainless-Async: false
OpenAI-Organization: org-AbCdEfGhIjKlMnOpQrStUvWx
OpenAI-Project: proj_AbCdEfGhIjKlMnOpQrStUvWx
x-stainless-retry-count: 0
x-stainless-read-timeout: 600
traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
baggage: %s
Content-Length: 400

""".replace(b"\n", b"\r\n") % (b"A1b2C3d4" * 19, b"v" * 120) + b"z" * 400
SDK_RESPONSE = b"""HTTP/1.1 200 OK
Date: Fri, 27 Nov 2026 10:00:00 GMT
Content-Type: application/json
Content-Length: 512
Connection: keep-alive
access-control-expose-headers: X-Request-ID
openai-organization: user-abcdefghijklmnop
openai-processing-ms: 1234
openai-project: proj_AbCdEfGhIjKlMnOpQrStUvWx
openai-version: 2020-10-01
x-envoy-upstream-service-time: 1250
x-ratelimit-limit-requests: 10000
x-ratelimit-limit-tokens: 200000
x-ratelimit-remaining-requests: 9999
x-ratelimit-remaining-tokens: 199990
x-ratelimit-reset-requests: 8.64s
x-ratelimit-reset-tokens: 3ms
x-request-id: req_0123456789abcdef0123456789abcdef
strict-transport-security: max-age=31536000; includeSubDomains; preload
cf-cache-status: DYNAMIC
set-cookie: __cf_bm=%s; path=/; domain=.api.openai.com; HttpOnly; Secure; SameSite=None
X-Content-Type-Options: nosniff
Server: cloudflare
CF-RAY: 8f0123456789abcd-FRA
alt-svc: h3=":443"; ma=86400

""".replace(b"\n", b"\r\n") % (b"v" * 150) + b"x" * 512
STREAM = (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
          b"Transfer-Encoding: chunked\r\n\r\n")
EVENT = b"a0\r\ndata: " + b"y" * 152 + b"\n\n\r\n"

CONFIGURATION = """workers = 1
[[listener]]
address = "127.0.0.1:{port}"
{server}
[[route]]
path = "/gpt/"
upstream = "{scheme}://localhost:{origin}/"
{client}
"""
# The first that fits. `None`: not counted, because some builds take a random time for entropy.
PARTS = [
    (None, r"^jent_|sha3|keccak|rol64|jitter"),
    ("AWS-LC: encryption", r"aws_lc_0|^_?aes|^_?gcm|^aead|CRYPTO_|EVP_|_aesni"),
    ("rustls", r"rustls|aws_lc_rs"),
    ("copies and allocations", r"memcpy|memmove|memset|memcmp|malloc|free$|_int_|rust_(de|re)?alloc"),
    ("the clock", r"time::Timespec|clock_gettime"),
    ("tokio, and the C library below it", r"tokio|mio::|pthread|epoll|^recv|^send|^writev?$"),
    ("heads and bodies (h1, httparse, memchr)", r"narrows::h1|httparse|memchr"),
    ("decisions and new heads (gateway)", r"narrows::gateway|bytes::"),
    ("the log and the metrics (telemetry)", r"narrows::telemetry|itoa|converts::from_utf8"),
    ("sockets, TLS streams and buffers (net)", r"narrows::net|net::(tls_stream|buffer|tcp)"),
    ("the exchange itself (proxy, upstream)", r"narrows::"),
    ("the rest", r""),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrows", default=f"{ROOT}/target/release/narrows")
    arguments = parser.parse_args()
    kinds = ["exchange", "exchange of an SDK", "event"]
    columns = [(kind, tls) for kind in kinds for tls in [False, True]]
    counted = [difference(arguments.narrows, kind, tls) for kind, tls in columns]
    titles = [kind + (", TLS" if tls else ", plain") for kind, tls in columns]
    print("| | " + " | ".join(titles) + " |\n|---|" + "---|" * len(titles))
    for name, _ in PARTS[1:]:
        print(f"| {name} | " + " | ".join(f"{parts[name]:,.0f}" for parts in counted) + " |")
    print("| together | " + " | ".join(f"{sum(it.values()):,.0f}" for it in counted) + " |")


def difference(program, kind, tls):
    few, many = (parts_of(run(program, kind, tls, count)) for count in [FEW, MANY])
    return {name: (many[name] - few[name]) / (MANY - FEW) for name, _ in PARTS[1:]}


def parts_of(profile):
    """The instructions of each part, in a file of callgrind."""
    names, parts, of_call, function = {}, collections.Counter(), False, ""
    for line in profile.splitlines():
        if line.startswith(("fn=", "cfn=")):
            number, _, name = line.partition("=")[2].partition(" ")
            name = names.setdefault(number, name)
            if line.startswith("fn="):
                function = next(part for part, fits in PARTS if re.search(fits, name))
        elif line.startswith("calls="):
            of_call = True
        elif re.match(r"[-+*\d]", line):
            if not of_call:
                parts[function] += int(line.split()[1])
            of_call = False
    return parts


def run(program, kind, tls, count):
    """What callgrind wrote of a run of so many exchanges, or events."""
    with tempfile.TemporaryDirectory() as folder:
        go = threading.Semaphore(0)
        origin = serve(tls, kind, count, go)
        port = free_port()
        path, profile = f"{folder}/narrows.toml", f"{folder}/profile"
        files = f'certificate = "{CERTIFICATE}"\nkey = "{KEY}"' if tls else ""
        with open(path, "w") as file:
            file.write(CONFIGURATION.format(
                port=port, origin=origin, server=files, scheme="https" if tls else "http",
                client=f'ca = "{CERTIFICATE}"' if tls else ""))
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}"]
        with open(f"{folder}/log", "w") as log:
            process = subprocess.Popen([*command, program, "run", "--config", path], stderr=log)
        try:
            ask(connect(port, process, f"{folder}/log"), tls, kind, count, go)
        finally:
            process.terminate()
            process.wait()
        return open(profile).read()


def ask(client, tls, kind, count, go):
    if tls:
        context = ssl.create_default_context(cafile=CERTIFICATE)
        client = context.wrap_socket(client, server_hostname="localhost")
    if kind != "event":
        for _ in range(count):
            client.sendall(REQUEST if kind == "exchange" else SDK_REQUEST)
            read_until(client, b"x" * 512)
        return
    client.sendall(REQUEST)
    read_until(client, b"\r\n\r\n")
    for _ in range(count):
        go.release()
        read_until(client, b"\n\n\r\n")


def serve(tls, kind, count, go):
    """The port of an origin that answers each request, event by event when `go` says so."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(accepted):
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(CERTIFICATE, KEY)
                accepted = context.wrap_socket(accepted, server_side=True)
            while True:
                read_until(accepted, b"z" * 400)
                if kind != "event":
                    accepted.sendall(RESPONSE if kind == "exchange" else SDK_RESPONSE)
                    continue
                accepted.sendall(STREAM)
                for _ in range(count):
                    go.acquire()
                    accepted.sendall(EVENT)
        except OSError:
            pass  # It is over.

    def accept():
        while True:
            threading.Thread(target=answer, args=[listener.accept()[0]], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def read_until(stream, end):
    seen = b""
    while not seen.endswith(end):
        part = stream.recv(65536)
        if not part:
            raise ConnectionError("the end came too early")
        seen += part


def connect(port, process, log):
    while True:
        if process.poll() is not None:
            raise SystemExit(open(log).read())
        try:
            stream = socket.create_connection(("127.0.0.1", port))
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return stream
        except ConnectionRefusedError:
            time.sleep(0.05)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


if __name__ == "__main__":
    main()
