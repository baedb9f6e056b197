//! Lists of tables, `[[key]]`, read one after the other.

use super::table::{Entry, Reader, Table};
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// The result of `read` for every `[[key]]`. An empty list is a problem.
pub(super) fn tables<T>(entry: Entry<'_, '_>, read: fn(&mut Reader, Table<'_>) -> T) -> Vec<T> {
    let mut tables = Vec::new();
    each_table(entry, |reader, table| tables.push(read(reader, table)));
    tables
}

/// How many `[[key]]` there are.
pub(super) fn table_count(entry: &Entry<'_, '_>) -> usize {
    let items = entry.value.get_ref().as_array().into_iter().flat_map(|it| it.iter());
    items.map(|it| entry.reader.places.run_len(it.span().start)).sum()
}

/// Calls `read` for every `[[key]]`. An empty list is a problem.
pub(super) fn each_table(entry: Entry<'_, '_>, mut read: impl FnMut(&mut Reader, Table<'_>)) {
    let Entry { location, reader, name, value } = entry;
    let help = format!("write [[{name}]], with double brackets");
    let items = match value.get_ref() {
        DeValue::Array(_) => match value.into_inner() {
            DeValue::Array(items) => items,
            _ => DeArray::new(),
        },
        // Its keys may be wrong, too.
        DeValue::Table(_) => {
            let what = "this table has single brackets";
            reader.problems.add_with_help(&location, what, [help.clone()]);
            DeArray::from_iter([value])
        }
        other => {
            reader.wrong_type(&location, other, "a list of tables", help);
            return;
        }
    };
    if items.is_empty() {
        let what = format!("there is none; at least one [[{name}]] is needed");
        reader.problems.add(&location, what);
    }
    let mut tables = Vec::new();
    for item in items {
        let place = item.span();
        match item.into_inner() {
            DeValue::Table(entries) => {
                tables.push(Table { name: Arc::clone(&name), place, entries });
            }
            other => reader.wrong_type(&location, &other, "a table", help.clone()),
        }
    }
    tables.into_iter().for_each(|table| read_run(reader, table, &mut read));
}

/// Calls `read` for a table, or for each of the run that it stands for.
fn read_run(reader: &mut Reader, table: Table<'_>, read: &mut impl FnMut(&mut Reader, Table<'_>)) {
    let text = Arc::clone(reader.places.text());
    let Some(run) = reader.places.run_at(table.place.start, text.as_str()) else {
        return read(reader, table);
    };
    reader.is_torn |= !table.entries.is_empty();
    for part in run {
        let (mut document, errors) = DeTable::parse_recoverable(&text.as_str()[part.clone()]);
        reader.places.enter(part.start);
        let value = document.get_mut().remove_entry(&*table.name).map(|(_, value)| value);
        reader.is_torn |= !errors.is_empty();
        if let Some(DeValue::Array(items)) = value.map(Spanned::into_inner) {
            for (place, item) in items.into_iter().map(|it| (it.span(), it.into_inner())) {
                if let DeValue::Table(entries) = item {
                    read(reader, Table { name: Arc::clone(&table.name), place, entries });
                }
            }
        }
    }
    reader.places.leave();
}
