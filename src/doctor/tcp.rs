//! TCP connections to the addresses of one family: [`connect`] and [`verdict`].

use super::finding::Finding;
use super::together::{Later, all};
use crate::error::SocketError;
use crate::preface::proxy_header::{self, ProxyVersion};
use bytes::BytesMut;
use rustix::io::Errno;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

const STEP: &str = "tcp";

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Addresses of one family that are tried.
const TRIED_MAX: usize = 4;

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// No answer.
    Late,
    Socket(SocketError),
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) tcp: TcpStream,
    pub(super) address: SocketAddr,
    pub(super) took: Duration,
}

/// What came of the addresses of one family.
#[derive(Debug)]
pub(super) struct Tried {
    /// The first address that was reached.
    pub(super) connected: Option<Connected>,
    /// Of the first that was not.
    pub(super) fault: Option<Fault>,
    /// Addresses that were not reached, of all that were tried.
    pub(super) failed: usize,
    pub(super) number: usize,
}

/// Connects to all addresses at the same time.
pub(super) async fn connect(
    addresses: &[IpAddr],
    port: u16,
    header: Option<ProxyVersion>,
) -> Tried {
    let addresses = addresses.iter().take(TRIED_MAX);
    let attempts = addresses.map(|&it| -> Later<_> {
        Box::pin(async move { connect_to(SocketAddr::new(it, port), header).await })
    });
    let mut tried = Tried { connected: None, fault: None, failed: 0, number: 0 };
    for attempt in all(attempts).await {
        tried.number += 1;
        match attempt {
            Ok(connected) => tried.connected = tried.connected.or(Some(connected)),
            Err(fault) => {
                tried.failed += 1;
                tried.fault = tried.fault.or(Some(fault));
            }
        }
    }
    tried
}

/// Connects to one address.
pub(super) async fn connect_to(
    address: SocketAddr,
    header: Option<ProxyVersion>,
) -> Result<Connected, Fault> {
    let begun = Instant::now();
    let connecting = async {
        let mut tcp = TcpStream::connect(address).await?;
        let took = begun.elapsed();
        if let Some(version) = header {
            let mut bytes = BytesMut::new();
            proxy_header::encode(version, tcp.local_addr()?, address, &mut bytes);
            tcp.write_all(&bytes).await?;
        }
        // Best effort: it is slower without.
        let _ = tcp.set_nodelay(true);
        Ok::<_, io::Error>(Connected { tcp, address, took })
    };
    match timeout(CONNECT_MAX, connecting).await {
        Ok(Ok(connected)) => Ok(connected),
        Ok(Err(error)) => {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            Err(Fault::Socket(errno.into()))
        }
        Err(_elapsed) => Err(Fault::Late),
    }
}

/// What is known of the other family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Other {
    /// It connects.
    Works,
    /// It does not.
    Fails,
    /// The server has no address of it, or it is not used.
    Absent,
}

/// Judges one family, called `IPv4` or `IPv6`.
pub(super) fn verdict(server: &str, family: &str, tried: &Tried, other: Other) -> Finding {
    let about = format!("{server}, {family}");
    let number = tried.number;
    if let Some(Connected { address, took, .. }) = &tried.connected {
        let what = format!("connected to {address}");
        return match tried.failed {
            0 => Finding::ok(STEP, &about, what),
            failed => Finding::warning(
                STEP,
                &about,
                format!("{what}, but not to {failed} of {number} addresses"),
                "nothing to do here: narrows tries the next address after 250 ms",
            ),
        }
        .took(*took);
    }
    match tried.fault {
        None | Some(Fault::Socket(SocketError::TimedOut) | Fault::Late) => {
            silent(&about, family, other).took(CONNECT_MAX)
        }
        Some(Fault::Socket(error)) => refused(&about, family, error, other),
    }
}

