#!/usr/bin/env python3
"""Checks packaging/kubernetes without a cluster: packaging/testing/kubernetes.py [NARROWS]

The configurations are valid; probes, ports, labels and times fit them and each other; image and user
are those of the release. With kubectl each variant is also put together by kustomize, and with the
module kubernetes-validate (PyPI) compared with the schemas of Kubernetes. Needs python3-yaml.
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib

import yaml

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
FOLDER = f"{ROOT}/packaging/kubernetes"
LABELS = {"app.kubernetes.io/name": "narrows"}


def main():
    narrows = sys.argv[1] if len(sys.argv) > 1 else "narrows"
    base = read("base")
    check_base(base)
    for folder in sorted(glob.glob(f"{FOLDER}/*")):
        variant = os.path.basename(folder)
        check_configuration(narrows, variant, {**base, **read(variant)})
        put_together(folder)
        print(f"packaging/kubernetes/{variant}: ok")


def read(variant):
    """The objects of a variant, by kind and file; each file that kustomize is told is there."""
    found = {}
    for file in glob.glob(f"{FOLDER}/{variant}/*.yaml"):
        with open(file) as text:
            name = os.path.splitext(os.path.basename(file))[0]
            found[name] = list(yaml.safe_load_all(text))
    for file in found["kustomization"][0]["resources"]:
        assert os.path.exists(f"{FOLDER}/{variant}/{file}"), file
    return found


def check_base(base):
    """What the objects say of each other."""
    deployment, service = base["deployment"][0], base["service"][0]
    disruption = base["disruption"][0]
    pod = deployment["spec"]["template"]
    assert pod["metadata"]["labels"] == LABELS
    assert deployment["spec"]["selector"]["matchLabels"] == LABELS
    assert disruption["spec"]["selector"]["matchLabels"] == LABELS
    assert service["spec"]["selector"] == LABELS
    container = pod["spec"]["containers"][0]
    ports = {it["name"]: it["containerPort"] for it in container["ports"]}
    for probe, path in [("startupProbe", "/readyz"), ("readinessProbe", "/readyz"),
                        ("livenessProbe", "/livez")]:
        assert container[probe]["httpGet"] == {"path": path, "port": "admin"}, probe
    assert service["spec"]["ports"][0]["targetPort"] in ports
    user = re.search(r"^USER = (\d+)$", open(f"{ROOT}/packaging/image.py").read(), re.M).group(1)
    assert pod["spec"]["securityContext"]["runAsUser"] == int(user)
    version = tomllib.load(open(f"{ROOT}/Cargo.toml", "rb"))["package"]["version"]
    assert base["kustomization"][0]["images"] == [{"name": "narrows", "newTag": version}]


def check_configuration(narrows, variant, objects):
    """What narrows is told, and what its pod is told."""
    file = f"{FOLDER}/{variant}/narrows.toml"
    file = file if os.path.exists(file) else f"{FOLDER}/base/narrows.toml"
    text = open(file).read()
    values = tomllib.loads(text)
    spec = objects["deployment"][0]["spec"]["template"]["spec"]
    ports = {it["name"]: it["containerPort"] for it in spec["containers"][0]["ports"]}
    target = objects["service"][0]["spec"]["ports"][-1]["targetPort"]
    assert values["listener"][0]["address"] == f":{ports[target]}"
    assert values["admin"].endswith(":9145")
    times = values["timeouts"]
    assert spec["terminationGracePeriodSeconds"] >= \
        seconds(times["stop_delay"]) + seconds(times["stop"]) + 30 + 5
    with tempfile.TemporaryDirectory() as folder:
        for name, pem in [("tls.crt", "server.pem"), ("tls.key", "server.key")]:
            shutil.copy(f"{ROOT}/certs/{pem}", f"{folder}/{name}")
        with open(f"{folder}/narrows.toml", "w") as copy:
            copy.write(text.replace("/etc/narrows-tls", folder))
        subprocess.run([narrows, "check", f"{folder}/narrows.toml"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def seconds(text):
    return int(text[:-1]) * {"s": 1, "m": 60}[text[-1]]


def put_together(folder):
    """By kustomize, and against the schemas."""
    kubectl = os.environ.get("KUBECTL") or shutil.which("kubectl")
    if not kubectl:
        print("skipped: kustomize and schemas, because there is no kubectl")
        return
    text = subprocess.run([kubectl, "kustomize", folder], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    try:
        import kubernetes_validate
    except ImportError:
        print("skipped: schemas, because there is no kubernetes-validate (pip)")
        return
    for value in yaml.safe_load_all(text):
        # A type of the Prometheus Operator, of which Kubernetes has no schema.
        if value["kind"] != "ServiceMonitor":
            kubernetes_validate.validate(value, kubernetes_validate.latest_version(), strict=True)


main()
