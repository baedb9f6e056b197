#!/usr/bin/env python3
"""Memory of a held stream, beside nginx, HAProxy and Caddy: TLS with the client and with the API.

    cargo build --release && benches/memory.py [--narrows target/release/narrows] [--streams 500]

So many clients read the first event of a stream that does not end; then the proportional set size
(PSS) of all processes of the relay is compared with what it was before. One worker each, on loopback;
what is not installed is left out. Buffers of the kernel are the same for all and not in it. Needs
Linux, Python 3 and openssl.
"""

import argparse
import os
import resource
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
CERTIFICATE, KEY = f"{ROOT}/certs/authority.pem", f"{ROOT}/certs/authority.key"
REQUEST = b"GET /gpt/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
EVENT = b"data: {}\n\n"
RESPONSE = (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(EVENT), EVENT))

NARROWS = """workers = 1
limits = {{ connections_per_address = 10000 }}
[[listener]]
address = "127.0.0.1:{port}"
certificate = "{certificate}"
key = "{key}"
[[route]]
path = "/gpt/"
upstream = "https://localhost:{origin}/"
ca = "{certificate}"
warm = 0
"""
NGINX = """daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid {folder}/pid;
error_log stderr;
events {{ worker_connections 8000; }}
http {{
    access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};
    fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate}; ssl_certificate_key {key};
        location /gpt/ {{
            proxy_pass https://localhost:{origin}/; proxy_http_version 1.1; proxy_buffering off;
            proxy_ssl_trusted_certificate {certificate}; proxy_ssl_verify on;
            proxy_ssl_server_name on;
        }}
    }}
}}
"""
HAPROXY = """global
    nbthread 1
    maxconn 8000
defaults
    mode http
    timeout connect 5s
    timeout client 10m
    timeout server 10m
listen relay
    bind 127.0.0.1:{port} ssl crt {folder}/both.pem
    http-request replace-path /gpt/(.*) /\\1
    server origin localhost:{origin} ssl verify required ca-file {certificate} sni str(localhost)
"""
CADDY = """{{
    admin off
    auto_https off
}}
https://localhost:{port} {{
    bind 127.0.0.1
    tls {certificate} {key}
    handle_path /gpt/* {{
        reverse_proxy https://localhost:{origin} {{
            transport http {{
                tls_trusted_ca_certs {certificate}
                versions 1.1
            }}
        }}
    }}
}}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrows", default=f"{ROOT}/target/release/narrows")
    parser.add_argument("--streams", type=int, default=500)
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/both.pem", "w") as both:
            both.write(open(CERTIFICATE).read() + open(KEY).read())
        relays = [
            ("narrows", NARROWS, [arguments.narrows, "run", "--log-level=error", "--config"]),
            ("nginx", NGINX, ["nginx", "-p", folder, "-c"]),
            ("haproxy", HAPROXY, ["haproxy", "-db", "-f"]),
            ("caddy", CADDY, ["caddy", "run", "--adapter", "caddyfile", "--config"]),
        ]
        print(f"{'':10}{'MB idle':>10}{'KB/stream':>12}{'MB with ' + str(arguments.streams):>14}")
        for name, text, command in relays:
            if shutil.which(command[0]):
                idle, busy = measure(name, text, command, folder, arguments.streams)
                each = (busy - idle) / arguments.streams
                print(f"{name:10}{idle / 1024:10.1f}{each:12.1f}{busy / 1024:14.1f}")


def measure(name, text, command, folder, streams):
    """Kilobytes before, and with the streams."""
    with Origin() as origin:
        port = free_port()
        path = os.path.join(folder, name)
        with open(path, "w") as file:
            file.write(text.format(port=port, origin=origin.port, folder=folder,
                                   certificate=os.path.abspath(CERTIFICATE),
                                   key=os.path.abspath(KEY)))
        environment = {**os.environ, "HOME": folder, "GOMAXPROCS": "1"}
        with open(path + ".log", "w") as log:
            process = subprocess.Popen([*command, path], stdout=log, stderr=log, env=environment)
        held = []
        try:
            held += [open_stream(port, path + ".log") for _ in range(5)]
            time.sleep(1)
            idle = memory(process.pid)
            held += [open_stream(port, path + ".log") for _ in range(streams)]
            time.sleep(1)
            return idle, memory(process.pid)
        finally:
            for stream in held:
                stream.close()
            process.terminate()
            process.wait()


class Origin:
    """Answers each request with one event, and keeps the stream open."""

    def __enter__(self):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(CERTIFICATE, KEY)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self.listener.getsockname()[1]
        self.held = []
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        try:
            while True:
                accepted = self.listener.accept()[0]
                threading.Thread(target=self.serve, args=[accepted], daemon=True).start()
        except OSError:
            pass  # It is over.

    def serve(self, accepted):
        try:
            stream = self.context.wrap_socket(accepted, server_side=True)
            self.held.append(stream)
            head = b""
            while part := stream.recv(4096):
                head += part
                if head.endswith(b"\r\n\r\n"):
                    stream.sendall(RESPONSE)
        except OSError:
            pass  # A check whether the port is open, or the end.


def open_stream(port, log):
    """A client whose first event has come."""
    context = ssl.create_default_context(cafile=CERTIFICATE)
    for _ in range(200):
        try:
            plain = socket.create_connection(("127.0.0.1", port))
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    else:
        raise SystemExit(open(log).read())
    stream = context.wrap_socket(plain, server_hostname="localhost")
    stream.sendall(REQUEST)
    seen = b""
    while EVENT not in seen:
        part = stream.recv(4096)
        if not part:
            raise SystemExit(f"no stream: {seen} {open(log).read()}")
        seen += part
    return stream


def memory(pid):
    """Kilobytes of a process and its children."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        own = next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return own + sum(memory(int(child)) for child in file.read().split())


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


if __name__ == "__main__":
    main()
