#!/usr/bin/env python3
"""Tcp mode beside HAProxy and nginx: CPU time per MB of bulk, and memory per idle connection.

    cargo build --release && benches/tcp.py [--narrows target/release/narrows] [--rounds 3]

One worker each, one plain port forwarded to one origin on loopback; what is not installed is left
out. With `--sni`, each connection begins with a ClientHello, and is forwarded by the name in it,
TLS untouched. HAProxy splices (`option splice-request`, `splice-response`), as narrows does; nginx copies.
CPU time is the kernel's count for all threads of the process (schedstat), the origin's and the
client's left out. Memory is the growth of resident pages; buffers of the kernel are the same for
all and not in it. Needs Linux and Python 3 alone.
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

MEGABYTE = 1_000_000
BLOCK = bytes(256 * 1024)

NARROWS = """workers = 1
[[listener]]
address = "127.0.0.1:{port}"
mode = "tcp"
[[forward]]
server_name = "{name}"
upstream = "tcp://127.0.0.1:{origin}"
"""
HAPROXY = """global
    nbthread 1
    maxconn 5000
defaults
    mode tcp
    timeout connect 5s
    timeout client 10m
    timeout server 10m
    option splice-request
    option splice-response
listen bench
    bind 127.0.0.1:{port}
    {rules}
    server origin 127.0.0.1:{origin}
"""
NGINX = """load_module /usr/lib/nginx/modules/ngx_stream_module.so;
worker_processes 1;
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
worker_rlimit_nofile 10000;
events {{ worker_connections 5000; }}
stream {{ {map} server {{ listen 127.0.0.1:{port}; proxy_pass {to}; {preread} }} }}
"""
NAME = "origin.test"
# What differs when the name in a ClientHello decides: without, and with it.
PLAIN = dict(name="*", rules="", map="", to="127.0.0.1:{origin}", preread="")
BY_NAME = dict(
    name=NAME,
    rules="""tcp-request inspect-delay 5s
    tcp-request content accept if { req.ssl_hello_type 1 }
    use-server origin if { req.ssl_sni -i origin.test }""",
    map="map $ssl_preread_server_name $origin {{ origin.test 127.0.0.1:{origin}; }}",
    to="$origin",
    preread="ssl_preread on;",
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrows", default="target/release/narrows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--sni", action="store_true")
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if arguments.sni:
        Opening.bytes = client_hello()
    with tempfile.TemporaryDirectory() as folder:
        ways = [
            ("narrows", NARROWS, [arguments.narrows, "run", "--log-level=error", "--config"]),
            ("haproxy", HAPROXY, ["haproxy", "-db", "-f"]),
            ("nginx", NGINX, ["nginx", "-p", folder, "-c"]),
        ]
        ways = [way for way in ways if shutil.which(way[2][0])]
        print(f"{'':10}{'us/MB down':>12}{'us/MB up':>12}{'us/ping':>10}{'KB/idle':>10}")
        rows = {name: [] for name, _, _ in ways}
        for _ in range(arguments.rounds):
            for name, text, command in ways:
                rows[name].append(measure(name, text, command, folder, arguments))
        for name, measured in rows.items():
            best = [min(column) for column in zip(*measured)]
            print(f"{name:10}{best[0]:12.0f}{best[1]:12.0f}{best[2]:10.1f}{best[3]:10.2f}")


def measure(name, text, command, folder, arguments):
    """Starts one of them, and gives its four numbers."""
    with Origin() as origin:
        port = free_port()
        path = os.path.join(folder, name)
        with open(path, "w") as file:
            places = dict(port=port, origin=origin.port, folder=folder)
            parts = BY_NAME if arguments.sni else PLAIN
            parts = {key: part.replace("{origin}", str(origin.port)) for key, part in parts.items()}
            parts["map"] = parts["map"].replace("{{", "{").replace("}}", "}")
            file.write(text.format(**places, **parts))
        log = open(path + ".log", "w")
        process = subprocess.Popen([*command, path], stderr=log, stdout=log)
        try:
            wait_for(port, path + ".log")
            down = bulk(process.pid, port, b"D", arguments.megabytes)
            up = bulk(process.pid, port, b"U", arguments.megabytes)
            ping = pings(process.pid, port, 20_000)
            idle = idle_memory(process.pid, port, arguments.connections)
        finally:
            process.kill()
            process.wait()
    return down, up, ping, idle


class Origin:
    """Does what the first byte says: D sends until closed, U discards, P answers each byte."""

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


def serve(connection):
    try:
        if Opening.bytes:
            connection.recv(len(Opening.bytes), socket.MSG_WAITALL)
        what = connection.recv(1)
        while what == b"D":
            connection.sendall(BLOCK)
        if what == b"U":
            discard(connection, None)
        while what:
            connection.sendall(what)
            what = connection.recv(1)
    except OSError:
        pass
    finally:
        connection.close()


def discard(connection, length):
    """Reads `length` bytes, or all; the kernel throws them away (tcp(7), MSG_TRUNC)."""
    got = 0
    place = bytearray(1024 * 1024)
    while length is None or got < length:
        read = connection.recv_into(place, len(place), socket.MSG_TRUNC)
        if read == 0:
            break
        got += read
    return got


def bulk(pid, port, what, megabytes):
    """CPU microseconds per MB in one direction."""
    with connect(port) as client:
        client.sendall(what)
        before, total = cpu_time(pid), megabytes * MEGABYTE
        if what == b"D":
            moved = discard(client, total)
        else:
            moved = 0
            while moved < total:
                client.sendall(BLOCK)
                moved += len(BLOCK)
        used = cpu_time(pid) - before
    return used / 1000 / (moved / MEGABYTE)


def pings(pid, port, count):
    """CPU microseconds for one byte there and back."""
    with connect(port) as client:
        before = cpu_time(pid)
        for _ in range(count):
            client.sendall(b"P")
            client.recv(1)
        return (cpu_time(pid) - before) / 1000 / count


def idle_memory(pid, port, count):
    """KB of resident memory for a connection that has carried a byte each way and is silent."""
    before = resident(pid)
    clients = []
    for _ in range(count):
        client = connect(port)
        client.sendall(b"P")
        client.recv(1)
        clients.append(client)
    time.sleep(1)
    grown = resident(pid) - before
    for client in clients:
        client.close()
    return grown / 1024 / count


def connect(port):
    client = socket.create_connection(("127.0.0.1", port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sendall(Opening.bytes)
    return client


class Opening:
    """What every connection begins with."""

    bytes = b""


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.wrap_bio(incoming, outgoing, server_hostname=NAME).do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()


def wait_for(port, log):
    for _ in range(200):
        try:
            return connect(port).close()
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"nobody listens on {port}: {open(log).read()}")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def cpu_time(pid):
    """Nanoseconds on a CPU of all threads."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            total += int(file.read().split()[0])
    return total


def resident(pid):
    """Resident bytes that are no file's."""
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise SystemExit("no RssAnon in /proc")


main()
