//! Fields and parameters in which a request may have a credential besides the places where we look
//! for tokens, and fields that make another method of a request.
//!
//! Their values are not read. They do not pass where no credential of a client may.

use super::query::Parameter;
use crate::h1::field::reads_as;

/// Fields, as docs/access.md has them.
const FIELDS: [&str; 8] = [
    "cookie",
    "xi-api-key",
    "ocp-apim-subscription-key",
    "x-auth-token",
    "x-access-token",
    "x-api-token",
    "x-functions-key",
    "apikey",
];

/// Parameters of a query. Servers differ in whether their case counts.
const PARAMETERS: [&str; 6] =
    ["access_token", "api_key", "api-key", "apikey", "authorization", "subscription-key"];

const METHOD_OVERRIDES: [&str; 3] =
    ["x-http-method", "x-http-method-override", "x-method-override"];

/// Whether a field of this name may have a credential.
pub(super) fn is_other_field(name: &[u8]) -> bool {
    FIELDS.iter().any(|known| reads_as(known, name))
}

/// Whether a parameter may have a credential. `key` is not meant.
pub(super) fn is_other(parameter: &Parameter<'_>) -> bool {
    let name = parameter.name();
    PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// Whether a field of this name says that another method is meant than the request has.
pub(super) fn overrides_method(name: &[u8]) -> bool {
    METHOD_OVERRIDES.iter().any(|known| reads_as(known, name))
}
