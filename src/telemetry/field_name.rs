//! Names of fields in lines of the log: [`Name`], and [`name!`](name).

/// The name of a field with what surrounds it in text and in JSON, so that it is written at once.
pub(super) struct Name {
    pub(super) text: &'static str,
    pub(super) json: &'static str,
}

/// A [`Name`].
macro_rules! name {
    ($name:literal) => {
        &$crate::telemetry::field_name::Name {
            text: concat!(" ", $name, "="),
            json: concat!(",\"", $name, "\":"),
        }
    };
}
pub(super) use name;
