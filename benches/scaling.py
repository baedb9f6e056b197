#!/usr/bin/env python3
"""What clients lose of three narrows behind one HAProxy, while one of them is drained, upgraded,
killed and started again: docs/scaling.md has the result.

    cargo build --release && benches/scaling.py [--narrows target/release/narrows] [--times 5]

HAProxy balances connections (mode tcp), announces clients by the PROXY protocol, and asks /readyz of
each narrows; TLS ends in narrows. The load, over TLS: new connections with one request each,
connections that are kept, and streams, one after the other. A new connection that fails is counted by
how far it came. Everything is on loopback at ports that are free. Needs Linux, Python 3 and HAProxy.
"""

import argparse
import asyncio
import collections
import json
import os
import random
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import urllib.request

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
CERTIFICATE = os.path.abspath(f"{ROOT}/certs/authority.pem")
KEY = os.path.abspath(f"{ROOT}/certs/authority.key")
NODES = 3
# Connections that are kept, streams at one time.
KEPT, STREAMS = 12, 30
# How far a new connection came that failed.
NO_TLS, HANDSHAKE, REQUEST = "no byte of TLS answered", "in the handshake", "after the handshake"
# The offset of tcpi_bytes_received in the structure of TCP_INFO (linux/tcp.h).
BYTES_RECEIVED = 128

NARROWS = """workers = 1
admin = "127.0.0.1:{admin}"
[[listener]]
address = "127.0.0.1:{port}"
certificate = "{certificate}"
key = "{key}"
proxy_protocol = ["127.0.0.1"]
[[route]]
path = "/gpt/"
upstream = "http://127.0.0.1:{origin}/"
[timeouts]
stop_delay = "3s"
stop = "30s"
"""
HAPROXY = """global
    nbthread 1
    stats socket {folder}/stats
defaults
    mode tcp
    timeout connect 2s
    timeout client 10m
    timeout server 10m
    retries 3
    option redispatch 1
    option srvtcpka
    srvtcpka-idle 10s
    srvtcpka-intvl 5s
    srvtcpka-cnt 3
    balance leastconn
listen narrows
    bind 127.0.0.1:{port}
    option httpchk GET /readyz
    default-server send-proxy-v2 inter 500ms fall 2 rise 1
"""
SERVER = "    server node{number} 127.0.0.1:{port} check port {admin}\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--narrows", default=f"{ROOT}/target/release/narrows")
    parser.add_argument("--seconds", type=float, default=12, help="between two of them")
    parser.add_argument("--times", type=int, default=1, help="of each")
    parser.add_argument("--only", help="a part of the name of what happens")
    parser.add_argument("--new", type=int, default=40, help="new connections in a second")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(arguments, folder))


async def measure(arguments, folder):
    origin = await asyncio.start_server(serve, "127.0.0.1", 0)
    nodes = [Node(arguments.narrows, folder, number, port_of(origin)) for number in range(NODES)]
    for node in nodes:
        await node.start()
    balancer = Balancer(folder, nodes)
    await balancer.start()
    load = Load(balancer.port, arguments.new)
    try:
        await load.warm_up()
        print("| what happens to one of three | exchanges | led to another node | new connections "
              f"that failed: {NO_TLS} | {HANDSHAKE} | {REQUEST} | streams | cut | "
              "kept connections lost |\n|---|---|---|---|---|---|---|---|---|")
        # Each time another one, so that it has its share of the connections that are kept.
        for name, happens, node in [("nothing", nothing, nodes[0]),
                                    ("drained, and started again", drain, nodes[0]),
                                    ("upgraded (SIGUSR2)", upgrade, nodes[1]),
                                    ("killed (SIGKILL), and started again", kill, nodes[2])]:
            if arguments.only and arguments.only not in name:
                continue
            before, redispatched = load.counts.copy(), balancer.redispatched()
            for _ in range(arguments.times):
                await asyncio.gather(happens(node), asyncio.sleep(arguments.seconds))
            change = load.counts - before
            redispatched = balancer.redispatched() - redispatched
            failed = " | ".join(str(change[it]) for it in (NO_TLS, HANDSHAKE, REQUEST))
            print(f"| {name} | {change['exchanges']:,} | {redispatched} | {failed} | "
                  f"{change['streams']:,} | {change['cut']} | {change['lost']} |", flush=True)
        if load.counts["wrong"]:
            raise SystemExit(f"{load.counts['wrong']} answers were wrong")
    finally:
        load.stop()
        for process in [balancer, *nodes]:
            process.end()


async def nothing(_):
    pass


async def drain(node):
    """As for a reboot: SIGTERM, the end, and a start."""
    await node.signal(signal.SIGTERM)
    await node.start()


async def upgrade(node):
    """The new process takes the place of the old one, which ends when its last stream has."""
    await node.signal(signal.SIGUSR2)


async def kill(node):
    await node.signal(signal.SIGKILL)
    await asyncio.sleep(2)
    await node.start()


