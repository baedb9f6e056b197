//! A new process and its predecessor: whose child it is, and what becomes of one without the other.

use crate::support::stage::{CHUNKED, GET, Stage};
use narrows_kit::folder::Folder;
use narrows_kit::origin::Origin;
use narrows_kit::programs::narrows;
use narrows_kit::relay::Relay;
use narrows_kit::within;
use rustix::fd::OwnedFd;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use tokio::net::TcpStream;

const TOML: &str = "workers = 1\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
    [[route]]\npath = \"/\"\nupstream = \"http://127.0.0.1:9/\"\n";

/// A new process, and the predecessor's end of the socket between them.
struct Successor {
    child: Child,
    log: BufReader<ChildStderr>,
    control: UnixStream,
    _folder: Folder,
}

impl Successor {
    /// One that gets no sockets.
    fn start() -> Self {
        let folder = Folder::new("successor");
        let (control, theirs) = UnixStream::pair().unwrap();
        let mut child = Command::new(narrows())
            .arg("run")
            .arg("--config")
            .arg(folder.write("narrows.toml", TOML))
            .env("NARROWS_HANDED_OVER", "1")
            .stdin(OwnedFd::from(theirs))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log, control, _folder: folder }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn wait_for_log(&mut self, part: &str) {
        let mut log = String::new();
        while !log.contains(part) {
            assert_ne!(self.log.read_line(&mut log).unwrap(), 0, "no {part:?} in {log}");
        }
    }

    /// Reads what it says, up to this.
    fn expect_word(&mut self, word: &str) {
        let mut said = vec![0; word.len()];
        self.control.read_exact(&mut said).unwrap();
        assert_eq!(String::from_utf8_lossy(&said), word);
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// The manager does not listen to it before, and its admin socket may still be the old one's.
#[tokio::test]
async fn a_reload_waits_until_the_old_process_has_let_go() {
    let playing = tokio::task::spawn_blocking(|| {
        let mut new = Successor::start();
        new.expect_word("narrows 1\n");
        new.control.write_all(b".").unwrap();
        new.expect_word("ready\n");
        new.signal(Signal::HUP);
        new.wait_for_log("SIGHUP waits: the start is under way");
        new.control = UnixStream::pair().unwrap().0;
        new.wait_for_log(" reloaded number=1 ");
        new.signal(Signal::TERM);
        assert!(new.child.wait().unwrap().success());
    });
    within("the new process", playing).await.unwrap();
}

/// A manager waits for its own children only.
#[tokio::test]
async fn a_new_process_is_no_child_of_the_old_one() {
    let mut stage = Stage::plain().await;
    let old = stage.relay.pid();
    let (mut client, mut upstream) = stage.answered(GET, CHUNKED).await;
    let former = stage.relay.hand_over().await;
    assert!(!former.has_ended(), "a stream still runs");
    let status = fs::read_to_string(format!("/proc/{}/status", stage.relay.pid())).unwrap();
    let parent = status.lines().find_map(|it| it.strip_prefix("PPid:\t")).unwrap();
    assert_ne!(parent.parse(), Ok(old), "{status}");
    upstream.send("0\r\n\r\n").await;
    assert_eq!(client.read_chunk().await, b"");
    client.close().await;
    former.ended().await;
}

#[tokio::test]
async fn a_new_process_that_hangs_ends_with_an_old_one_that_is_killed() {
    let folder = Folder::new("hangs");
    let origin = Origin::plain().await;
    let program = folder.path.join("narrows");
    fs::copy(narrows(), &program).unwrap();
    let mut relay = Relay::plain_to(&origin).program(program.clone()).await;
    // By another process: a program is busy while anything may write to it.
    let text = folder.write("text", "#!/bin/sh\necho begun >&2\nexec sleep 1000\n");
    let hangs = folder.path.join("hangs");
    let made =
        format!("cp {} {hangs} && chmod 755 {hangs}", text.display(), hangs = hangs.display());
    assert!(Command::new("sh").args(["-c", &made]).status().unwrap().success());
    fs::rename(hangs, program).unwrap();

    relay.signal(Signal::USR2);
    relay.wait_for_log("begun").await;
    relay.signal(Signal::KILL);
    // The log ends with the last process that writes to it.
    relay.ended().await;
    assert!(TcpStream::connect(relay.address()).await.is_err());
}