fn silent(about: &str, family: &str, other: Other) -> Finding {
    let what = "no answer: packets vanish on the way";
    if other == Other::Works {
        let used = if family == "IPv6" { "4" } else { "6" };
        let remedy = format!(
            "repair {family}, or write family = \"{used}\" in the route: until then new \
             connections may wait 250 ms for it"
        );
        return Finding::warning(STEP, about, what, remedy);
    }
    let remedy = "let the firewall (of this machine, of the hoster, of the network) pass outgoing \
                  connections to this port; if the network blocks this server, run narrows \
                  elsewhere; a server that is overloaded is silent, too";
    Finding::failure(STEP, about, what, remedy)
}

fn refused(about: &str, family: &str, error: SocketError, other: Other) -> Finding {
    use SocketError as It;
    match error {
        It::NetworkUnreachable | It::AddressNotAvailable | It::FamilyNotSupported => {
            let what = format!("this machine has no {family}");
            let is_spare = family == "IPv6" && other == Other::Fails;
            match is_spare || other == Other::Works {
                true => Finding::ok(STEP, about, format!("{what}, and does without")),
                false => {
                    let remedy = "check the network: `ip address` and `ip route` show whether \
                                  there is a way out; in a container, whether it has a network";
                    Finding::failure(STEP, about, what, remedy)
                }
            }
        }
        It::ConnectionRefused => Finding::failure(
            STEP,
            about,
            "refused: nothing listens on this port",
            "check the port in the URL, and whether the server runs",
        ),
        It::NotPermitted | It::AccessDenied => Finding::failure(
            STEP,
            about,
            "forbidden by a rule of this machine",
            "look for it in `nft list ruleset`, in the unit (IPAddressDeny=) and in SELinux",
        ),
        It::HostUnreachable | It::HostDown => Finding::failure(
            STEP,
            about,
            "no way to this host, or a firewall says so",
            "check that the address is right, and that a firewall lets this machine out",
        ),
        _ => Finding::failure(STEP, about, format!("failed ({error:?})"), "check the network"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::{Text, Verdict};

    fn check(family: &str, fault: Fault, other: Other) -> Finding {
        let tried = Tried { connected: None, fault: Some(fault), failed: 1, number: 1 };
        verdict("a:443", family, &tried, other)
    }

    fn remedy(fault: SocketError) -> Text {
        check("IPv4", Fault::Socket(fault), Other::Absent).remedy.unwrap()
    }

    #[test]
    fn a_black_hole_of_one_family_is_a_warning_and_of_both_a_failure() {
        let six = check("IPv6", Fault::Late, Other::Works);
        assert_eq!(six.verdict, Verdict::Warning);
        assert!(six.remedy.unwrap().contains("family = \"4\""));
        let none = check("IPv4", Fault::Late, Other::Fails);
        assert!(none.verdict == Verdict::Failure && none.remedy.unwrap().contains("firewall"));
    }

    #[test]
    fn a_machine_without_ipv6_is_as_good_as_any() {
        let none = Fault::Socket(SocketError::NetworkUnreachable);
        let of = |family, other| check(family, none, other).verdict;
        assert_eq!(of("IPv6", Other::Works), Verdict::Ok);
        assert_eq!(of("IPv6", Other::Fails), Verdict::Ok);
        assert_eq!(of("IPv6", Other::Absent), Verdict::Failure);
        assert_eq!(of("IPv4", Other::Fails), Verdict::Failure);
    }

    #[test]
    fn each_refusal_has_its_remedy() {
        assert!(remedy(SocketError::ConnectionRefused).contains("the port in the URL"));
        assert!(remedy(SocketError::NotPermitted).contains("nft list ruleset"));
        assert!(remedy(SocketError::HostUnreachable).contains("firewall"));
    }

    #[tokio::test]
    async fn an_address_that_refuses_does_not_hide_one_that_answers() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let addresses = ["127.0.0.2", "127.0.0.1"].map(|it| it.parse().unwrap());
        let tried = connect(&addresses, port, None).await;
        assert_eq!((tried.failed, tried.number), (1, 2));
        let finding = verdict("a:1", "IPv4", &tried, Other::Absent);
        assert_eq!(finding.verdict, Verdict::Warning);
        assert!(finding.what.contains("not to 1 of 2"), "{finding:?}");
    }
}
