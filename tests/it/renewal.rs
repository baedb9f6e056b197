//! Certificates, keys and roots that are replaced while the relay serves, without a signal.

use crate::support::stage::{CHUNKED, GET, OK_LAST};
use narrows_kit::certificates::{certificate_file, client_config, client_config_trusting};
use narrows_kit::client::connect_tls_with;
use narrows_kit::folder::Folder;
use narrows_kit::origin::Origin;
use narrows_kit::relay::Relay;
use narrows_kit::within;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tokio_rustls::rustls::{ALL_VERSIONS, ClientConfig};

/// How a certificate and its key are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// The files are written anew.
    InPlace,
    /// New files take the names of the old ones.
    Rename,
    /// The names are links, and lead to other files then, as those of certbot do.
    Links,
    /// The folder on the way is a link, and leads to another folder, as those of Kubernetes do.
    FolderLink,
}

/// A relay whose certificate is at `live/fullchain.pem` and `live/privkey.pem`.
struct Scene {
    how: How,
    folder: Folder,
    origin: Origin,
    relay: Relay,
}

impl Scene {
    async fn new(how: How) -> Self {
        let folder = Folder::new("renewal");
        for name in ["server", "foreign"] {
            fs::create_dir(folder.path.join(name)).unwrap();
            for (from, to) in [("pem", "fullchain.pem"), ("key", "privkey.pem")] {
                let from = certificate_file(&format!("{name}.{from}"));
                fs::copy(from, folder.path.join(name).join(to)).unwrap();
            }
        }
        match how {
            How::FolderLink => symlink("server", folder.path.join("live")).unwrap(),
            How::InPlace | How::Rename | How::Links => {
                fs::create_dir(folder.path.join("live")).unwrap();
            }
        }
        let origin = Origin::plain().await;
        if how != How::FolderLink {
            put(how, &folder.path, "server", "fullchain.pem");
            put(how, &folder.path, "server", "privkey.pem");
        }
        let live = folder.path.join("live");
        let toml = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\ncertificate = {:?}\nkey = {:?}\n\
             [[route]]\npath = \"/gpt/\"\nupstream = \"http://{}/\"\n",
            live.join("fullchain.pem"),
            live.join("privkey.pem"),
            origin.address()
        );
        let relay = Relay::start(&toml).await;
        Self { how, folder, origin, relay }
    }

    /// Replaces this file, or all of them at once.
    fn renew(&self, file: &str) {
        put(self.how, &self.folder.path, "foreign", file);
    }

    /// A client that trusts only what issued the new certificate is served.
    async fn expect_new_certificate(&self) {
        self.relay.wait_for_log("a file has changed; new connections use what it holds now").await;
        let served = async {
            // The worker hears of it at about the same time.
            while self.connect(&client_config_trusting("foreign-ca.pem")).await.is_err() {}
        };
        within("the new certificate", served).await;
        assert!(self.connect(&client_config(ALL_VERSIONS)).await.is_err());
    }

    /// Whether a client is let in, and if so, whether its session was resumed.
    async fn connect(&self, config: &Arc<ClientConfig>) -> Result<bool, String> {
        let connected = connect_tls_with(config, "localhost", self.relay.address()).await;
        let mut client = connected.map_err(|error| error.to_string())?;
        client.send("GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        client.read_message().await;
        Ok(client.is_resumed())
    }
}

