"""Runs the OCI image as a container runtime would: its layers as the root, its user, its command."""

import glob
import hashlib
import io
import json
import os
import subprocess
import tarfile
import time

import traffic

PORT = 8090


def image():
    """A request through the image's program, to an upstream with a name."""
    found = glob.glob("/packages/*-oci.tar")
    if not found:
        print("  there is no image, because there is no static build")
        return
    config, layers = read(found[0], "amd64")
    root = "/tmp/image"
    for layer in layers:
        tarfile.open(fileobj=io.BytesIO(layer)).extractall(root)
    assert not os.path.exists(f"{root}/bin/sh") and not os.path.exists(f"{root}/lib")
    state = os.stat(f"{root}/var/lib/narrows")
    assert (state.st_uid, state.st_mode & 0o777) == (65532, 0o700)
    # What a runtime adds.
    with open(f"{root}/etc/hosts", "w") as hosts:
        hosts.write("127.0.0.1 api.test\n")
    arguments = ["run", "--listen", f"127.0.0.1:{PORT}", f"/gpt/=http://api.test:{traffic.ORIGIN}/"]
    command = ["chroot", f"--userspec={config['User']}", root, *config["Entrypoint"], *arguments]
    environment = dict(it.split("=", 1) for it in config["Env"])
    environment["PATH"] = os.environ["PATH"]
    with subprocess.Popen(command, env=environment) as program:
        try:
            end = time.monotonic() + 30
            while traffic.status("/gpt/", PORT) != 200:
                assert program.poll() is None and time.monotonic() < end
                time.sleep(0.05)
            assert os.stat(f"/proc/{program.pid}").st_uid == 65532
        finally:
            program.terminate()


def read(path, architecture):
    """The configuration and the layers for an architecture; every digest is checked."""
    archive = tarfile.open(path)

    def blob(descriptor):
        algorithm, digest = descriptor["digest"].split(":")
        content = archive.extractfile(f"blobs/{algorithm}/{digest}").read()
        assert hashlib.sha256(content).hexdigest() == digest
        assert len(content) == descriptor["size"]
        return content

    (tag,) = json.load(archive.extractfile("index.json"))["manifests"]
    images = json.loads(blob(tag))["manifests"]
    (chosen,) = [it for it in images if it["platform"]["architecture"] == architecture]
    manifest = json.loads(blob(chosen))
    return json.loads(blob(manifest["config"]))["config"], list(map(blob, manifest["layers"]))
