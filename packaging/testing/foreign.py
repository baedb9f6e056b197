#!/usr/bin/env python3
"""A request through a program for another architecture, under qemu-user:

    packaging/testing/foreign.py qemu-aarch64-static -L /usr/aarch64-linux-gnu PROGRAM
"""

import subprocess
import sys
import tempfile
import time

import traffic


def main():
    route = f"/gpt/=http://127.0.0.1:{traffic.start_api(port=0)}/"
    command = [*sys.argv[1:], "run", "--listen", "127.0.0.1:0", route]
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stderr=log) as relay:
        try:
            port = wait_for_port(relay, log)
            assert traffic.get("/gpt/", port) == (200, b"ok\n")
        finally:
            relay.terminate()


def wait_for_port(relay, log):
    """The port that it listens on, from the line that says so."""
    end = time.monotonic() + 60
    while True:
        log.seek(0)
        text = log.read().decode()
        if 'addresses="http://127.0.0.1:' in text:
            return int(text.split('addresses="http://127.0.0.1:')[1].split('"')[0])
        assert relay.poll() is None and time.monotonic() < end, text
        time.sleep(0.05)


if __name__ == "__main__":
    main()
