//! What a gateway decides (RFC 9110, sections 3.7 and 7): where a request goes, what of its head is
//! changed, how its response travels, and which connection may be used again. No I/O and no clock.

pub mod answer;
pub mod due;
pub mod exchange;
pub mod own_response;
pub mod plan;
pub mod request;
pub mod response;
pub mod retry;
pub mod rewrite;
pub mod route;
pub mod server_name;