class Node:
    """One narrows."""

    def __init__(self, narrows, folder, number, origin):
        self.port, self.admin = free_port(), free_port()
        self.file, self.narrows = f"{folder}/node{number}.toml", narrows
        self.log = open(f"{folder}/node{number}.log", "w")
        with open(self.file, "w") as file:
            file.write(NARROWS.format(port=self.port, admin=self.admin, origin=origin,
                                      certificate=CERTIFICATE, key=KEY))

    async def start(self):
        command = [self.narrows, "run", "--config", self.file, "--log-level", "warn"]
        self.process = subprocess.Popen(command, stderr=self.log)
        while await asyncio.to_thread(self.pid) is None:
            await asyncio.sleep(0.05)

    async def signal(self, number):
        """Sends it to the process that serves, and waits for the end of that one."""
        pid = await asyncio.to_thread(self.pid)
        os.kill(pid, number)
        while is_running(pid):
            self.process.poll()
            await asyncio.sleep(0.05)

    def pid(self):
        """Of the process that serves; a hand-over changes it. None while there is none."""
        try:
            url = f"http://127.0.0.1:{self.admin}/status"
            with urllib.request.urlopen(url, timeout=5) as response:
                return json.load(response)["pid"]
        except OSError:
            return None

    def end(self):
        pid = self.pid()
        if pid:
            os.kill(pid, signal.SIGKILL)


def is_running(pid):
    """Neither gone nor a process whose end nobody has asked for."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Balancer:
    """HAProxy."""

    def __init__(self, folder, nodes):
        self.port, self.stats = free_port(), f"{folder}/stats"
        self.file = f"{folder}/haproxy.cfg"
        with open(self.file, "w") as file:
            file.write(HAPROXY.format(port=self.port, folder=folder))
            for number, node in enumerate(nodes):
                file.write(SERVER.format(number=number, port=node.port, admin=node.admin))
        self.log = open(f"{folder}/haproxy.log", "w")

    async def start(self):
        self.process = subprocess.Popen(["haproxy", "-db", "-f", self.file], stdout=self.log,
                                        stderr=self.log)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)

    def redispatched(self):
        """Connections that a node refused, so that HAProxy opened them at another."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.stats)
            connection.sendall(b"show stat\n")
            lines = connection.makefile().read().removeprefix("# ").strip().splitlines()
        rows = [dict(zip(lines[0].split(","), line.split(","))) for line in lines[1:]]
        return sum(int(row["wredis"] or 0) for row in rows if row["svname"] == "BACKEND")

    def end(self):
        self.process.kill()
        self.process.wait()


class Load:
    """Clients; `counts` says what has become of them."""

    def __init__(self, port, new):
        self.port, self.new, self.counts, self.tasks = port, new, collections.Counter(), []
        self.trust = ssl.create_default_context(cafile=CERTIFICATE)

    async def warm_up(self):
        self.tasks = [asyncio.create_task(self.keep_asking_anew())]
        self.tasks += [asyncio.create_task(self.keep_connection()) for _ in range(KEPT)]
        self.tasks += [asyncio.create_task(self.keep_streaming()) for _ in range(STREAMS)]
        await asyncio.sleep(3)

    def stop(self):
        for task in self.tasks:
            task.cancel()

    async def keep_asking_anew(self):
        running = set()
        while True:
            task = asyncio.create_task(self.ask_anew())
            running.add(task)
            task.add_done_callback(running.discard)
            await asyncio.sleep(random.expovariate(self.new))

    async def ask_anew(self):
        connection = socket.socket()
        connection.setblocking(False)
        # Of the same connection, when asyncio has closed its own after an error.
        with connection.dup() as observed:
            stage = NO_TLS
            try:
                await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
                reader, writer = await self.secure(sock=connection)
                stage = REQUEST
                await self.ask(reader, writer)
                writer.transport.abort()
            except (OSError, asyncio.IncompleteReadError):
                if stage == NO_TLS and bytes_received(observed) > 0:
                    stage = HANDSHAKE
                self.counts[stage] += 1

    async def keep_connection(self):
        """Asks five times a second, and opens another connection if the response says so."""
        connection = None
        while True:
            try:
                connection = connection or await self.open()
                if await self.ask(*connection):
                    connection[1].transport.abort()
                    connection = None
            except (OSError, asyncio.IncompleteReadError):
                self.counts["lost"] += 1
                connection = None
            await asyncio.sleep(0.2)

    async def ask(self, reader, writer):
        """One exchange. Whether the response ends the connection."""
        writer.write(b"GET /gpt/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(2)
        self.counts["exchanges" if b" 200 " in head and body == b"{}" else "wrong"] += 1
        return b"connection: close" in head.lower()

    async def keep_streaming(self):
        while True:
            try:
                reader, writer = await self.open()
                writer.write(b"GET /gpt/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await reader.readuntil(b"\r\n0\r\n\r\n")
                self.counts["streams"] += 1
                writer.transport.abort()
            except (OSError, asyncio.IncompleteReadError):
                self.counts["cut"] += 1
                await asyncio.sleep(0.2)

    async def open(self):
        return await self.secure(host="127.0.0.1", port=self.port)

    async def secure(self, **where):
        return await asyncio.open_connection(**where, ssl=self.trust, server_hostname="localhost",
                                             limit=1 << 20)


async def serve(reader, writer):
    """The origin: a small answer, or a stream of 1 to 4 s with an event every 0.2 s."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"/stream" not in head:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                continue
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                         b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(random.randint(5, 20)):
                writer.write(b"a\r\ndata: {}\n\n\r\n")
                await writer.drain()
                await asyncio.sleep(0.2)
            writer.write(b"0\r\n\r\n")
    except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        writer.close()


def bytes_received(connection):
    size = BYTES_RECEIVED + struct.calcsize("=Q")
    information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
    return struct.unpack_from("=Q", information, BYTES_RECEIVED)[0]


def port_of(server):
    return server.sockets[0].getsockname()[1]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


if __name__ == "__main__":
    main()
