//! What a gateway decides (RFC 9110, sections 3.7 and 7), without I/O and without a clock: limits
//! of time enter by name.
//!
//! The life of an exchange, in the order in which a driver asks:
//!
//! 1. [`request`] says what a request's head asks for, [`route`] where its path leads. [`plan`]
//!    puts both together: forward the request along this route, or answer it ourselves.
//! 2. [`rewrite`] writes the head that the upstream gets.
//! 3. [`exchange`] is the state of the request and its responses, moved by what happens on the two
//!    connections. [`response`] says what a response's head means, and [`due`] which limits of time
//!    run meanwhile.
//! 4. [`rewrite`] writes the heads and the trailers that the client gets.
//! 5. [`retry`] says whether a request without a response may be sent on another connection,
//!    [`answer`] what the client gets from us if it may not, and [`own_response`] writes that.
//!
//! [`access`] says who may use a route, and with which keys it asks its upstream; [`credentials`]
//! finds the token in a request, and says where the key goes; [`client_limits`] how much one client
//! may ask for.
//!
//! [`client_address`] says which client a request comes from behind proxies that are trusted, and
//! whether its address is allowed; [`address_ranges`] is a set of addresses.
//!
//! `cross_site` recognises what a web page has its visitor's browser send.
//!
//! [`redirect`] is for plain listeners: challenges of ACME, and redirects to https.
//!
//! [`request_id`] is the id of an exchange, and [`event_stream`] counts the events of a streamed
//! response.
//!
//! [`server_name`] is for connections in tcp mode: it finds the forward for the name that a client
//! asks for.

pub mod access;
pub mod address_ranges;
pub mod answer;
pub mod client_address;
pub mod client_limits;
pub mod credentials;
mod cross_site;
pub mod due;
pub mod event_stream;
pub mod exchange;
pub mod own_response;
pub mod plan;
pub mod redirect;
pub mod request;
pub mod request_id;
pub mod response;
pub mod retry;
pub mod rewrite;
pub mod route;
pub mod server_name;
