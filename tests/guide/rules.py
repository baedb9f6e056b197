"""How each kind of block is run, and what stands in for what cannot be run here."""

import os
import re
import shlex
import socket
import subprocess

import yaml

import blocks
from world import PATIENCE, ROOT, until

VERSION = re.search(r'^version = "(.*)"', open(f"{ROOT}/Cargo.toml").read(), re.M).group(1)
# What packaging/build makes, and packaging/test installs, runs, upgrades and removes.
PACKAGES = {
    "dpkg": f"-i narrows_{VERSION}-1_amd64.deb",
    "rpm": f"-i narrows-{VERSION}-1.x86_64.rpm",
    "docker": f"load -i narrows-{VERSION}-oci.tar",
}
IMAGE = f"narrows:{VERSION}"
CONFIGURATION = "/etc/narrows/narrows.toml"
# Programs that are run as they are.
REAL = ["curl", "getent", "jq", "openssl", "printf", "promtool", "rm", "sh"]
# Values that a reader has.
READER = {
    "OPENAI_API_KEY": "sk-test", "id": '"exchange"',
    # Its digest is the one in docs/guide/share.md. No relay but this one knows it.
    "ALICE_TOKEN": "nrw_OKt7nWtGNOmHjc9CYjCT3934xnaG2iBIx8kig4VVa6W",
}

# Programs that are not run, each a script. They refuse what they do not expect.
STAND_INS = {
    # Everything here runs as root already.
    "sudo": 'exec "$@"',
    # The real one, which has to trust the authorities of this test besides.
    "narrows": """for it; do
    case $it in
    --domain) acme=yes ;;
    /*=https://*) route=yes ;;
    esac
done
case $1 in
run | check)
    set -- "$@" ${route:+--ca "$CA"} ${acme:+--acme-ca "$CA"} \\
        ${acme:+--acme-directory https://acme-v02.api.letsencrypt.org/dir} ;;
esac
exec "$NARROWS" "$@"
""",
    "dpkg": f'[ "$*" = "{PACKAGES["dpkg"]}" ]',
    "rpm": f'[ "$*" = "{PACKAGES["rpm"]}" ]',
    # The user narrows is a package's; its rights are tried by packaging/test.
    "install": '[ "$1 $2 $3 $4" = "-o narrows -g narrows" ]; shift 4; exec /usr/bin/install "$@"',
    # A firewall that the machine may have.
    "ufw": '[ "$*" = "allow 80,443/tcp" ]',
    # narrows writes to a file here instead of the journal.
    "journalctl": 'case $* in "-u narrows"*) cat "$LOG" ;; *) exit 1 ;; esac',
    # There is no cluster. What would be sent there is checked without one, by CI.
    "kubectl": """case $* in
"apply -k packaging/kubernetes/base" | "apply -k packaging/kubernetes/public") ;;
"rollout status deployment/narrows") ;;
"create secret tls narrows-tls --cert fullchain.pem --key privkey.pem") ;;
*) exit 1 ;;
esac""",
    # Commands that start or reload narrows are run by this file: see command().
    "docker": f'[ "$*" = "{PACKAGES["docker"]}" ] || [ "$*" = "compose logs -f narrows" ]',
}


def run(block, place):
    """Runs a block. Each language is one of these."""
    runners = {"sh": commands, "toml": configuration, "nginx": nginx, "caddyfile": caddy,
               "haproxy": haproxy, "yaml": yaml_file}
    runners[block.language](block.text, place)


def environment(place):
    folder = f"{place.folder}/bin"
    if not os.path.exists(folder):
        os.makedirs(folder)
        for name, script in STAND_INS.items():
            with open(f"{folder}/{name}", "w") as file:
                file.write(f"#!/bin/sh\nset -eu\nroute= acme=\n{script}")
            os.chmod(f"{folder}/{name}", 0o755)
        # The installer is tried by packaging/test; here it is only asked whether it is one.
        with open(f"{place.folder}/files/install.sh", "w") as file:
            file.write(f"exec sh {ROOT}/packaging/install.sh --help\n")
    return {**os.environ, **READER, "PATH": f"{folder}:{os.environ['PATH']}", "CA": place.ca,
            "NARROWS": place.narrows, "LOG": place.log,
            "CURL_CA_BUNDLE": f"{place.folder}/trust.pem"}


