//! The nameservers of `/etc/resolv.conf`, each asked on its own. The system asks them one after the
//! other, so that a dead one makes every lookup slow.

use super::dns::{NAME_ERROR, REFUSED, Record, Reply, SERVER_FAILURE, question, reply};
use super::finding::{Finding, Text};
use super::together::{Later, all};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

const STEP: &str = "nameserver";
const FILE: &str = "/etc/resolv.conf";
const PORT: u16 = 53;
/// The system's resolver uses no more (resolv.conf(5)).
const SERVERS_MAX: usize = 3;
/// The system waits 5 s for each.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Longest answer that is read. Without EDNS none has more than 512 bytes.
const ANSWER_BYTES_MAX: usize = 1024;

/// What came of one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Reply(Reply),
    /// Nothing came in time.
    Silent,
    /// Nothing listens there, or there is no way.
    Unreachable,
}

/// Asks every nameserver for the addresses of `name`.
pub(super) async fn examine(name: Option<String>) -> Vec<Finding> {
    let Some(name) = name else {
        return vec![Finding::skipped(STEP, "", "no upstream has a name to look up")];
    };
    let text = fs::read_to_string(FILE).unwrap_or_default();
    let servers: Vec<_> = servers(&text).map(|it| SocketAddr::new(it, PORT)).collect();
    ask_all(&servers, &name).await
}

async fn ask_all(servers: &[SocketAddr], name: &str) -> Vec<Finding> {
    let asked = servers.iter().map(|&server| -> Later<_> {
        let name = name.to_owned();
        Box::pin(async move {
            let begun = Instant::now();
            let four = ask(server, &name, Record::A);
            let (a, aaaa) = tokio::join!(four, ask(server, &name, Record::Aaaa));
            (server.ip(), a, aaaa, begun.elapsed())
        })
    });
    let asked = all(asked).await;
    let some_answer = asked.iter().any(|it| matches!(it.1, Outcome::Reply(_)));
    let verdicts = asked.iter().map(|&(server, a, aaaa, took)| {
        let finding = verdict(server, a, aaaa, some_answer);
        finding.took(took)
    });
    verdicts.collect()
}

/// Those that the system uses; if the file names none, the one of this machine.
fn servers(text: &str) -> impl Iterator<Item = IpAddr> {
    let named = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|it| *it == "nameserver")?;
        words.next()?.parse().ok()
    });
    let mut named: Vec<IpAddr> = named.take(SERVERS_MAX).collect();
    if named.is_empty() {
        named.push(Ipv4Addr::LOCALHOST.into());
    }
    named.into_iter()
}

async fn ask(server: SocketAddr, name: &str, record: Record) -> Outcome {
    // Each has a socket, and so a port, of its own: the number needs to be no secret.
    let id = record as u16 + 1;
    let exchange = async {
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(server).await?;
        socket.send(&question(id, name, record)).await?;
        let mut answer = [0; ANSWER_BYTES_MAX];
        loop {
            let len = socket.recv(&mut answer).await?;
            if let Some(reply) = reply(id, record, &answer[..len]) {
                return Ok::<_, io::Error>(reply);
            }
        }
    };
    match timeout(ANSWER_MAX, exchange).await {
        Ok(Ok(reply)) => Outcome::Reply(reply),
        Ok(Err(_)) => Outcome::Unreachable,
        Err(_elapsed) => Outcome::Silent,
    }
}

