//! A client of ACME, as small as one can be, and a server that meets its challenges.

use super::forward::Forward;
use super::jws::encoded;
use crate::certificates::client_config;
use crate::connection::Connection;
use crate::http::{Framing, field_value};
use crate::{GUARD, within};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::sign::any_supported_type;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{ALL_VERSIONS, ServerConfig};

/// The answer to a request: the URL in its Location, its Retry-After, and its body.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    location: String,
    pub(super) retry_after: Option<String>,
    body: Vec<u8>,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The last part of the URN of a problem.
    pub(super) fn problem(&self) -> String {
        let body = self.json();
        body["type"].as_str().unwrap().rsplit(':').next().unwrap().to_owned()
    }
}

/// A client with an account key, and how it signs.
pub(super) struct Client {
    pub(super) connection: Connection,
    key: EcdsaKeyPair,
    pub(super) account: Option<String>,
    pub(super) directory: Value,
    nonce: Option<String>,
    /// How often it was told that a nonce is not good.
    pub(super) bad_nonces: usize,
}

impl Client {
    pub(super) async fn new(url: &str) -> Self {
        let address = url.split('/').nth(2).unwrap().replace("localhost", "127.0.0.1");
        let tcp = TcpStream::connect(address).await.unwrap();
        let connection = Connection::over_tls(tcp, &client_config(ALL_VERSIONS)).await.unwrap();
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let (account, nonce) = (None, None);
        let mut client =
            Self { connection, key, account, nonce, directory: Value::Null, bad_nonces: 0 };
        client.directory = client.get(url).await.json();
        client
    }

    pub(super) async fn get(&mut self, url: &str) -> Reply {
        self.send("GET", url, "").await
    }

    pub(super) async fn send(&mut self, method: &str, url: &str, body: &str) -> Reply {
        let answer = self.exchange(method, url, body);
        within(&format!("an answer to {method} {url}"), answer).await
    }

