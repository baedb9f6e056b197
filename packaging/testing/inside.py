"""Installs, runs, upgrades and removes narrows in each way that there is. Runs as root in a system
that packaging/test has booted, and that is thrown away afterwards.
"""

import concurrent.futures
import glob
import os
import pathlib
import stat
import subprocess
import sys
import time
import traceback

from image import image
import traffic

NEW = "999.0.0"
CONFIGURATION = pathlib.Path("/etc/narrows/narrows.toml")
UNIT = "narrows.service"
ADMIN = "/run/narrows/admin.sock"


def main():
    traffic.start_api()
    packages = [deb, passed_socket, rpm]
    for test in [*packages, installer, deb_over_installer, installer_for_a_user, image]:
        begun = time.monotonic()
        try:
            test()
        except Exception:
            traceback.print_exc()
            print(output("journalctl", "--no-pager", "--lines=40", "--unit", UNIT))
            sys.exit(1)
        print(f"{test.__name__}: passed, {time.monotonic() - begun:.1f} s")


def deb():
    # An older unit leaves this when the service stops, and then no newer one can start.
    os.symlink("private/narrows", "/run/narrows")
    begun = time.monotonic()
    run("dpkg", "--install", only("/packages/*_amd64.deb"))
    assert is_active(), "it runs once it is installed"
    # As installed, it leads to an API that this system has no way to.
    wait_for("an answer", lambda: traffic.status("/gpt/") == 502)
    configure()
    print(f"  from dpkg --install and one edit to a served request: {time.monotonic() - begun:.1f} s")
    check_files()
    check_failing_upgrade("dpkg", "--install", only("/upgrade/*_amd64.deb"))
    streams = check_upgrade("dpkg", "--install", only("/upgrade/*_amd64.deb"))
    check_removal(streams, "/usr/bin/narrows", "dpkg", "--remove", "narrows")
    assert CONFIGURATION.exists(), "a configuration stays"
    run("dpkg", "--install", only("/packages/*_amd64.deb"))
    wait_for("an answer", lambda: traffic.status("/gpt/") == 200)
    run("dpkg", "--purge", "narrows")
    check_purged()


def passed_socket():
    """With narrows.socket, a client waits until a wrong configuration is right, and until then the
    service is not started without a pause."""
    run("dpkg", "--install", only("/packages/*_amd64.deb"))
    right = f"""
[[listener]]
address = ":443"
[[route]]
path = "/gpt/"
upstream = "http://127.0.0.1:{traffic.ORIGIN}/"
"""
    CONFIGURATION.write_text("[unknown]\n")
    run("systemctl", "stop", UNIT)
    run("systemctl", "enable", "--now", "narrows.socket")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        client = pool.submit(traffic.status, "/gpt/", 443)
        wait_for("a pause", lambda: property_of("SubState") == "stop-post")
        CONFIGURATION.write_text(right)
        assert client.result() == 200
    run("systemctl", "restart", UNIT)
    assert traffic.status("/gpt/", 443) == 200
    run("dpkg", "--purge", "narrows")
    check_purged()


def rpm():
    # What it depends on is here, but not from an rpm.
    run("rpm", "--install", "--nodeps", only("/packages/*.x86_64.rpm"))
    run("systemctl", "start", UNIT)
    configure()
    check_files()
    streams = check_upgrade("rpm", "--upgrade", "--nodeps", only("/upgrade/*.x86_64.rpm"))
    check_removal(streams, "/usr/bin/narrows", "rpm", "--erase", "narrows")
    saved = CONFIGURATION.with_suffix(".toml.rpmsave")
    assert saved.exists(), "a configuration that was edited stays"
    saved.unlink()


def installer():
    install = ["sh", "/packages/install.sh", "--from", "/packages"]
    before = files()
    run(*install, "--dry-run")
    check_place_of_files()
    assert files() == before, "a dry run changes nothing"
    check_sum_is_checked()
    run(*install)
    configure()
    streams = check_upgrade("sh", "/upgrade/install.sh")  # From its own folder.
    check_removal(streams, "/usr/local/bin/narrows", *install, "--remove")
    assert CONFIGURATION.exists(), "a configuration stays"


def deb_over_installer():
    """What the installer has put in front of a package serves until it is removed."""
    run("sh", "/packages/install.sh", "--from", "/packages")
    wait_for("an answer", lambda: traffic.status("/gpt/") == 200)
    process = property_of("MainPID")
    said = run("dpkg", "--force-confold", "--install", only("/upgrade/*_amd64.deb"))
    for words in ["/usr/local/bin/narrows is used", f"/etc/systemd/system/{UNIT} is used",
                  "goes on with /usr/local/bin/narrows"]:
        assert words in said, said
    assert "the new version serves" not in said, said
    assert property_of("MainPID") == process

    run("sh", "/packages/install.sh", "--remove")
    assert is_active() and traffic.status("/gpt/") == 200
    assert os.readlink(f"/proc/{property_of('MainPID')}/exe") == "/usr/bin/narrows"
    assert output("systemctl", "is-enabled", UNIT) == "enabled\n"
    said = fail("sh", "/packages/install.sh", "--remove")
    assert "installed as a package" in said, said
    run("dpkg", "--purge", "narrows")
    check_purged()


def installer_for_a_user():
    run("useradd", "--create-home", "ann")
    user = ["runuser", "--user", "ann", "--", "env", "HOME=/home/ann", "sh"]
    run(*user, "/packages/install.sh", "--from", "/packages")
    program = "/home/ann/.local/bin/narrows"
    route = f"/gpt/=http://127.0.0.1:{traffic.ORIGIN}/"
    runs = ["runuser", "--user", "ann", "--", program, "run", route]
    with subprocess.Popen(runs, stderr=subprocess.DEVNULL) as relay:
        try:
            wait_for("an answer", lambda: traffic.status("/gpt/") == 200)
        finally:
            relay.terminate()
    run(*user, "/packages/install.sh", "--remove")
    assert not os.path.exists(program)


