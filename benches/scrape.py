#!/usr/bin/env python3
"""What a scrape of /metrics and a reload take while more and more streams are open.

    cargo build --release && benches/scrape.py [--streams 100 1000 5000 9000] [--times 50]

One worker. Each stream has sent its first event and is silent. A reload changes one of ten routes.
The worker's time is the kernel's count for its thread (schedstat); the whole is the time until the
client has the scrape, or the log says that it is reloaded. A stream takes two of narrows' open files.
Needs Linux and Python 3 alone.
"""

import argparse
import multiprocessing
import os
import resource
import selectors
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request

GENERAL = """workers = 1
admin = "127.0.0.1:{admin}"
[limits]
connections = 50000
connections_per_address = 50000
[[listener]]
address = "127.0.0.1:{port}"
"""
ROUTE = """[[route]]
path = "/{name}/"
upstream = "http://127.0.0.1:{origin}/{prefix}/"
"""
REQUEST = b"GET /0/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
RESPONSE = (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\na\r\ndata: {}\n\n\r\n")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("--narrows", default="target/release/narrows")
    arguments.add_argument("--streams", type=int, nargs="+", default=[100, 1000, 5000, 9000])
    arguments.add_argument("--times", type=int, default=50)
    arguments = arguments.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    origin = multiprocessing.Process(target=serve, args=[listener], daemon=True)
    origin.start()
    origin_port = listener.getsockname()[1]
    listener.close()
    print(f"{'':10}{'a scrape, us':>28}{'a reload, us':>28}")
    print(f"{'streams':>10}" + f"{'of the worker':>14}{'whole':>14}" * 2)
    with tempfile.TemporaryDirectory() as folder:
        relay = Narrows(arguments.narrows, folder, origin_port)
        try:
            streams = []
            for number in arguments.streams:
                streams += [relay.stream() for _ in range(number - len(streams))]
                took = [relay.measure(what, arguments.times) for what in [relay.scrape, relay.reload]]
                print(f"{number:10}" + "".join(f"{it * 1e6:14.0f}" for it in sum(took, [])))
        finally:
            origin.terminate()
            relay.process.terminate()
            relay.process.wait()


def serve(listener):
    """Answers each request with one event, and keeps the stream open."""
    listener.setblocking(False)
    ready = selectors.DefaultSelector()
    ready.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            if key.fileobj is listener:
                ready.register(listener.accept()[0], selectors.EVENT_READ)
            elif key.fileobj.recv(4096):
                key.fileobj.sendall(RESPONSE)
            else:
                ready.unregister(key.fileobj)
                key.fileobj.close()


class Narrows:
    def __init__(self, program, folder, origin):
        self.origin, self.reloads = origin, 0
        self.port, self.admin = free_port(), free_port()
        self.file = os.path.join(folder, "narrows.toml")
        self.configure()
        command = [program, "run", "--config", self.file]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.wait_for(" ready")
        tasks = f"/proc/{self.process.pid}/task"
        self.worker = next(f"{tasks}/{it}" for it in os.listdir(tasks)
                           if read(f"{tasks}/{it}/comm").strip() == "narrows-0")

    def configure(self):
        """The prefix of the last of ten routes changes each time."""
        prefixes = [*range(9), f"changed-{self.reloads}"]
        routes = [ROUTE.format(name=name, prefix=prefix, origin=self.origin)
                  for name, prefix in enumerate(prefixes)]
        with open(self.file, "w") as file:
            file.write(GENERAL.format(admin=self.admin, port=self.port) + "".join(routes))

    def stream(self):
        """A client that has the first event of a stream."""
        client = socket.create_connection(("127.0.0.1", self.port))
        client.sendall(REQUEST)
        seen = b""
        while b"data: {}" not in seen:
            part = client.recv(4096)
            assert part, seen
            seen += part
        return client

    def scrape(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics") as response:
            response.read()

    def reload(self):
        self.reloads += 1
        self.configure()
        self.process.send_signal(signal.SIGHUP)
        self.wait_for(" reloaded ")

    def wait_for(self, word):
        for line in self.process.stderr:
            if word in line:
                return
        raise SystemExit(f"narrows has ended without {word!r}")

    def measure(self, act, times):
        """Seconds of the worker, and of the whole."""
        held, whole = [], []
        act()
        for _ in range(times):
            # The worker has nothing else to do meanwhile.
            before, begun = self.worker_time(), time.perf_counter()
            act()
            whole.append(time.perf_counter() - begun)
            time.sleep(0.02)  # What the worker does behind it counts, too.
            held.append(self.worker_time() - before)
        return [statistics.median(held), statistics.median(whole)]

    def worker_time(self):
        return int(read(f"{self.worker}/schedstat").split()[0]) / 1e9


def read(path):
    with open(path) as file:
        return file.read()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    main()