def commands(text, place):
    for line in blocks.commands(text):
        command(line, place)


def command(line, place):
    """One command. Those that serve until they are stopped run on, until the next of them."""
    words = shlex.split(line, comments=True)
    if words[:2] == ["narrows", "run"]:
        return place.start(words, environment(place))
    if words[:2] == ["docker", "run"]:
        arguments = words[words.index(IMAGE) + 1:]
        return place.start(["narrows", *arguments], environment(place))
    if words == ["docker", "compose", "up", "-d"]:
        return place.start(["narrows", *shlex.split(place.compose)], environment(place))
    if words == ["sudo", "systemctl", "reload", "narrows"]:
        ensure_service(place)
        place.reload()
        # Something for the log to have, if it serves here.
        return subprocess.run(["curl", "-s", "http://127.0.0.1:8080/gpt/v1/models"],
                              stdout=subprocess.DEVNULL)
    program = words[1] if words[0] == "sudo" else words[0]
    if program not in REAL and program not in STAND_INS:
        raise RuntimeError(f"no rule for the program {program}")
    # Seconds may pass until there is a certificate.
    if "https://your.domain" in line:
        output = place.until_shell(line, environment(place))
    else:
        output = place.shell(line, environment(place))
    if words[0] == "curl" and "/gpt/" in line and not re.search("gpt-4o-mini|data: .DONE", output):
        raise RuntimeError(f"{line}: {output}")


def ensure_service(place):
    """The service as a package starts it, with the configuration of a package."""
    if place.service is None or "--config" not in place.service.args:
        if not os.path.exists(CONFIGURATION):
            write_configuration(open(f"{ROOT}/packaging/narrows.toml").read(), place)
        place.start(["narrows", "run", "--config", CONFIGURATION], environment(place))


def configuration(text, place):
    """A configuration: the service that runs takes it over by a reload."""
    ensure_service(place)
    write_configuration(text, place)
    command(f"narrows check {CONFIGURATION}", place)
    place.reload()


def write_configuration(text, place):
    """With trust in the authority of this test, and with certificates for the files it names."""
    for name in re.findall(r'"([a-z]+)\.pem"', text):
        key = re.search(r'key = "([a-z]+\.key|[a-z]+\.pem)"', text)
        if key and not os.path.exists(f"/etc/narrows/{name}.pem"):
            place.certificate("/etc/narrows", f"{name}.pem", key.group(1), ["your.domain"])
    # The ranges of a CDN.
    for name in re.findall(r'"([a-z]+\.txt)"', text):
        with open(f"/etc/narrows/{name}", "w") as file:
            file.write("198.51.100.0/24\n")
    text = re.sub(r'(\nupstream = "https://.*")', rf'\1\nca = "{place.ca}"', text)
    # The comment about addresses in place of names is one.
    acme = (f'\ndirectory = "https://acme-v02.api.letsencrypt.org/dir"\nca = "{place.ca}"\n')
    if "[acme]" in text:
        text = text.replace("[acme]", "[acme]" + acme)
    elif "\ndomains" in text:
        text += "\n[acme]" + acme
    with open(CONFIGURATION, "w") as file:
        file.write(text)


