#!/usr/bin/env python3
"""What the program is made of: an SBOM (CycloneDX 1.6) and the licences of all crates in it.

    packaging/bill.py --version 0.1.0 --epoch 1700000000 --sbom FILE --licences FILE

The crates are those that are linked into the program: none that only a build or a test needs, and
no procedural macros. Needs their sources, which every build has fetched.
"""

import argparse
import datetime
import hashlib
import json
import pathlib
import re
import subprocess
import uuid

# The crates are the same on each architecture that there are packages for.
TARGET = "x86_64-unknown-linux-gnu"
LICENCE_FILE = re.compile(r"(licen[cs]e|copying|notice|unlicense)", re.IGNORECASE)
RULE = "=" * 80

HEADING = """This program contains the work of others, under the licences below: crates written in Rust,
each with its version and the licence that it declares, then the text of every licence.

Rust's standard library (MIT OR Apache-2.0) is part of each program that is written in Rust.
Builds named "static" also contain the GNU C Library, under the GNU Lesser General Public
License, version 2.1 or later. Its sources are those of the distribution that the build ran on. To
link this program with another version of it, build the sources of this program with
packaging/build.
"""


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("--version", required=True)
    arguments.add_argument("--epoch", type=int, required=True)
    arguments.add_argument("--sbom", type=pathlib.Path, required=True)
    arguments.add_argument("--licences", type=pathlib.Path, required=True)
    asked = arguments.parse_args()
    metadata = json.loads(cargo("metadata", "--locked", "--format-version", "1"))
    crates = linked_crates(metadata)
    bill = sbom(crates, metadata["resolve"], asked.version, asked.epoch)
    asked.sbom.write_text(json.dumps(bill, indent=1) + "\n")
    asked.licences.write_text(licences(crates))


def linked_crates(metadata):
    """The metadata of each crate in the program, in the order of their names."""
    edges = ["--edges", "normal,no-proc-macro", "--target", TARGET]
    tree = cargo("tree", "--locked", "--prefix", "none", "--no-dedupe", "--format", "{p}", *edges)
    linked = {tuple(line.split()[:2]) for line in tree.splitlines()}
    ours = set(metadata["workspace_members"])
    crates = [
        crate
        for crate in metadata["packages"]
        if (crate["name"], "v" + crate["version"]) in linked and crate["id"] not in ours
    ]
    return sorted(crates, key=lambda it: (it["name"], it["version"]))


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def sbom(crates, graph, version, epoch):
    checksums = checksums_of_lock_file()
    program = {
        "type": "application",
        "bom-ref": f"pkg:cargo/narrows@{version}",
        "name": "narrows",
        "version": version,
        "purl": f"pkg:cargo/narrows@{version}",
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
    }
    references = {crate["id"]: purl_of(crate) for crate in crates}
    names = "\n".join([program["purl"], *references.values()])
    at = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, names)}",
        "version": 1,
        "metadata": {"timestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": program},
        "components": [component(crate, checksums) for crate in crates],
        "dependencies": dependencies({graph["root"]: program["purl"], **references}, graph),
    }


def purl_of(crate):
    return f"pkg:cargo/{crate['name']}@{crate['version'].replace('+', '%2B')}"


def dependencies(references, graph):
    """Which of the components is linked with which others."""
    is_normal = lambda it: any(kind["kind"] is None for kind in it["dep_kinds"])
    found = []
    for node in graph["nodes"]:
        if node["id"] in references:
            used = {it["pkg"] for it in node["deps"] if is_normal(it)} & references.keys()
            names = sorted(references[id] for id in used)
            found.append({"ref": references[node["id"]], "dependsOn": names})
    return sorted(found, key=lambda it: it["ref"])


def component(crate, checksums):
    name, version, purl = crate["name"], crate["version"], purl_of(crate)
    found = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "licenses": [{"expression": crate["license"]}],
    }
    if (name, version) in checksums:
        found["hashes"] = [{"alg": "SHA-256", "content": checksums[name, version]}]
    return found


def checksums_of_lock_file():
    lock = pathlib.Path("Cargo.lock").read_text()
    entry = re.compile(r'name = "(.*)"\nversion = "(.*)"\nsource = .*\nchecksum = "(.*)"')
    return {(name, version): checksum for name, version, checksum in entry.findall(lock)}


def licences(crates):
    """Each text once, with the names of the crates that have it."""
    users, texts = {}, {}
    for crate in crates:
        for path in licence_files(crate):
            text = path.read_text(errors="replace").strip()
            digest = hashlib.sha256(" ".join(text.split()).encode()).digest()
            texts.setdefault(digest, text)
            users.setdefault(digest, []).append(crate["name"])
    listed = [f"{it['name']} {it['version']}: {it['license']}" for it in crates]
    parts = [HEADING, "\n".join(listed)]
    for digest, text in texts.items():
        names = ", ".join(dict.fromkeys(users[digest]))
        parts.append(f"{RULE}\n{names}\n{RULE}\n\n{text}")
    return "\n\n".join(parts) + "\n"


def licence_files(crate):
    """A crate without such a file is an error: we may not ship it without its licence."""
    folder = pathlib.Path(crate["manifest_path"]).parent
    found = [path for path in folder.rglob("*") if LICENCE_FILE.match(path.name)]
    found = sorted(path for path in found if path.is_file() and path.suffix != ".rs")
    if not found:
        raise SystemExit(f"{crate['name']} {crate['version']} has no file with its licence")
    return found


if __name__ == "__main__":
    main()
