//! The JSON schema (draft 7) of the configuration file, for editors: [`schema`].
//!
//! Names, explanations, defaults and ranges are those of the declarations (`keys::reference`).
//! Which types a key takes is found out by asking its reader, so that it cannot differ: a value of
//! each type is put into a file, and refused or not. What the schema refuses, `check` refuses as
//! well; not the other way round, because it knows neither addresses nor files.

use super::Config;
use super::keys::reference::{Declared, Form, Table, tables};
use super::toml_value::header;
use serde_json::{Map, Value, json};
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// A value of each type, and what a message calls that type.
const TYPES: [(&str, &str); 5] = [
    ("\"x\"", "a string"),
    ("1", "a number"),
    ("true", "true or false"),
    ("1979-05-27", "a date or a time"),
    ("{}", "a table"),
];
/// Texts of many forms: a key that takes one of them takes more than it lists.
const OTHER_TEXTS: [&str; 9] =
    ["x", "0", "7", "5m", "a-b", "some words", "x.example:1", "http://x.example/", "/x/"];
/// A number of ms, s, m or h.
const PERIOD: &str = "^[0-9]+(ms|s|m|h)$";

/// The schema.
pub fn schema() -> Value {
    let tables = tables();
    let mut definitions = Map::new();
    for table in tables.iter().filter(|it| !it.name.is_empty()) {
        definitions.insert(table.name.to_owned(), of_table(table, &tables));
    }
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "narrows.toml",
        "description": "The configuration of narrows.",
        "definitions": definitions,
    });
    if let (Value::Object(schema), Some(top)) = (&mut schema, tables.first()) {
        schema.extend(of_table(top, &tables).as_object().cloned().unwrap_or_default());
    }
    schema
}

/// `text` without links.
pub fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        match link.split_once("](").and_then(|(name, it)| Some((name, it.split_once(')')?.1))) {
            Some((name, after)) if !name.contains(['[', ']']) => {
                plain.extend([before, name]);
                rest = after;
            }
            _ => {
                plain.extend([before, "["]);
                rest = link;
            }
        }
    }
    plain + rest
}

fn of_table(table: &Table, tables: &[Table]) -> Value {
    let properties: Map<_, _> =
        table.keys.iter().map(|key| (key.name.to_owned(), of_key(table, key, tables))).collect();
    let required: Vec<_> =
        table.keys.iter().filter(|key| key.is_required).map(|key| key.name).collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn of_key(table: &Table, key: &Declared, tables: &[Table]) -> Value {
    let mut schema = match &key.form {
        Form::Number(range) => {
            json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() })
        }
        Form::Period => json!({ "type": "string", "pattern": PERIOD }),
        Form::Other => of_reader(table, key, tables),
    };
    // In draft 7 nothing counts beside `$ref`.
    if schema.get("$ref").is_some() {
        schema = json!({ "allOf": [schema] });
    }
    let allowed = format!("Allowed: {}", key.allowed);
    let default = format!("Default: {}", key.default_said);
    let about = [&*key.meaning, &allowed, &default].map(without_links);
    schema["description"] = json!(about.join("\n\n"));
    if let Some(value) = key.default.as_deref().and_then(json_of_toml) {
        schema["default"] = value;
    }
    schema
}

/// The types that the reader of a key takes.
fn of_reader(table: &Table, key: &Declared, tables: &[Table]) -> Value {
    let inner = dotted(table, key.name);
    let inner = tables.iter().find(|it| it.name == inner);
    let of_type = |name: &str| match (name, inner) {
        ("a string", _) => match words(table, key) {
            Some(words) => json!({ "type": "string", "enum": words }),
            None => json!({ "type": "string" }),
        },
        ("a number", _) => json!({ "type": "integer" }),
        ("true or false", _) => json!({ "type": "boolean" }),
        // Editors give dates to a schema as strings.
        ("a date or a time", _) => json!({ "type": "string" }),
        (_, Some(table)) => json!({ "$ref": format!("#/definitions/{}", table.name) }),
        (_, None) => json!({ "type": "object" }),
    };
    let takes = |value: String, kind: &str| {
        let refusals = [format!("this is {kind}, and "), "this table has single".to_owned()];
        let is_refusal = |it: &String| refusals.iter().any(|refusal| it.starts_with(refusal));
        !problems(table, key, &value).iter().any(is_refusal)
    };
    let alone = TYPES.iter().filter(|(value, kind)| takes((*value).to_owned(), kind));
    let mut types: Vec<Value> = alone.map(|(_, kind)| of_type(kind)).collect();
    if takes("[]".to_owned(), "a list") {
        let items = TYPES.iter().filter(|(value, kind)| takes(format!("[{value}]"), kind));
        let items: Vec<Value> = items.map(|(_, kind)| of_type(kind)).collect();
        types.push(json!({ "type": "array", "items": one_of(items) }));
    }
    types.dedup();
    one_of(types)
}

fn one_of(mut types: Vec<Value>) -> Value {
    if types.len() == 1 { types.remove(0) } else { json!({ "anyOf": types }) }
}

