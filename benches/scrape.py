#!/usr/bin/env python3
"""What a scrape of /metrics takes from a worker that has many connections.

    cargo build --release && benches/scrape.py [--connections 10000] [--scrapes 50]

One worker, and clients that have asked once and are idle. Their number needs twice as many open
files. The worker's time is the kernel's count for its thread (schedstat); the time of a whole
scrape is the client's, with the main thread's work. Needs Linux and Python 3 alone.
"""

import argparse
import os
import re
import resource
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request

CONFIGURATION = """workers = 1
admin = "127.0.0.1:{admin}"
[[listener]]
address = "127.0.0.1:{port}"
[[route]]
path = "/gpt/"
upstream = "http://127.0.0.1:9/"
[limits]
connections = 50000
[timeouts]
keep_alive = "1h"
"""


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("--narrows", default="target/release/narrows")
    arguments.add_argument("--connections", type=int, default=10_000)
    arguments.add_argument("--scrapes", type=int, default=50)
    arguments = arguments.parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    with tempfile.TemporaryDirectory() as folder:
        port, admin = free_port(), free_port()
        file = os.path.join(folder, "narrows.toml")
        with open(file, "w") as text:
            text.write(CONFIGURATION.format(admin=admin, port=port))
        relay = subprocess.Popen([arguments.narrows, "run", "--config", file, "--log-level=error"])
        try:
            measure(arguments, relay.pid, port, f"http://127.0.0.1:{admin}/metrics")
        finally:
            relay.terminate()
            relay.wait()


def measure(arguments, pid, port, url):
    clients = [ask(port) for _ in range(arguments.connections)]
    worker = next(it for it in os.listdir(f"/proc/{pid}/task") if name(pid, it) == "narrows-0")
    for _ in range(5):
        size = len(scrape(url))
    shown = re.search(r"narrows_connections\S* (\d+)", scrape(url).decode())
    print(f"{len(clients)} connections, {shown and shown[1]} of them counted; {size} bytes a scrape")
    held, whole = [], []
    for _ in range(arguments.scrapes):
        # The worker has nothing else to do meanwhile.
        before, begun = time_of(pid, worker), time.perf_counter()
        scrape(url)
        whole.append(time.perf_counter() - begun)
        held.append(time_of(pid, worker) - before)
        time.sleep(0.05)
    for what, times in [("worker", held), ("whole scrape", whole)]:
        times.sort()
        print(f"{what}: median {statistics.median(times) * 1e3:.2f} ms, "
              f"greatest {times[-1] * 1e3:.2f} ms")


def ask(port):
    """A client that has asked once."""
    for attempt in range(100):
        try:
            client = socket.create_connection(("127.0.0.1", port))
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    client.sendall(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.recv(1000).startswith(b"HTTP/1.1 404")
    return client


def scrape(url):
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read()


def name(pid, thread):
    with open(f"/proc/{pid}/task/{thread}/comm") as file:
        return file.read().strip()


def time_of(pid, thread):
    """Seconds that the thread has run."""
    with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
        return int(file.read().split()[0]) / 1e9


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    main()
