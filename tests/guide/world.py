"""A machine on which `your.domain` is, and an Internet of its own.

Two network namespaces with a cable between them. In the one of this process, names lead where the
Internet of the documents would lead them (HOSTS). The other has stand-ins for the APIs (origin.py)
and Debian's Pebble for Let's Encrypt, with certificates of an authority made here (`ca.pem`).
"""

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(f"{HERE}/../..")
APIS, AUTHORITY, MACHINE = "192.0.2.2", "192.0.2.3", "192.0.2.1"
# The address of this machine in the private network of docs/scaling.md.
INTERNAL = "10.0.0.11"
HOSTS = f"""127.0.0.1 localhost
{MACHINE} your.domain
{APIS} api.openai.com api.anthropic.com
{AUTHORITY} acme-v02.api.letsencrypt.org
"""
# Longest wait for anything, in seconds. Only a hang comes near it.
PATIENCE = 60


class World:
    def __init__(self, narrows):
        self.narrows = narrows
        self.folder = tempfile.mkdtemp(prefix="narrows-guide-")
        self.ca, self.log = f"{self.folder}/ca.pem", f"{self.folder}/log"
        self.service = None
        self.others = []
        self.made = [it for it in ["/etc/narrows", "/var/lib/narrows"] if not os.path.exists(it)]

    def __enter__(self):
        os.makedirs(f"{self.folder}/files")
        for folder in ["/etc/narrows", "/var/lib/narrows"]:
            os.makedirs(folder, exist_ok=True)
            run("mount", "-t", "tmpfs", "none", folder)
        self.write("hosts", HOSTS)
        run("mount", "--bind", f"{self.folder}/hosts", "/etc/hosts")
        self.certificates()
        self.connect()
        self.start_internet()
        return self

    def __exit__(self, *_):
        self.stop()
        for process in self.others:
            process.terminate()
            process.wait()
        subprocess.run(["ip", "link", "delete", "here"], stderr=subprocess.DEVNULL)
        for folder in ["/etc/hosts", "/etc/narrows", "/var/lib/narrows"]:
            run("umount", folder)
        for folder in self.made:
            os.rmdir(folder)
        shutil.rmtree(self.folder)

    def connect(self):
        """The cable, and the process that keeps the other namespace."""
        keeper = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self.others.append(keeper)
        own = os.readlink("/proc/self/ns/net")
        until(lambda: os.readlink(f"/proc/{keeper.pid}/ns/net") != own, "a namespace")
        self.other = ["nsenter", f"--net=/proc/{keeper.pid}/ns/net"]
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "here", "type", "veth", "peer", "name", "there")
        run("ip", "link", "set", "there", "netns", str(keeper.pid))
        run("ip", "address", "add", f"{MACHINE}/24", "dev", "here")
        run("ip", "address", "add", f"{INTERNAL}/24", "dev", "here")
        run("ip", "link", "set", "here", "up")
        for command in [f"address add {APIS}/24 dev there", f"address add {AUTHORITY}/24 dev there",
                        "link set there up", "link set lo up"]:
            run(*self.other, "ip", *command.split())

    def certificates(self):
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "30", "-subj", "/CN=an authority of this test",
            "-keyout", f"{self.folder}/ca.key", "-out", self.ca)
        names = ["api.openai.com", "api.anthropic.com", "acme-v02.api.letsencrypt.org"]
        self.certificate(self.folder, "internet.pem", "internet.key", names)

    def certificate(self, folder, certificate, key, names):
        """A certificate with its issuer's, and a key."""
        request, extensions = f"{self.folder}/request", f"{self.folder}/extensions"
        with open(extensions, "w") as file:
            file.write("subjectAltName=" + ",".join(f"DNS:{it}" for it in names))
            file.write("\nbasicConstraints=CA:FALSE\n")
        run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-subj", f"/CN={names[0]}", "-keyout", f"{folder}/{key}", "-out", request)
        run("openssl", "x509", "-req", "-in", request, "-CA", self.ca, "-days", "30",
            "-CAkey", f"{self.folder}/ca.key", "-extfile", extensions,
            "-out", f"{folder}/{certificate}")
        with open(f"{folder}/{certificate}", "a") as file:
            file.write(open(self.ca).read())

    def start_internet(self):
        pair = [f"{self.folder}/internet.pem", f"{self.folder}/internet.key"]
        self.write("pebble.json", json.dumps({"pebble": {
            "listenAddress": f"{AUTHORITY}:443", "managementListenAddress": f"{AUTHORITY}:15000",
            "certificate": pair[0], "privateKey": pair[1], "httpPort": 80, "tlsPort": 443,
            "ocspResponderURL": "", "externalAccountBindingRequired": False}}))
        quick = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        self.background([*self.other, "pebble", "-config", f"{self.folder}/pebble.json"], quick)
        self.background([*self.other, sys.executable, f"{HERE}/origin.py", APIS, *pair])
        trust = ssl.create_default_context(cafile=self.ca)

        def root():
            url = "https://acme-v02.api.letsencrypt.org:15000/roots/0"
            with urllib.request.urlopen(url, context=trust) as response:
                return response.read().decode()

        # What a client trusts: the stand-ins, and what the authority issues.
        self.write("trust.pem", open(self.ca).read() + until(root, "the authority"))
        until(lambda: self.ask("https://api.openai.com/paths") is not None, "the APIs")

    def background(self, command, environment=None):
        out = open(f"{self.folder}/internet.log", "a")
        self.others.append(subprocess.Popen(command, stdout=out, stderr=out, env=environment))

    def write(self, name, text):
        with open(f"{self.folder}/{name}", "w") as file:
            file.write(text)

    def trust(self):
        return ssl.create_default_context(cafile=f"{self.folder}/trust.pem")

    def ask(self, url):
        with urllib.request.urlopen(url, context=self.trust(), timeout=PATIENCE) as response:
            return response.read()

    def paths(self):
        """The paths that the APIs were asked for since the last time."""
        return json.loads(self.ask("https://api.openai.com/paths"))

    def shell(self, line, environment):
        """What a command says; it has to succeed."""
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", line], env=environment, text=True,
                              cwd=f"{self.folder}/files", stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
        if done.returncode != 0:
            raise OSError(f"exit code {done.returncode}: {line}: {done.stdout}")
        return done.stdout

    def until_shell(self, line, environment):
        return until(lambda: self.shell(line, environment), line)

    def start(self, command, environment):
        """Starts narrows, and waits until it is ready."""
        self.stop()
        with open(self.log, "a") as log:
            log.write(f"$ {' '.join(command)}\n")
            log.flush()
            self.service = subprocess.Popen(command, stderr=log, stdout=log, env=environment,
                                            cwd=f"{self.folder}/files")
        before = self.log_text().count("narrows::ready")
        self.wait_for_line("narrows::ready", before)

    def reload(self):
        before = self.log_text().count("reloaded")
        self.service.send_signal(signal.SIGHUP)
        self.wait_for_line("reloaded", before)
        if "not reloaded" in self.log_text():
            raise RuntimeError("the configuration is refused")

    def wait_for_line(self, line, before):
        def is_there():
            if self.service.poll() is not None:
                raise SystemExit(f"narrows has ended:\n{self.log_text()[-3000:]}")
            return self.log_text().count(line) > before

        until(is_there, line)

    def stop(self):
        if self.service is not None:
            self.service.terminate()
            self.service.wait()
            self.service = None

    def log_text(self):
        return open(self.log).read() if os.path.exists(self.log) else ""


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}")


def until(condition, what):
    """What the condition gives, as soon as that is something."""
    end, error = time.monotonic() + PATIENCE, None
    while time.monotonic() < end:
        try:
            if result := condition():
                return result
        except OSError as failed:
            error = failed
        time.sleep(0.05)
    raise RuntimeError(f"waited for {what}: {error}")