/// Puts a file of `folder/{from}` where the relay reads it.
fn put(how: How, folder: &Path, from: &str, file: &str) {
    let (source, live) = (folder.join(from).join(file), folder.join("live"));
    let (place, new) = (live.join(file), live.join("new"));
    match how {
        How::InPlace => fs::write(place, fs::read(source).unwrap()).unwrap(),
        How::Rename => {
            fs::copy(source, &new).unwrap();
            fs::rename(new, place).unwrap();
        }
        How::Links => {
            symlink(source, &new).unwrap();
            fs::rename(new, place).unwrap();
        }
        How::FolderLink => {
            let new = folder.join("new");
            symlink(from, &new).unwrap();
            fs::rename(new, live).unwrap();
        }
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_clients_and_cuts_no_stream() {
    let renewed = [How::InPlace, How::Rename, How::Links, How::FolderLink].map(async |how| {
        let scene = Scene::new(how).await;
        let before = client_config(ALL_VERSIONS);
        assert_eq!(scene.connect(&before).await, Ok(false));
        let connecting = connect_tls_with(&before, "localhost", scene.relay.address());
        let mut client = connecting.await.unwrap();
        client.send(GET).await;
        let mut upstream = scene.origin.accept().await;
        upstream.read_head().await;
        upstream.send(CHUNKED).await;
        client.read_head().await;

        scene.renew("fullchain.pem");
        if how != How::FolderLink {
            scene.renew("privkey.pem");
        }
        scene.expect_new_certificate().await;
        assert_eq!(scene.connect(&before).await, Ok(true), "{how:?}: its ticket is still good");
        upstream.send("5\r\nevent\r\n0\r\n\r\n").await;
        assert_eq!(client.read_chunk().await, b"event", "{how:?}");
        assert_eq!(client.read_chunk().await, b"", "{how:?}");
    });
    let [a, b, c, d] = renewed;
    tokio::join!(a, b, c, d);
}

#[tokio::test]
async fn a_certificate_without_its_key_leaves_the_old_pair_in_place_until_the_key_comes() {
    let scene = Scene::new(How::Rename).await;
    scene.renew("fullchain.pem");
    let line = scene.relay.wait_for_log("a file has changed and cannot be used").await;
    assert!(line.contains(" WARN narrows::certificate: "), "{line}");
    assert!(line.contains("does not belong to the certificate"), "{line}");
    assert_eq!(scene.connect(&client_config(ALL_VERSIONS)).await, Ok(false));
    scene.renew("privkey.pem");
    scene.expect_new_certificate().await;
}

/// Whoever opens a pipe waits for its other end.
#[tokio::test]
async fn a_pipe_in_place_of_a_key_holds_nothing_up() {
    let scene = Scene::new(How::InPlace).await;
    let key = scene.folder.path.join("live/privkey.pem");
    fs::remove_file(&key).unwrap();
    assert!(Command::new("mkfifo").arg(&key).status().unwrap().success());
    scene.relay.wait_for_log("is not a regular file").await;
    assert_eq!(scene.connect(&client_config(ALL_VERSIONS)).await, Ok(false));
    fs::remove_file(&key).unwrap();
    scene.renew("fullchain.pem");
    scene.renew("privkey.pem");
    scene.expect_new_certificate().await;
    let (status, log) = scene.relay.stop().await;
    assert!(status.success(), "{log:#?}");
}

#[tokio::test]
async fn a_changed_file_of_roots_is_what_the_next_connection_to_the_upstream_trusts() {
    let folder = Folder::new("renewal");
    let ca = folder.path.join("ca.pem");
    fs::copy(certificate_file("ca.pem"), &ca).unwrap();
    let origin = Origin::tls_with("foreign").await;
    let relay = Relay::start(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/gpt/\"\n\
         upstream = \"https://api.openai.test/\"\nconnect = \"{}\"\nca = {ca:?}\n",
        origin.address()
    ))
    .await;
    let mut client = relay.connect().await;
    client.send(GET).await;
    assert!(origin.try_accept().await.is_err());
    assert!(client.read_message().await.0.starts_with("HTTP/1.1 502 "));
    fs::copy(certificate_file("foreign-ca.pem"), &ca).unwrap();
    relay.wait_for_log("a file has changed; new connections use what it holds now").await;
    let trusted = async {
        loop {
            client.send(GET).await;
            if let Ok(upstream) = origin.try_accept().await {
                return upstream;
            }
            // The worker hears of it at about the same time.
            client.read_message().await;
        }
    };
    let mut upstream = within("a connection that is trusted", trusted).await;
    upstream.read_head().await;
    upstream.send(OK_LAST).await;
    assert_eq!(client.read_message().await.1, b"ok");
}
