//! The group of the key exchange, on both sides.

use crate::support::stage::GET;
use narrows_kit::certificates::client_config_preferring;
use narrows_kit::client::connect_tls_with;
use narrows_kit::origin::Origin;
use narrows_kit::relay::Relay;
use tokio_rustls::rustls::NamedGroup;
use tokio_rustls::rustls::crypto::aws_lc_rs::kx_group::{SECP256R1, X25519, X25519MLKEM768};

#[tokio::test]
async fn a_client_gets_the_group_that_it_puts_first() {
    let relay = Relay::to(&Origin::plain().await).await;
    for group in [X25519MLKEM768, X25519, SECP256R1] {
        let config = client_config_preferring(group);
        let client = connect_tls_with(&config, "localhost", relay.address()).await.unwrap();
        assert_eq!(client.group(), Some(group.name()));
    }
}

#[tokio::test]
async fn an_upstream_is_offered_the_hybrid_group_first_unless_it_cannot_take_it() {
    for (keys, group) in
        [("", NamedGroup::X25519MLKEM768), ("key_exchange = \"classic\"\n", NamedGroup::X25519)]
    {
        let origin = Origin::tls().await;
        let relay = Relay::to(&origin).with(keys).await;
        let mut client = relay.connect().await;
        client.send(GET).await;
        assert_eq!(origin.accept().await.group(), Some(group));
    }
}