    async fn exchange(&mut self, method: &str, url: &str, body: &str) -> Reply {
        let path = url.splitn(4, '/').nth(3).unwrap();
        let kind = if method == "POST" { "Content-Type: application/jose+json\r\n" } else { "" };
        let request = format!(
            "{method} /{path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: kit\r\n{kind}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.connection.send(request).await.unwrap();
        let head = self.connection.read_head().await.unwrap();
        let field = |name| field_value(&head, name).map(str::to_owned);
        if let Some(nonce) = field("replay-nonce") {
            self.nonce = Some(nonce);
        }
        let mut body = Vec::new();
        match Framing::of(&head) {
            Framing::Length(length) if method != "HEAD" => {
                body = self.connection.read_exactly(length).await.unwrap();
            }
            Framing::Chunked => loop {
                let chunk = self.connection.read_chunk().await.unwrap();
                if chunk.is_empty() {
                    break;
                }
                body.extend(chunk);
            },
            Framing::Length(_) | Framing::UntilClose => {}
        }
        Reply {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            location: field("location").unwrap_or_default(),
            retry_after: field("retry-after"),
            body,
        }
    }

    /// A signed request, until its nonce is good.
    async fn post(&mut self, url: &str, payload: Option<&Value>) -> Reply {
        loop {
            if self.nonce.is_none() {
                let url = self.directory["newNonce"].as_str().unwrap().to_owned();
                self.send("HEAD", &url, "").await;
            }
            let body = self.signed(url, payload);
            let reply = self.send("POST", url, &body).await;
            if reply.status == 400 && reply.problem() == "badNonce" {
                self.bad_nonces += 1;
                continue;
            }
            return reply;
        }
    }

    pub(super) fn signed(&mut self, url: &str, payload: Option<&Value>) -> String {
        let nonce = self.nonce.take().unwrap();
        let mut protected = json!({ "alg": "ES256", "nonce": nonce, "url": url });
        match &self.account {
            Some(account) => protected["kid"] = account.as_str().into(),
            None => protected["jwk"] = self.jwk(),
        }
        let payload = payload.map(ToString::to_string).unwrap_or_default();
        let signed = format!(
            "{}.{}",
            encoded(protected.to_string().as_bytes()),
            encoded(payload.as_bytes())
        );
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        flattened(&signed, signature.as_ref()).to_string()
    }

    fn jwk(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let (x, y) = (encoded(&point[1..33]), encoded(&point[33..]));
        json!({ "crv": "P-256", "kty": "EC", "x": x, "y": y })
    }

    /// An account, bound to an external one if it is given.
    pub(super) async fn register(&mut self, external: Option<(&str, &[u8])>) -> Reply {
        let url = self.directory["newAccount"].as_str().unwrap().to_owned();
        let mut wanted = json!({ "termsOfServiceAgreed": true });
        if let Some((key_id, key)) = external {
            let protected = json!({ "alg": "HS256", "kid": key_id, "url": url }).to_string();
            let payload = encoded(self.jwk().to_string().as_bytes());
            let signed = format!("{}.{payload}", encoded(protected.as_bytes()));
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            let mac = hmac::sign(&key, signed.as_bytes());
            wanted["externalAccountBinding"] = flattened(&signed, mac.as_ref());
        }
        let reply = self.post(&url, Some(&wanted)).await;
        if reply.status < 300 {
            self.account = Some(reply.location.clone());
        }
        reply
    }

    pub(super) async fn order(&mut self, wanted: Value) -> Reply {
        let url = self.directory["newOrder"].as_str().unwrap().to_owned();
        self.post(&url, Some(&wanted)).await
    }

    /// Reads an object until it is in one of these states.
    async fn poll(&mut self, url: &str, until: &[&str]) -> Value {
        let mut seen = Value::Null;
        let reached = async {
            loop {
                seen = self.post(url, None).await.json();
                if until.contains(&seen["status"].as_str().unwrap()) {
                    return;
                }
                yield_now().await;
            }
        };
        if timeout(GUARD, reached).await.is_err() {
            panic!("waited {GUARD:?} for one of {until:?} in {seen}");
        }
        seen
    }

    /// All that leads from an order to its chain, which is not asked for until it is `issued`.
    pub(super) async fn obtain(
        &mut self,
        name: &str,
        order: Reply,
        door: &Forward,
        issued: impl Future<Output = ()>,
    ) -> Result<String, Value> {
        assert_eq!(order.status, 201, "{order:?}");
        let (url, order) = (order.location.clone(), order.json());
        let authorization = order["authorizations"][0].as_str().unwrap();
        let challenges = self.post(authorization, None).await.json()["challenges"].clone();
        let of_tls = |it: &&Value| it["type"] == "tls-alpn-01";
        let challenge = challenges.as_array().unwrap().iter().find(of_tls).unwrap();
        let members = self.jwk().to_string();
        let thumbprint = encoded(digest(&SHA256, members.as_bytes()).as_ref());
        let expected = format!("{}.{thumbprint}", challenge["token"].as_str().unwrap());
        let server = Responder::new(name, &expected).await;
        door.lead_to(server.address);
        let reply = self.post(challenge["url"].as_str().unwrap(), Some(&json!({}))).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let done = self.poll(authorization, &["valid", "invalid"]).await;
        if done["status"] == "invalid" {
            return Err(done);
        }
        let request = CertificateParams::new([name.to_owned()]).unwrap();
        let request = request.serialize_request(&KeyPair::generate().unwrap()).unwrap();
        let csr = json!({ "csr": encoded(request.der()) });
        let reply = self.post(order["finalize"].as_str().unwrap(), Some(&csr)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        issued.await;
        let order = self.poll(&url, &["valid", "invalid"]).await;
        assert_eq!(order["status"], "valid", "{order}");
        let reply = self.post(order["certificate"].as_str().unwrap(), None).await;
        Ok(String::from_utf8(reply.body).unwrap())
    }
}

fn flattened(signed: &str, signature: &[u8]) -> Value {
    let (protected, payload) = signed.split_once('.').unwrap();
    json!({ "protected": protected, "payload": payload, "signature": encoded(signature) })
}

/// A server that meets one TLS-ALPN-01 challenge.
struct Responder {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Responder {
    async fn new(name: &str, expected: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        let digest = digest(&SHA256, expected.as_bytes());
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest.as_ref())];
        let chain = vec![params.self_signed(&key).unwrap().der().clone()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let key = any_supported_type(&key).unwrap();
        // `with_single_cert` refuses its critical extension.
        let key = SingleCertAndKey::from(CertifiedKey::new(chain, key));
        let config = ServerConfig::builder().with_no_client_auth();
        let mut config = config.with_cert_resolver(Arc::new(key));
        config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let _ended = acceptor.accept(tcp).await;
            }
        });
        Self { address, server }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.server.abort();
    }
}