fn verdict(server: IpAddr, a: Outcome, aaaa: Outcome, some_answer: bool) -> Finding {
    let about = server.to_string();
    let dead = |what: Text| match some_answer {
        true => Finding::warning(
            STEP,
            &about,
            what,
            format!(
                "remove it from {FILE}: the system waits 5 s for it before it asks the next one"
            ),
        ),
        false => Finding::failure(
            STEP,
            &about,
            what,
            format!(
                "put one that works into {FILE} (or the network's DHCP), such as the router's, \
                     or let a firewall pass UDP and TCP port 53 to it"
            ),
        ),
    };
    let replies = match (a, aaaa) {
        (Outcome::Silent, _) => {
            return dead(format!("no answer within {} s", ANSWER_MAX.as_secs()).into());
        }
        (Outcome::Unreachable, _) => return dead("nothing answers there".into()),
        (Outcome::Reply(_), Outcome::Silent | Outcome::Unreachable) => {
            return Finding::warning(
                STEP,
                &about,
                "answers for IPv4, and is silent about IPv6",
                "use another one; or write family = \"4\" in each route, so that no IPv6 address \
                 is asked for",
            );
        }
        (Outcome::Reply(a), Outcome::Reply(aaaa)) => (a, aaaa),
    };
    match replies.0.code {
        0 => Finding::ok(
            STEP,
            &about,
            format!("answers: {} IPv4, {} IPv6", replies.0.addresses, replies.1.addresses),
        ),
        NAME_ERROR => Finding::ok(STEP, &about, "answers: it does not know the name"),
        SERVER_FAILURE => dead("answers SERVFAIL: it could not find out".into()),
        REFUSED => dead("answers REFUSED: it does not work for this machine".into()),
        code => dead(format!("answers with the error {code}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53));

    fn found(code: u8, addresses: usize) -> Outcome {
        Outcome::Reply(Reply { code, addresses })
    }

    #[test]
    fn a_dead_nameserver_is_a_warning_where_another_answers_and_a_failure_where_none_does() {
        let of = |some_answer| verdict(SERVER, Outcome::Silent, Outcome::Silent, some_answer);
        assert_eq!(of(true).verdict, Verdict::Warning);
        assert!(of(true).remedy.unwrap().starts_with("remove it from /etc/resolv.conf"));
        assert_eq!(of(false).verdict, Verdict::Failure);
        let servfail = verdict(SERVER, found(SERVER_FAILURE, 0), found(0, 0), true);
        assert!(servfail.what.contains("SERVFAIL"));
        let refused = verdict(SERVER, found(REFUSED, 0), found(REFUSED, 0), false);
        assert!(refused.what.contains("REFUSED") && refused.verdict == Verdict::Failure);
    }

    #[test]
    fn one_that_drops_questions_about_ipv6_is_a_warning() {
        let finding = verdict(SERVER, found(0, 1), Outcome::Silent, true);
        assert!(finding.remedy.unwrap().contains("family = \"4\""));
        let good = verdict(SERVER, found(0, 2), found(0, 0), true);
        assert_eq!((good.verdict, &*good.what), (Verdict::Ok, "answers: 2 IPv4, 0 IPv6"));
        assert_eq!(verdict(SERVER, found(NAME_ERROR, 0), found(3, 0), true).verdict, Verdict::Ok);
    }

    #[test]
    fn the_systems_nameservers_are_the_first_three_or_this_machine() {
        let of = |text| servers(text).map(|it| it.to_string()).collect::<Vec<_>>();
        let text = "# nameserver 1.1.1.1\nsearch a.b\nnameserver 10.0.0.1\noptions x\n\
                    nameserver ::1\nnameserver junk\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n";
        assert_eq!(of(text), ["10.0.0.1", "::1", "10.0.0.2"]);
        assert_eq!(of(""), ["127.0.0.1"]);
    }

    /// Asks a socket that answers with an empty reply, or not at all.
    async fn ask_one(answers: bool) -> Finding {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let servers = [socket.local_addr().unwrap()];
        let answer = async move {
            let mut asked = [0; 512];
            loop {
                let (len, from) = socket.recv_from(&mut asked).await.unwrap();
                asked[2] |= 0x80;
                if answers {
                    socket.send_to(&asked[..len], from).await.unwrap();
                }
            }
        };
        tokio::select! {
            mut found = ask_all(&servers, "a.example") => found.remove(0),
            never = answer => never,
        }
    }

    #[tokio::test]
    async fn an_answer_is_read() {
        assert_eq!(ask_one(true).await.what, "answers: 0 IPv4, 0 IPv6");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_not_waited_for_for_ever() {
        assert_eq!(ask_one(false).await.what, "no answer within 2 s");
    }
}
