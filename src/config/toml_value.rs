//! What a TOML value is, and a string as one.

use std::fmt::Write;
use toml::de::DeValue;

/// A basic string of TOML.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            it if it.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(it));
            }
            it => quoted.push(it),
        }
    }
    quoted + "\""
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_of_toml_holds_any_text() {
        for text in ["", "a\"b\\c", "\u{0}\n\t\u{7f}", "é\u{2028}\u{85}"] {
            let line = format!("a = {}", quoted(text));
            let table = toml::de::DeTable::parse(&line).unwrap();
            assert_eq!(table.get_ref()["a"].get_ref().as_str(), Some(text), "{line}");
        }
    }
}
