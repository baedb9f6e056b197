#!/usr/bin/env python3
"""A real Prometheus scrapes a real relay under a small load; then every query of the dashboard
has to have data.

    cargo build --release && tests/prometheus/check.py [--seconds 60] [--picture docs/dashboard.svg]

Needs Linux, Python 3, and `prometheus` with `promtool` (Debian: the package prometheus). Everything
is on loopback, at ports that are free, and in a folder that is removed.

What is checked: `promtool check metrics` has nothing to say about the text format; Prometheus,
which prefers OpenMetrics, can read every scrape; every query of packaging/grafana.json has data.
"""

import argparse
import asyncio
import json
import math
import os
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

from picture import draw
from stage import Stage, free_port

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
DASHBOARD = os.path.join(ROOT, "packaging/grafana.json")
# Seconds between two scrapes.
INTERVAL = 1
# Over so many seconds a rate is computed.
RATE = 10

CONFIGURATION = """global:
  scrape_interval: {interval}s
scrape_configs:
  - job_name: narrows
    static_configs: [{{targets: ["127.0.0.1:{admin}"]}}]
"""


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("--narrows", default=os.path.join(ROOT, "target/release/narrows"))
    arguments.add_argument("--seconds", type=int, default=60)
    arguments.add_argument("--picture", metavar="FILE", help="draw the dashboard, as SVG")
    faults = asyncio.run(check(arguments.parse_args()))
    print("\n".join(faults) or "every query of the dashboard has data")
    raise SystemExit(1 if faults else 0)


async def check(arguments):
    """What is wrong."""
    with tempfile.TemporaryDirectory(prefix="narrows-prometheus-") as folder:
        async with Stage(arguments.narrows, folder) as stage:
            with Prometheus(folder, stage.admin) as prometheus:
                begun = time.time()
                load = asyncio.create_task(stage.load(arguments.seconds))
                await asyncio.sleep(arguments.seconds / 2)
                check_formats(stage)
                await reload(stage)
                await load
                faults = prometheus.faults() + check_status(stage)
                panels, missing = ask_all(prometheus, begun, time.time())
    faults += missing
    if arguments.picture:
        with open(arguments.picture, "w") as file:
            file.write(draw(panels))
    return faults


def check_formats(stage):
    """promtool knows the text format; Prometheus itself reads OpenMetrics."""
    kind, text = stage.get("/metrics")
    assert kind == "text/plain; version=0.0.4; charset=utf-8", kind
    promtool = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert (promtool.returncode, promtool.stdout) == (0, ""), promtool.stdout
    kind, text = stage.get("/metrics", "application/openmetrics-text;version=1.0.0")
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8", kind
    assert text.endswith("# EOF\n"), text[-100:]


async def reload(stage):
    """Once in vain, once with success."""
    for text in ["nonsense = 1\n" + stage.text, stage.text]:
        stage.write(text)
        os.kill(stage.relay.pid, 1)
        await asyncio.sleep(2)


def check_status(stage):
    status = stage.status()
    faults = [] if status["phase"] == "ready" else [f"/status: {status}"]
    names = {it["name"] for it in status["routes"]}
    return faults if "/gpt/" in names else faults + [f"/status has no route: {status}"]


class Prometheus:
    """A server that scrapes one relay."""

    def __init__(self, folder, admin):
        self.folder, self.port = folder, free_port()
        self.file = os.path.join(folder, "prometheus.yml")
        with open(self.file, "w") as file:
            file.write(CONFIGURATION.format(interval=INTERVAL, admin=admin))

    def __enter__(self):
        self.log = open(os.path.join(self.folder, "prometheus.log"), "w")
        command = ["prometheus", f"--config.file={self.file}",
                   f"--web.listen-address=127.0.0.1:{self.port}",
                   f"--storage.tsdb.path={self.folder}/data"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def faults(self):
        """Scrapes that have failed, after the first, which may have come before there was data."""
        down = self.query("count_over_time((up == 0)[10m:1s])")
        return [f"scrapes have failed: {down}"] if down else []

    def query(self, expression, begin=None, end=None):
        """The series of an expression: now, or from `begin` to `end`."""
        path, values = "query", {"query": expression, "time": end or time.time()}
        if begin is not None:
            path = "query_range"
            values = {"query": expression, "start": begin, "end": end, "step": INTERVAL}
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(values)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return json.load(response)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{expression}: {error.read().decode()}") from error


def ask_all(prometheus, begin, end):
    """The panels of the dashboard with the results of their queries, and what has no data."""
    with open(DASHBOARD) as file:
        dashboard = json.load(file)
    panels, missing = [], []
    for panel in dashboard["panels"]:
        results = []
        for target in panel.get("targets", []):
            expression = filled_in(target["expr"], end - begin)
            instant = target.get("instant", False)
            series = prometheus.query(expression, None if instant else begin, end)
            results.append((target, series))
            if not any(has_number(it) for it in series):
                missing.append(f"{panel['title']}: no data for {target['expr']}")
        panels.append((panel, results))
    return panels, missing


def filled_in(expression, seconds):
    """The expression with its variables as Grafana fills them in."""
    for name, value in [("$__rate_interval", f"{RATE}s"), ("$__range", f"{math.ceil(seconds)}s"),
                        ("$job", "narrows"), ("$instance", ".*")]:
        expression = expression.replace(name, value)
    return expression


def has_number(series):
    values = series.get("values") or [series["value"]]
    return any(not math.isnan(float(value)) for _, value in values)


if __name__ == "__main__":
    main()
