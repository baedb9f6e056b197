//! What a TOML value is.

use toml::de::DeValue;

/// Where the keys of a table are.
pub(super) fn below(table: &str) -> String {
    match table {
        "" => "at the top of the file, before the first [table]".to_owned(),
        _ => format!("below {}", header(table)),
    }
}

/// What a table begins with.
pub(super) fn header(table: &str) -> String {
    match table {
        "listener" | "client" | "route" | "forward" => format!("[[{table}]]"),
        _ => format!("[{table}]"),
    }
}

/// Whether it is a table, or a list of tables.
pub(super) fn is_table(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Table(_) => true,
        DeValue::Array(items) => items.iter().next().is_some_and(|it| it.get_ref().is_table()),
        _ => false,
    }
}

/// What a value is, in the words of who does not know TOML.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
