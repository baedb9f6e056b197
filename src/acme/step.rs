//! What an order wants next: [`Step`].

use super::chain::Issued;
use super::challenge::Challenge;
use super::failure::Failure;
use super::identifier::Identifier;
use super::message::Request;

/// What the caller has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send it, and give the answer to [`Order::answer`](super::order::Order::answer).
    Request(Request),
    /// Serve it until the order ends.
    Prepare(Challenge),
    /// Note that the CA validates these names from now on. It counts those that fail, whether we
    /// learn the result or not.
    Validation(Vec<Identifier>),
    /// None of them has failed.
    Validated,
    /// Tell the operator. Printable ASCII.
    Warn(String),
    /// Ask again at this time, in seconds since 1970.
    Wait(i64),
    /// The certificate. The order has ended.
    Done(Issued),
    /// There is no certificate. The order has ended.
    Failed(Failure),
}
