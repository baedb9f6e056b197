//! Which of the certificates is next: [`first_due`].

use crate::acme::identifier::Identifier;
use crate::control::acme::entry::{Entry, Task};

/// What is due first, when, and for which entry, of what can be begun. A name is not ordered twice
/// at one time: its challenges would be mistaken for each other.
pub(super) fn first_due(entries: &[Entry]) -> Option<(usize, (i64, Task))> {
    let ordered = entries.iter().filter(|it| it.busy == Some(Task::Order));
    let ordered: Vec<&Identifier> = ordered.flat_map(|it| &it.names).collect();
    let is_free = |entry: &Entry| {
        entry.busy.is_none() && !entry.names.iter().any(|name| ordered.contains(&name))
    };
    let free = entries.iter().enumerate().filter(|(_, entry)| is_free(entry));
    free.map(|(number, entry)| (number, entry.next())).min_by_key(|(_, (at, _))| *at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::managed::ManagedCertificate;
    use crate::config::problem::Location;

    #[test]
    fn what_is_due_first_is_begun_but_no_name_is_ordered_twice_at_one_time() {
        let entry = |names: &[&str], due| {
            let managed = ManagedCertificate {
                names: names.iter().map(|it| it.parse().unwrap()).collect(),
                file: names.join("-").into(),
                location: Location::Argument("--domain"),
                stored: None,
                is_unreadable: false,
                stand_ins: Vec::new(),
                awaited: Vec::new(),
            };
            Entry::new(&managed, due, 0)
        };
        let mut entries =
            [entry(&["a.example", "b.example"], 5), entry(&["b.example"], 7), entry(&["c"], 9)];
        assert_eq!(first_due(&entries), Some((0, (5, Task::Order))));
        entries[0].busy = Some(Task::AskRenewal);
        assert_eq!(first_due(&entries), Some((1, (7, Task::Order))));
        entries[0].busy = Some(Task::Order);
        assert_eq!(first_due(&entries), Some((2, (9, Task::Order))));
        entries[2].busy = Some(Task::Order);
        assert_eq!(first_due(&entries), None);
    }
}
