use super::*;
use crate::tls::alpn::Alpn;
use crate::tls::server;
use crate::tls::testing::identity;
use crate::tls::testing::memory::{Schemes, handshake};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{AlertDescription, Error, SupportedProtocolVersion};

/// Whom certificates are for: `localhost` with either kind of key, one other name, a domain.
const SERVER: &str = "server";
const RSA: &str = "rsa";
const WRONG_NAME: &str = "wrong-name";
const WILDCARD: &str = "wildcard";

/// A listener with some of the certificates in `certs/`.
struct Listener {
    listed: Vec<(&'static str, Rc<Identity>)>,
    awaited: Vec<String>,
}

impl Listener {
    fn new(names: &[&'static str]) -> Self {
        let listed = names.iter().map(|name| (*name, Rc::new(identity(name)))).collect();
        Self { listed, awaited: Vec::new() }
    }

    fn awaiting(mut self, names: &[&str]) -> Self {
        self.awaited = names.iter().map(|it| (*it).to_owned()).collect();
        self
    }

    /// Which certificate a client gets, or the alert.
    fn shown(
        &self,
        name: Option<&str>,
        local: &str,
        schemes: Schemes,
        version: &'static SupportedProtocolVersion,
    ) -> Result<&'static str, AlertDescription> {
        let identities: Vec<_> = self.listed.iter().map(|(_, it)| Rc::clone(it)).collect();
        let certificates = Certificates::new(&identities, &self.awaited);
        let config = server::config(certificates.into(), None, Alpn::Http, None).unwrap();
        connected_to(local.parse().ok());
        match handshake(config, name, schemes, version) {
            Ok(chain) => {
                let mut listed = self.listed.iter();
                Ok(listed.find(|(_, it)| it.chain() == chain).expect("one of ours").0)
            }
            Err(Error::AlertReceived(alert)) => Err(alert),
            Err(error) => panic!("{error}"),
        }
    }

    #[track_caller]
    fn check(&self, name: impl Into<Option<&'static str>>, want: &str) {
        let name = name.into();
        assert_eq!(self.shown(name, "", Schemes::All, &TLS13), Ok(want), "{name:?}");
    }
}

#[test]
fn a_client_gets_the_certificate_of_the_name_that_it_asks_for_or_else_the_first() {
    let listener = Listener::new(&[WRONG_NAME, SERVER, WILDCARD]);
    listener.check("wrong-name.test", WRONG_NAME);
    listener.check("localhost", SERVER);
    listener.check("LocalHost", SERVER);
    listener.check("api.openai.test", SERVER);
    listener.check("relay.test", WILDCARD);
    listener.check("elsewhere.test", WRONG_NAME);
    listener.check("openai.test", WRONG_NAME);
}

#[test]
fn a_wildcard_is_one_label() {
    let listener = Listener::new(&[SERVER, WILDCARD]);
    listener.check("a.relay.test", WILDCARD);
    listener.check("A.Relay.Test", WILDCARD);
    listener.check("a.b.relay.test", SERVER);
    listener.check("arelay.test", SERVER);
}

#[test]
fn an_exact_name_comes_before_a_wildcard_in_whatever_order_they_are_listed() {
    let (exact, any) = (identity(SERVER).certified, identity(WILDCARD).certified);
    for order in [[&exact, &any], [&any, &exact]] {
        let mut names = Names::default();
        for certified in order {
            let name = if Arc::ptr_eq(certified, &any) { "*.relay.test" } else { "a.relay.test" };
            names.add(name, certified);
        }
        let found = |name| names.find(name).map(|it| Arc::ptr_eq(&it[0], &any));
        assert_eq!(found("a.relay.test"), Some(false));
        assert_eq!(found("b.relay.test"), Some(true));
        assert_eq!(found("relay.test"), None);
    }
}

#[test]
fn of_two_certificates_for_a_name_a_client_gets_the_one_that_it_can_verify() {
    for names in [[RSA, SERVER], [SERVER, RSA]] {
        let listener = Listener::new(&names);
        for version in [&TLS12, &TLS13] {
            let shown = |schemes| listener.shown(Some("localhost"), "", schemes, version);
            assert_eq!(shown(Schemes::All), Ok(SERVER), "a signature by it is cheaper");
            assert_eq!(shown(Schemes::Ecdsa), Ok(SERVER));
            assert_eq!(shown(Schemes::Rsa), Ok(RSA));
            // For a name that no certificate has, and without one.
            for name in [Some("elsewhere.test"), None] {
                let shown = |schemes| listener.shown(name, "", schemes, version);
                assert_eq!(shown(Schemes::Ecdsa), Ok(SERVER));
                assert_eq!(shown(Schemes::Rsa), Ok(RSA));
            }
        }
        listener.check("elsewhere.test", names[0]);
    }
}

#[test]
fn a_client_that_can_verify_none_is_told_so() {
    let listener = Listener::new(&[SERVER, WILDCARD]);
    let shown = listener.shown(Some("localhost"), "", Schemes::Rsa, &TLS13);
    assert_eq!(shown, Err(AlertDescription::HandshakeFailure));
}

#[test]
fn a_client_of_an_address_gets_the_certificate_that_has_it_or_the_first_that_has_one() {
    let listener = Listener::new(&[WRONG_NAME, SERVER]);
    for local in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", ""] {
        assert_eq!(listener.shown(None, local, Schemes::All, &TLS13), Ok(SERVER), "{local}");
    }
    let listener = Listener::new(&[WRONG_NAME, WILDCARD]);
    assert_eq!(listener.shown(None, "127.0.0.1", Schemes::All, &TLS13), Ok(WRONG_NAME));
}

#[test]
fn a_name_that_waits_for_its_certificate_is_refused_and_no_other() {
    let listener = Listener::new(&[SERVER]).awaiting(&["new.test", "192.0.2.7"]);
    let shown = |name, local| listener.shown(name, local, Schemes::All, &TLS13);
    assert_eq!(shown(Some("new.test"), ""), Err(AlertDescription::AccessDenied));
    assert_eq!(shown(None, "192.0.2.7"), Err(AlertDescription::AccessDenied));
    assert_eq!(shown(Some("localhost"), ""), Ok(SERVER));
    assert_eq!(shown(Some("elsewhere.test"), ""), Ok(SERVER));
    assert_eq!(shown(None, "127.0.0.1"), Ok(SERVER));
    let nothing = Listener::new(&[]).awaiting(&["new.test"]);
    for name in [Some("new.test"), Some("elsewhere.test"), None] {
        let shown = nothing.shown(name, "", Schemes::All, &TLS13);
        assert_eq!(shown, Err(AlertDescription::AccessDenied));
    }
}

#[test]
fn a_name_that_waits_for_its_certificate_is_served_by_a_wildcard_meanwhile() {
    let listener = Listener::new(&[SERVER, WILDCARD]).awaiting(&["a.relay.test"]);
    listener.check("a.relay.test", WILDCARD);
}

#[test]
fn certificates_are_the_same_if_clients_get_the_same() {
    let of = |names: &[&str], awaited: &[String]| {
        let identities: Vec<_> = names.iter().map(|it| Rc::new(identity(it))).collect();
        Certificates::new(&identities, awaited)
    };
    let one = of(&[SERVER, RSA], &[]);
    assert!(one.is_same(&of(&[SERVER, RSA], &[])));
    assert!(!one.is_same(&of(&[RSA, SERVER], &[])));
    assert!(!one.is_same(&of(&[SERVER], &[])));
    assert!(!one.is_same(&of(&[SERVER, RSA], &["new.test".to_owned()])));
}
