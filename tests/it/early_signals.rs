//! Signals that arrive before the process serves.

use narrows_kit::programs::narrows;
use narrows_kit::{GUARD, within};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread::yield_now;
use std::time::Instant;
use tokio::task::spawn_blocking;

const CONFIGURATION: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n\
                             [[route]]\npath = \"/\"\nupstream = \"http://127.0.0.1:9/\"\n";

#[tokio::test]
async fn a_signal_that_asks_for_something_is_answered_when_the_process_serves() {
    let mut child = waiting_for_its_configuration();
    for signal in [Signal::HUP, Signal::USR1] {
        kill_process(Pid::from_child(&child), signal).unwrap();
    }
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(CONFIGURATION.as_bytes()).unwrap();
    drop(stdin);
    let log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let answered = spawn_blocking(move || {
        let mut left = vec!["ready", "read from stdin and cannot be read again", "SIGUSR1"];
        for line in log {
            left.retain(|it| !line.contains(it));
            if left.is_empty() {
                break;
            }
        }
        left
    });
    let left = within("all signals to be answered", answered).await.unwrap();
    assert_eq!(left, [""; 0], "it has ended");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn a_signal_to_stop_ends_a_process_that_does_not_serve_yet() {
    let mut child = waiting_for_its_configuration();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let ended = spawn_blocking(move || child.wait());
    assert!(!within("the end", ended).await.unwrap().unwrap().success());
}

/// A process that waits for its configuration on stdin, and catches SIGHUP by now.
fn waiting_for_its_configuration() -> Child {
    let mut command = Command::new(narrows());
    command.args(["run", "--config", "-", "--log-format", "text"]);
    let child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while !catches_hangups(&child) && begun.elapsed() < GUARD {
        yield_now();
    }
    child
}

fn catches_hangups(child: &Child) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let caught = status.lines().find_map(|it| it.strip_prefix("SigCgt:")).unwrap();
    // The first bit is for signal 1.
    u64::from_str_radix(caught.trim(), 16).unwrap() & 1 == 1
}
