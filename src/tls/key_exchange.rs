//! Which groups are offered for the key exchange: [`KeyExchange`].

/// What an upstream is offered for the key exchange (RFC 8446, section 4.2.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyExchange {
    /// X25519MLKEM768 first: what is recorded today is safe from the quantum computers of tomorrow.
    /// The `ClientHello` has some 1,540 bytes, which is more than one packet.
    #[default]
    Hybrid,
    /// Only elliptic curves, for a middlebox that drops a `ClientHello` of two packets.
    Classic,
}
