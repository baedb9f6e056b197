//! Counters by name, for as long as something uses them.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::iter;
use std::rc::Rc;
use std::sync::Arc;

/// Counters by name. Those that nothing uses any more are kept through one reload, so that what
/// they have counted is scraped; then they are forgotten, so that their number is bounded by the
/// configuration.
#[derive(Debug)]
pub(super) struct Named<T>(RefCell<HashMap<Arc<str>, Kept<T>>>);

#[derive(Debug)]
struct Kept<T> {
    counters: Rc<T>,
    /// Nothing used them at the last reload.
    is_unused: bool,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> Named<T> {
    /// The counters with this name, or `new` ones.
    pub(super) fn get(&self, name: &str, new: impl FnOnce() -> T) -> Rc<T> {
        let mut all = self.0.borrow_mut();
        if let Some(known) = all.get(name) {
            return Rc::clone(&known.counters);
        }
        let counters = Rc::new(new());
        let kept = Kept { counters: Rc::clone(&counters), is_unused: false };
        all.insert(name.into(), kept);
        counters
    }

    /// Forgets those that nothing uses, now and at the last reload.
    pub(super) fn forget_unused(&self) {
        self.forget_unless(iter::empty());
    }

    /// The same, but keeps those whose names are `used`, of which there may be many.
    pub(super) fn forget_unless<'n>(&self, used: impl Iterator<Item = &'n str>) {
        let mut all = self.0.borrow_mut();
        let mut unused: HashSet<Arc<str>> = all.keys().cloned().collect();
        used.for_each(|name| _ = unused.remove(name));
        all.retain(|name, kept| {
            let is_unused = Rc::strong_count(&kept.counters) == 1 && unused.contains(name);
            let stays = !(is_unused && kept.is_unused);
            kept.is_unused = is_unused;
            stays
        });
    }

    /// Does something with each.
    pub(super) fn each(&self, mut act: impl FnMut(&T)) {
        self.0.borrow().values().for_each(|kept| act(&kept.counters));
    }

    /// Whether there are counters with this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.borrow().contains_key(name)
    }

    /// What `report` gives for each, with its name.
    pub(super) fn reports<R>(&self, report: impl Fn(&T) -> Option<R>) -> HashMap<Arc<str>, R> {
        let all = self.0.borrow();
        let report = |(name, kept): (&Arc<str>, &Kept<T>)| {
            report(&kept.counters).map(|report| (Arc::clone(name), report))
        };
        all.iter().filter_map(report).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_outlive_a_reload_and_are_forgotten_at_the_next_if_nothing_uses_them() {
        let all = Named::default();
        let kept = all.get("/kept/", || 1);
        drop(all.get("/removed/", || 2));
        let names = || {
            let mut numbers: Vec<_> = all.reports(|number| Some(*number)).into_values().collect();
            numbers.sort_unstable();
            numbers
        };
        all.forget_unused();
        assert_eq!(names(), [1, 2]);
        all.forget_unused();
        assert_eq!(names(), [1]);
        drop(kept);
        all.forget_unused();
        assert_eq!(*all.get("/kept/", || 3), 1, "back in time");
        all.forget_unused();
        all.forget_unused();
        assert_eq!(*all.get("/kept/", || 3), 3);
    }
}
