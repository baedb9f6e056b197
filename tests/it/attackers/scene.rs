//! A relay with an origin for attackers and one for honest clients.

use crate::support::siege::{BUFFER_KIB, Besieged, READ_KIB, Siege};
use crate::support::stage::OK_LAST;
use narrows_kit::origin::Origin;
use narrows_kit::pattern::pattern;
use narrows_kit::peer::Peer;
use narrows_kit::relay::{Relay, Setup};

pub const HONEST: &str = "GET /honest/ HTTP/1.1\r\nHost: a\r\n\r\n";
pub const ATTACK: &str = "GET /gpt/ HTTP/1.1\r\nHost: a\r\n\r\n";
pub const UPLOAD: &str = "POST /gpt/ HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n";
pub const CHUNKED_UPLOAD: &str =
    "POST /gpt/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A relay with an origin for attackers and one for honest clients.
pub struct Scene {
    pub relay: Besieged,
    pub attacked: Origin,
    pub honest: Origin,
}

impl Scene {
    pub async fn plain(toml: &str) -> Self {
        let (attacked, honest) = (Origin::plain().await, Origin::plain().await);
        Self::new(Relay::plain_to(&attacked), attacked, honest, toml).await
    }

    pub async fn tls(toml: &str) -> Self {
        let (attacked, honest) = (Origin::plain().await, Origin::plain().await);
        Self::new(Relay::to(&attacked), attacked, honest, toml).await
    }

    pub async fn new(setup: Setup, attacked: Origin, honest: Origin, toml: &str) -> Self {
        let route = format!(
            "[[route]]\npath = \"/honest/\"\nupstream = \"http://{}/\"\n",
            honest.address()
        );
        let relay = setup.with(&route).with(toml).await;
        let relay = Besieged::new(relay);
        let scene = Self { relay, attacked, honest };
        scene.warm_up().await;
        scene
    }

    /// So many new clients that have sent this.
    pub async fn crowd(&self, count: usize, begin: &str) -> Vec<Peer> {
        let mut crowd = Vec::new();
        for _ in 0..count {
            let mut attacker = self.relay.connect().await;
            attacker.send(begin).await;
            crowd.push(attacker);
        }
        crowd
    }

    /// A client and its upstream, with a response head between them.
    pub async fn answered(&self, head: &str) -> (Peer, Peer) {
        let mut client = self.relay.connect().await;
        client.send(ATTACK).await;
        let mut upstream = self.attacked.accept().await;
        upstream.read_head().await;
        upstream.send(head).await;
        client.read_head().await;
        (client, upstream)
    }

    /// A million chunks of one byte, each of which has to arrive.
    pub async fn pass_tiny_chunks(&self, sender: &mut Peer, receiver: &mut Peer) {
        const TOTAL: usize = 1024 * 1024;
        let content = pattern(0, TOTAL);
        let sending = async {
            for part in content.chunks(16 * 1024) {
                let mut chunks = Vec::new();
                for byte in part {
                    chunks.extend_from_slice(&[b'1', b'\r', b'\n', *byte, b'\r', b'\n']);
                }
                sender.send(chunks).await;
            }
            sender.send("0\r\n\r\n").await;
        };
        let receiving = async {
            let mut at = 0;
            loop {
                let chunk = receiver.read_chunk().await;
                if chunk.is_empty() {
                    return assert_eq!(at, TOTAL);
                }
                assert!(content[at..].starts_with(&chunk), "at {at}");
                at += chunk.len();
            }
        };
        let passing = async { tokio::join!(sending, receiving) };
        self.serve_during("chunks of one byte", READ_KIB + 2 * BUFFER_KIB, passing).await;
    }
}

impl Siege for Scene {
    fn relay(&self) -> &Besieged {
        &self.relay
    }

    async fn try_to_serve(&self) -> bool {
        let Ok(mut client) = self.relay.try_connect().await else { return false };
        if client.try_send(HONEST).await.is_err() {
            return false;
        }
        let upstream = async {
            let mut upstream = self.honest.accept().await;
            upstream.read_head().await;
            upstream.send(OK_LAST).await;
        };
        let answer = async {
            let (bytes, _) = client.read_to_end().await;
            bytes
        };
        tokio::select! {
            () = upstream => {
                assert_eq!(client.read_message().await.1, b"ok");
                client.close().await;
                true
            }
            // Nothing else ends it, or answers: the client itself has not asked for an end.
            refusal = answer => {
                assert!(refusal.is_empty() || refusal.starts_with(b"HTTP/1.1 503 "));
                false
            }
        }
    }
}
