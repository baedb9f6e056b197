//! Certificates from a CA: the protocol ACME (RFC 8555), without I/O.
//!
//! With TLS-ALPN-01 (RFC 8737), addresses (RFC 8738), renewal information (RFC 9773) and profiles.
//! No socket, clock or file is used here: requests and answers are values, and times are seconds
//! since 1970. Only keys are made from the machine's randomness.
//!
//! An [`Account`](account::Account) lasts; an [`Order`](order::Order) is for one certificate.
//! Several may be under way, because each borrows the account for a step alone:
//!
//! ```text
//! let mut account = Account::new(directory_url, key, registration);
//! let mut order = Order::new(wanted, now());
//! loop {
//!     match order.next(&mut account, now()) {
//!         Step::Request(request) => order.answer(&mut account, &send(request).await?, now()),
//!         Step::Prepare(challenge) => serve(challenge),
//!         Step::Validation(names) => note(names),
//!         Step::Validated => forget_what_was_noted(),
//!         Step::Warn(text) => log(text),
//!         Step::Wait(until) => sleep_until(until).await,
//!         Step::Done(issued) => break store(issued),
//!         Step::Failed(failure) => break retry_at(&failure, ...),
//!     }
//! }
//! ```
//!
//! If a request gets no answer, it may be sent again as it is (a nonce that was used up is
//! replaced), or the order is dropped. Challenges are served until the order ends.
//!
//! - [`message`] is what is sent and answered; [`base64url`], [`pem`] and `json` are its forms.
//! - [`account_key`] signs (`jws`), [`account`] keeps the directory, the account's URL and nonces,
//!   and `exchange` is one signed request with its repetitions.
//! - [`order`] is the state machine, for what is [`wanted`]; `step`, `stage`, `order_objects`,
//!   `validation`, [`challenge`], `certificate_key` and [`chain`] are its parts.
//! - [`failure`] says what went wrong, from a [`problem`] document where there is one.
//! - [`renewal`] and [`schedule`] say when to renew, and when to try again.

pub mod account;
pub mod account_key;
pub mod base64url;
mod certificate_key;
pub mod chain;
pub mod challenge;
mod directory;
mod exchange;
pub mod failure;
pub mod identifier;
mod json;
pub mod jws;
pub mod message;
pub mod order;
mod order_objects;
pub mod pem;
pub mod problem;
pub mod renewal;
pub mod schedule;
mod stage;
mod step;
mod validation;
pub mod wanted;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
