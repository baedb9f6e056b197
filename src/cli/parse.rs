//! Parsers of arguments, which say what is wrong as the file does.

use super::usage_error::Refused;
use crate::config::keys::top::WORKERS_RANGE;
use crate::config::lookalike;
use crate::config::problem::quoted;
use crate::config::value::{Value, rules_of};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::num::NonZeroUsize;
use std::str::FromStr;

/// Parses any [`Value`], with the same message as for the file.
pub(super) fn parse_value<T: Value>(text: &str) -> Result<T, Refused> {
    T::from_str(text).map_err(|invalid| {
        let (what, help) = lookalike::explained(text, invalid, rules_of::<T>());
        Refused { what, help }
    })
}

/// A number of worker threads.
pub(super) fn parse_workers(text: &str) -> Result<NonZeroUsize, Refused> {
    let workers = NonZeroUsize::from_str(text).ok();
    workers.filter(|workers| WORKERS_RANGE.contains(&workers.get())).ok_or_else(|| {
        let allowed = format!("{} to {} is allowed", WORKERS_RANGE.start(), WORKERS_RANGE.end());
        let is_number = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        let why = if is_number { "is out of range" } else { "is not a whole number" };
        Refused { what: format!("{} {why}", quoted(text)), help: vec![allowed] }
    })
}

/// Parses a value that is one of `names`, which the help and the message list.
pub(super) fn one_of<T>(names: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: Value + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|name| name.parse().map_err(|it: T::Err| it.what))
}