def check_place_of_files():
    """Without --from: beside the script, or nowhere if it is read from a pipe."""
    for command in ["sh /upgrade/install.sh", "cd /upgrade && sh install.sh"]:
        said = run("sh", "-c", f"{command} --dry-run")
        assert f"narrows {NEW}, from " in said, said
    said = fail("sh", "-c", "cd /upgrade && cat install.sh | sh -s -- --dry-run")
    assert "which is ." in said, said


def check_sum_is_checked():
    """An archive with one byte more is not installed."""
    os.mkdir("/tmp/changed")
    run("cp", "-r", "/packages/.", "/tmp/changed")
    for archive in glob.glob("/tmp/changed/*.tar.gz"):
        with open(archive, "ab") as file:
            file.write(b"!")
    install = ["sh", "/packages/install.sh", "--from", "/tmp/changed"]
    said = fail(*install)
    assert "SHA256SUMS" in said, said
    assert not os.path.exists("/usr/local/bin/narrows")


def configure():
    """The one edit, and its reload."""
    text = CONFIGURATION.read_text()
    edited = text.replace("https://api.openai.com/", f"http://127.0.0.1:{traffic.ORIGIN}/")
    assert edited != text
    CONFIGURATION.write_text(f'admin = "unix:{ADMIN}"\n{edited}')
    run("systemctl", "reload", UNIT)
    wait_for("the new configuration", lambda: traffic.status("/gpt/") == 200)


def check_files():
    """Who may read what."""
    state = os.stat("/var/lib/narrows/")
    assert stat.S_IMODE(state.st_mode) == 0o700, oct(state.st_mode)
    assert state.st_uid == owner_of_process() != 0
    assert stat.S_IMODE(os.stat("/etc/narrows").st_mode) == 0o750
    assert CONFIGURATION.group() == "narrows"
    assert stat.S_IMODE(CONFIGURATION.stat().st_mode) == 0o640


def check_admin_socket():
    """It is for the group `narrows`, and not for others."""
    ask = [sys.executable, "-c", f"import socket; socket.socket(socket.AF_UNIX).connect('{ADMIN}')"]
    for groups, error in [(["narrows"], ""), ([], "PermissionError")]:
        asked = subprocess.run(ask, user="nobody", group="nogroup", extra_groups=groups,
                               stderr=subprocess.PIPE, text=True)
        assert error in asked.stderr and (asked.returncode == 0) == (not error), (groups, asked)


def check_purged():
    state = ["/var/lib/narrows", "/var/lib/private/narrows", "/run/narrows", "/run/private/narrows"]
    for path in [CONFIGURATION, *state]:
        assert not os.path.lexists(path), f"{path} is left after a purge"
    links = glob.glob("/etc/systemd/system/**/narrows*", recursive=True)
    assert not links, f"{links} are left after a purge"


def owner_of_process():
    return os.stat(f"/proc/{property_of('MainPID')}").st_uid


def check_upgrade(*command):
    """An upgrade serves every client, and cuts no stream. Returns streams that still run: one in
    the process before, one in the new one."""
    process, since = property_of("MainPID"), property_of("ActiveEnterTimestampMonotonic")
    configuration = CONFIGURATION.read_text()
    check_admin_socket()
    stream, visitors = traffic.Stream("/gpt/stream"), traffic.Visitors("/gpt/")
    run(*command)
    wait_for("another process", lambda: property_of("MainPID") not in [process, "0"])
    assert stream.is_alive(), "the stream ended before the upgrade did, so it shows nothing"
    later = traffic.Stream("/gpt/stream")
    served = visitors.finish()
    assert property_of("ActiveEnterTimestampMonotonic") == since, "the service was restarted"
    assert CONFIGURATION.read_text() == configuration
    check_admin_socket()
    print(f"  {command[0]}: upgraded under a stream; {served} new connections, all served")
    return [stream, later]


def check_failing_upgrade(*command):
    """If the new version does not accept the configuration, the one before serves on."""
    process, configuration = property_of("MainPID"), CONFIGURATION.read_text()
    CONFIGURATION.write_text(configuration + "[unknown]\n")
    said = run(*command)
    assert "the version before still serves" in said, said
    assert property_of("MainPID") == process and traffic.status("/gpt/") == 200
    CONFIGURATION.write_text(configuration)


def check_removal(streams, program, *command):
    """The stop that comes with it lets streams end."""
    run(*command)
    for stream in streams:
        stream.finish()
    assert not os.path.exists(program)
    assert not is_active()
    assert traffic.status("/gpt/") is None, "something still listens"


def is_active():
    return subprocess.run(["systemctl", "is-active", "--quiet", UNIT]).returncode == 0


def property_of(name):
    return output("systemctl", "show", f"--property={name}", UNIT).strip().partition("=")[2]


def files():
    """All files that an installation could touch."""
    found = set()
    for folder in ["/etc", "/usr/local", "/var/lib", "/root", "/tmp"]:
        for path, folders, names in os.walk(folder):
            found.update(os.path.join(path, name) for name in folders + names)
    return found


def only(pattern):
    (found,) = glob.glob(pattern)
    return found


def wait_for(what, condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(0.05)


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}"
    return done.stdout


def fail(*command):
    """What a command said that must fail."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 1, f"{command}: exit code {done.returncode}\n{done.stdout}"
    return done.stdout


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
