#!/usr/bin/env python3
"""Writes an OCI image from scratch: the program and its licences, no shell, user 65532.

    packaging/image.py --version V --revision COMMIT --epoch N --output FILE \\
        --file /usr/share/doc/narrows/THIRD-PARTY.txt=FILE... amd64=BINARY [arm64=BINARY]

The output is an archive of an OCI layout, with one image for each architecture; the same input
gives the same bytes. `skopeo copy oci-archive:FILE ...`, `podman load` and `docker load` read it.
"""

import argparse
import datetime
import gzip
import hashlib
import io
import json
import tarfile

USER = 65532
PROGRAM = "/usr/bin/narrows"
STATE = "/var/lib/narrows"
ACCOUNTS = {
    "/etc/passwd": f"narrows:x:{USER}:{USER}::{STATE}:/nonexistent\n",
    "/etc/group": f"narrows:x:{USER}:\n",
}
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("--version", required=True)
    arguments.add_argument("--revision", required=True)
    arguments.add_argument("--epoch", type=int, required=True)
    arguments.add_argument("--output", required=True)
    arguments.add_argument("--file", action="append", default=[], metavar="PATH=FILE")
    arguments.add_argument("binary", nargs="+", metavar="ARCHITECTURE=FILE")
    asked = arguments.parse_args()
    files = {path: read(source) for path, source in map(pair, asked.file)}
    layout = Layout(asked.epoch)
    images = [
        image(layout, asked, architecture, read(source), files)
        for architecture, source in map(pair, asked.binary)
    ]
    layout.write(asked.output, asked.version, layout.add(INDEX, index_of(images)))


def pair(text):
    return text.split("=", 1)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def image(layout, asked, architecture, binary, files):
    """Adds the image for one architecture, and returns its descriptor."""
    tar = layer(asked.epoch, binary, files)
    # Without a name or a time of its own.
    compressed = gzip.compress(tar, 9, mtime=0)
    at = datetime.datetime.fromtimestamp(asked.epoch, datetime.timezone.utc)
    labels = {
        "org.opencontainers.image.title": "narrows",
        "org.opencontainers.image.description": "A small TLS-aware relay to HTTPS APIs",
        "org.opencontainers.image.version": asked.version,
        "org.opencontainers.image.revision": asked.revision,
        "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
    }
    config = {
        "created": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": f"{USER}:{USER}",
            "Env": [f"STATE_DIRECTORY={STATE}"],
            "Entrypoint": [PROGRAM],
            "Cmd": ["run", "--config", "/etc/narrows/narrows.toml"],
            "ExposedPorts": {"80/tcp": {}, "443/tcp": {}},
            "Volumes": {STATE: {}},
            "WorkingDir": "/",
            "StopSignal": "SIGTERM",
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [digest(tar)]},
        "history": [{"created": at.strftime("%Y-%m-%dT%H:%M:%SZ"), "created_by": "packaging/image.py"}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": layout.add(CONFIG, config),
        "layers": [layout.add(LAYER, compressed)],
        "annotations": labels,
    }
    platform = {"architecture": architecture, "os": "linux"}
    return {**layout.add(MANIFEST, manifest), "platform": platform}


def layer(epoch, binary, files):
    """The root of the image as a tar archive."""
    accounts = {path: text.encode() for path, text in ACCOUNTS.items()}
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        contents = {**accounts, **files, PROGRAM: binary}
        folders = {STATE, "/etc/narrows", *map(parent, contents)}
        for folder in sorted({above for it in folders for above in with_parents(it)}):
            owner, mode = (USER, 0o700) if folder == STATE else (0, 0o755)
            tar.addfile(entry(folder, epoch, owner, mode, tarfile.DIRTYPE))
        for path, content in sorted(contents.items()):
            found = entry(path, epoch, 0, 0o755 if path == PROGRAM else 0o644, tarfile.REGTYPE)
            found.size = len(content)
            tar.addfile(found, io.BytesIO(content))
    return output.getvalue()


def parent(path):
    return path.rpartition("/")[0]


def with_parents(folder):
    while folder:
        yield folder
        folder = parent(folder)


def entry(path, epoch, owner, mode, kind):
    found = tarfile.TarInfo(path.removeprefix("/"))
    found.type, found.mode, found.mtime = kind, mode, epoch
    found.uid = found.gid = owner
    return found


def index_of(images):
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": images}


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Layout:
    """The blobs of an OCI layout, by their digests."""

    def __init__(self, epoch):
        self.epoch = epoch
        self.blobs = {}

    def add(self, media_type, content):
        """Adds a blob, or an object as JSON, and returns its descriptor."""
        if not isinstance(content, bytes):
            content = json.dumps(content, separators=(",", ":")).encode()
        self.blobs[digest(content)] = content
        return {"mediaType": media_type, "digest": digest(content), "size": len(content)}

    def write(self, output, version, images):
        """One tag leads to the images of all architectures."""
        name = {"org.opencontainers.image.ref.name": version}
        files = {
            "oci-layout": json.dumps({"imageLayoutVersion": "1.0.0"}).encode(),
            "index.json": json.dumps(index_of([{**images, "annotations": name}])).encode(),
        }
        for blob, content in sorted(self.blobs.items()):
            files["blobs/sha256/" + blob.removeprefix("sha256:")] = content
        with tarfile.open(output, "w", format=tarfile.USTAR_FORMAT) as tar:
            for path, content in files.items():
                found = entry(path, self.epoch, 0, 0o644, tarfile.REGTYPE)
                found.size = len(content)
                tar.addfile(found, io.BytesIO(content))


if __name__ == "__main__":
    main()