/// The words that a key takes and no others, if its declaration lists them all.
fn words(table: &Table, key: &Declared) -> Option<Vec<String>> {
    let is_word = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_alphanumeric());
    let word = |it: &str| {
        let word = it.strip_prefix("`\"")?.strip_suffix("\"`")?;
        Some(word.to_owned()).filter(|it| is_word(it))
    };
    let words: Vec<String> = key.allowed.split(", ").map(word).collect::<Option<_>>()?;
    let is_taken = |it: &str| problems(table, key, &format!("\"{it}\"")).is_empty();
    let takes_others = OTHER_TEXTS.into_iter().any(is_taken);
    (words.iter().all(|it| is_taken(it)) && !takes_others).then_some(words)
}

/// What is wrong with a key of this value in an otherwise empty file.
fn problems(table: &Table, key: &Declared, value: &str) -> Vec<String> {
    let line = format!("{} = {value}", key.name);
    let text = match table.name.split_once('.') {
        _ if table.name.is_empty() => line,
        // The only list of tables in a table.
        Some((outer, inner @ "certificates")) => {
            format!("{}\n{inner} = [{{ {line} }}]", header(outer))
        }
        Some((outer, inner)) => format!("{}\n{inner} = {{ {line} }}", header(outer)),
        None => format!("{}\n{line}", header(table.name)),
    };
    let name = dotted(table, key.name);
    match Config::parse("narrows.toml", Path::new(""), &text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems
            .iter()
            .filter(|it| it.location.name() == name)
            .map(|it| it.what.clone())
            .collect(),
    }
}

fn dotted(table: &Table, key: &str) -> String {
    if table.name.is_empty() { key.to_owned() } else { format!("{}.{key}", table.name) }
}

/// The value that a text in TOML is.
fn json_of_toml(value: &str) -> Option<Value> {
    let text = format!("value = {value}");
    let table = DeTable::parse(&text).ok()?;
    table.get_ref().get("value").map(|it| json_of(it.get_ref()))
}

/// The value in JSON, as editors give it to a schema.
fn json_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => json!(text),
        DeValue::Integer(number) => {
            json!(i64::from_str_radix(number.as_str(), number.radix()).unwrap_or_default())
        }
        DeValue::Float(number) => json!(number.as_str().parse::<f64>().unwrap_or_default()),
        DeValue::Boolean(is) => json!(is),
        DeValue::Datetime(time) => json!(time.to_string()),
        DeValue::Array(items) => items.iter().map(|it| json_of(it.get_ref())).collect(),
        DeValue::Table(table) => json_of_table(table),
    }
}

