//! What a gateway changes in a head (RFC 9110, section 7.6; RFC 9112, sections 3.2 and 6.1).
//!
//! Lines that stay are copied as they came, byte for byte and in order; a run of them is one
//! copy. Changed lines keep their place and the case of their name. A head has been parsed
//! strictly before it comes here, so a copied line cannot hold a second one.
//!
//! Not here: whether a message may be forwarded (`gateway::request`, `gateway::exchange`).

pub mod client_info;
pub mod cookie;
mod edit;
mod request;
mod response;
mod trailers;
pub mod uri_reference;

pub use request::{NewTarget, put_request_head};
pub use response::{put_final_head, put_interim_head, put_switch_head};
pub use trailers::{put_trailers, trailers_for};

#[cfg(test)]
mod tests;