def nginx(text, place):
    """In a server of a real nginx, in front of narrows."""
    folder = f"{place.folder}/nginx"
    os.makedirs(folder, exist_ok=True)
    temporary = "".join(f"{it}_temp_path {folder}/{it}; " for it in
                        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
    file = f"{folder}/conf"
    with open(file, "w") as out:
        out.write(f"daemon off; pid {folder}/pid; error_log {folder}/log; user root;\n"
                  f"events {{}} http {{ access_log off; {temporary}\n"
                  f"server {{ listen 127.0.0.1:8090; {text} }} }}")
    in_front(["nginx", "-p", folder, "-c", file], place)


def caddy(text, place):
    """In a site of a real Caddy, in front of narrows."""
    file = f"{place.folder}/Caddyfile"
    with open(file, "w") as out:
        out.write(f"{{\nadmin off\nauto_https off\n}}\nhttp://:8090 {{\n{text}}}\n")
    in_front(["caddy", "run", "--adapter", "caddyfile", "--config", file], place)


def in_front(program, place):
    """Through the program: a stream that is not collected, a large upload, a WebSocket."""
    command("narrows run /gpt/=https://api.openai.com/", place)
    with open(f"{place.folder}/in-front.log", "w") as log:
        process = subprocess.Popen(program, stdout=log, stderr=log,
                                   env={**os.environ, "HOME": place.folder})
    try:
        head = "POST /gpt/v1/chat/completions HTTP/1.1\r\nX-Hold: 1\r\n"
        stream = until(lambda: send(head, b'{"stream": true}'), program[0])
        received(stream, b"data: first")
        place.ask("https://api.openai.com/go")
        received(stream, b"[DONE]")
        received(send("POST /gpt/v1/files HTTP/1.1\r\n", bytes(3_000_000)), b"200 OK")
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        received(send(f"GET /gpt/v1/realtime HTTP/1.1\r\n{upgrade}", b""), b" 101 ")
    finally:
        process.terminate()
        process.wait()


def send(head, body):
    connection = socket.create_connection(("127.0.0.1", 8090))
    connection.settimeout(PATIENCE)
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    connection.sendall(f"{head}Host: your.domain\r\nAuthorization: Bearer sk-test\r\n{length}\r\n"
                       .encode() + body)
    return connection


def received(connection, what):
    seen = b""
    while what not in seen:
        part = connection.recv(65536)
        if not part:
            raise RuntimeError(f"no {what} in {seen}")
        seen += part


def haproxy(text, place):
    """Is only checked: benches/scaling.py runs one, with three narrows behind it."""
    with open(f"{place.folder}/files/haproxy.cfg", "w") as file:
        file.write(text)
    place.shell("haproxy -c -f haproxy.cfg", environment(place))


def yaml_file(text, place):
    """Services for compose, or rules for Prometheus."""
    value = yaml.safe_load(text)
    if "services" in value:
        service = value["services"]["narrows"]
        if service["image"] != IMAGE:
            raise RuntimeError(f"the image is {IMAGE}")
        place.compose = service["command"]
        return command(f"narrows check {place.compose.removeprefix('run ')}", place)
    if "groups" in value:
        with open(f"{place.folder}/files/rules.yaml", "w") as file:
            file.write(text)
        return command("promtool check rules rules.yaml", place)
    raise RuntimeError("neither services nor groups")


# What each program of the table "Use it" appends to the address that it is given.
APPENDED = [
    ("curl", None), ("OpenAI SDK", "/chat/completions"), ("Claude Code", "/v1/messages"),
    ("Codex", "/responses"), ("*OpenAI*", "/v1/chat/completions"),
    ("*OpenAI-API-compatible*", "/chat/completions"), ("Open WebUI", "/chat/completions"),
    ("LobeChat", "/chat/completions"), ("Cherry Studio", "/v1/chat/completions"),
    ("WebSocket", None),
]


def use_it(document, place):
    """Each address in the table leads to a path that the API has."""
    command("narrows run --domain your.domain /gpt/=https://api.openai.com/ "
            "/claude/=https://api.anthropic.com/", place)
    rows = [line for line in open(document) if line.startswith("| ") and "://your.domain" in line]
    if len(rows) != len(APPENDED):
        raise SystemExit(f"{document}: {len(rows)} programs, and not {len(APPENDED)}")
    for row, (name, path) in zip(rows, APPENDED):
        if name not in row:
            raise SystemExit(f"{document}: no {name}: {row}")
        line = re.search(r"`(curl .*?)`", row)
        place.until_shell(line.group(1) if line else asks(row, path), environment(place))
    paths = place.paths()
    wrong = [it for it in paths if not it.startswith("/v1/")]
    if wrong or len(paths) < len(rows):
        raise SystemExit(f"{document}: the APIs were asked for {paths}")


def asks(row, path):
    """The command that asks at the address of a row. A WebSocket has no path of its own, and does
    not end by itself."""
    address = re.search(r'://your\.domain[^"`…]*', row).group()
    extra, status = ("", 200) if path else ("-m 5 -H Connection:Upgrade -H Upgrade:websocket", 101)
    return (f"curl -s -o answer -w '%{{http_code}}' {extra} -H 'Authorization: Bearer sk-test' "
            f"'https{address}{path or ''}' > status || true; grep -x {status} status")