/// A table, or a whole document, in JSON.
fn json_of_table(table: &DeTable<'_>) -> Value {
    let entries = table.iter();
    Value::Object(
        entries.map(|(key, it)| (key.get_ref().to_string(), json_of(it.get_ref()))).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{env, fs};

    const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

    /// `UPDATE_MANUAL=1 cargo test --lib the_manual the_schema` rewrites it.
    #[test]
    fn the_schema_in_the_packages_is_that_of_the_declarations() {
        let file = format!("{FOLDER}/packaging/narrows.schema.json");
        let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        if env::var_os("UPDATE_MANUAL").is_some() {
            fs::write(&file, &text).unwrap();
        }
        let written = fs::read_to_string(&file).unwrap_or_default();
        assert!(written == text, "UPDATE_MANUAL=1 cargo test --lib the_schema rewrites {file}");
    }

    #[test]
    fn every_example_that_check_accepts_fits_the_schema() {
        let (schema, mut count) = (schema(), 0);
        for (name, text) in examples() {
            if Config::parse("f", Path::new(""), &text).is_err() {
                continue;
            }
            count += 1;
            let document = DeTable::parse(&text).unwrap();
            let value = json_of_table(document.get_ref());
            assert_eq!(faults(&schema, &schema, &value), [""; 0], "{name}: {text}");
        }
        assert!(count > 10, "{count}");
    }

    #[test]
    fn mistakes_do_not_fit_the_schema() {
        let schema = schema();
        for (text, why) in [
            ("worker = 2", "worker: unknown"),
            ("workers = 0", "workers: below the minimum"),
            ("workers = 257", "workers: above the maximum"),
            ("workers = \"2\"", "workers: not integer"),
            ("[[listener]]\naddress = 443", "address: none of the types"),
            ("[[listener]]\nmode = \"https\"", "mode: not in the list"),
            ("[[listener]]\nredirect = \"yes\"", "redirect: not boolean"),
            ("[listener]\naddress = \":443\"", "listener: not array"),
            ("[[route]]\npath = \"/\"", "upstream: missing"),
            ("[timeouts]\nconnect = \"5 s\"", "connect: not of the pattern"),
            ("[timeouts]\nto_client = { reed = \"5s\" }", "reed: unknown"),
            ("[log]\nlevel = \"warning\"", "level: not in the list"),
        ] {
            let document = DeTable::parse(text).unwrap();
            let faults = faults(&schema, &schema, &json_of_table(document.get_ref()));
            assert!(faults.iter().any(|it| it == why), "{text}: {faults:?}");
        }
    }

    #[test]
    fn links_become_text() {
        assert_eq!(without_links("a [b](c#d), `[e]` [f](g)."), "a b, `[e]` f.");
        assert_eq!(without_links("`[[listener]]` [a][b] ["), "`[[listener]]` [a][b] [");
    }

    /// Names and texts: every TOML in the documents, the shipped file, and the fuzzer's inputs.
    fn examples() -> Vec<(String, String)> {
        let mut files = Vec::new();
        for folder in ["", "docs", "docs/guide", "packaging", "fuzz/corpus/config", "tests/import"]
        {
            let entries = fs::read_dir(Path::new(FOLDER).join(folder)).into_iter().flatten();
            files.extend(entries.map(|it| it.unwrap().path()).filter(|it| it.is_file()));
        }
        let mut examples = Vec::new();
        for file in files {
            let Ok(text) = fs::read_to_string(&file) else { continue };
            let name = file.display().to_string();
            if file.extension().is_some_and(|it| it == "md") {
                let blocks = text.split("```toml\n").skip(1);
                let blocks = blocks.map(|it| it.split("```").next().unwrap().to_owned());
                examples.extend(blocks.map(|it| (name.clone(), it)));
            } else {
                examples.push((name, text.trim_start_matches('\u{feff}').to_owned()));
            }
        }
        examples
    }

    /// Where `value` does not fit. Knows the words that the schema uses, and no others.
    fn faults(whole: &Value, schema: &Value, value: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        for (word, rule) in schema.as_object().unwrap() {
            match word.as_str() {
                "$schema" | "title" | "description" | "definitions" | "default" => {}
                "$ref" => {
                    let name = rule.as_str().unwrap().strip_prefix("#/definitions/").unwrap();
                    faults.extend(self::faults(whole, &whole["definitions"][name], value));
                }
                "type" => {
                    let is = match rule.as_str().unwrap() {
                        "object" => value.is_object(),
                        "array" => value.is_array(),
                        "string" => value.is_string(),
                        "integer" => value.is_i64(),
                        "boolean" => value.is_boolean(),
                        other => unreachable!("{other}"),
                    };
                    faults.extend((!is).then(|| format!("not {}", rule.as_str().unwrap())));
                }
                "enum" => {
                    let is = rule.as_array().unwrap().contains(value);
                    faults.extend((!is).then(|| "not in the list".to_owned()));
                }
                "minimum" => {
                    let is = value.as_i64() >= rule.as_i64();
                    faults.extend((!is).then(|| "below the minimum".to_owned()));
                }
                "maximum" => {
                    let is = value.as_i64() <= rule.as_i64();
                    faults.extend((!is).then(|| "above the maximum".to_owned()));
                }
                "pattern" => {
                    assert_eq!(rule, PERIOD);
                    faults.extend((!is_period(value)).then(|| "not of the pattern".to_owned()));
                }
                "anyOf" => {
                    let fits = |it| self::faults(whole, it, value).is_empty();
                    let is = rule.as_array().unwrap().iter().any(fits);
                    faults.extend((!is).then(|| "none of the types".to_owned()));
                }
                "allOf" => {
                    let all = rule.as_array().unwrap().iter();
                    faults.extend(all.flat_map(|it| self::faults(whole, it, value)));
                }
                "items" => {
                    let items = value.as_array().into_iter().flatten();
                    faults.extend(items.flat_map(|it| self::faults(whole, rule, it)));
                }
                "properties" | "required" | "additionalProperties" => {
                    faults.extend(faults_of_keys(whole, word, schema, value));
                }
                other => unreachable!("{other}"),
            }
        }
        faults
    }

    fn faults_of_keys(whole: &Value, word: &str, schema: &Value, value: &Value) -> Vec<String> {
        let Some(table) = value.as_object() else { return Vec::new() };
        let properties = schema["properties"].as_object().unwrap();
        match word {
            "required" => {
                let names = schema["required"].as_array().unwrap().iter();
                let names = names.map(|it| it.as_str().unwrap());
                names
                    .filter(|it| !table.contains_key(*it))
                    .map(|it| format!("{it}: missing"))
                    .collect()
            }
            "additionalProperties" => {
                let names = table.keys().filter(|it| !properties.contains_key(*it));
                names.map(|it| format!("{it}: unknown")).collect()
            }
            _ => {
                let known =
                    table.iter().filter_map(|(key, it)| Some((key, properties.get(key)?, it)));
                let within = |fault: String, key: &str| {
                    if fault.contains(": ") { fault } else { format!("{key}: {fault}") }
                };
                let faults = known.flat_map(|(key, schema, value)| {
                    let faults = faults(whole, schema, value).into_iter();
                    faults.map(move |it| within(it, key)).collect::<Vec<_>>()
                });
                faults.collect()
            }
        }
    }

    fn is_period(value: &Value) -> bool {
        let text = value.as_str().unwrap_or_default();
        let unit = text.trim_start_matches(|it: char| it.is_ascii_digit());
        unit.len() < text.len() && ["ms", "s", "m", "h"].contains(&unit)
    }
}
