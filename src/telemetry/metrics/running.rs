//! What runs on one route or of one client: a [`RunningList`].

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// What runs on one route or of one client: exchanges, or connections in tcp mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Running {
    /// How many.
    pub count: usize,
    /// The age of the one that has been there the longest.
    pub oldest: Duration,
}

/// What runs on one route or of one client, in the order in which it came. To enter, to leave and
/// to report take the same time however many there are.
#[derive(Debug, Default)]
pub(in crate::telemetry) struct RunningList(RefCell<Ring>);

/// What has a list of what runs.
pub(in crate::telemetry) trait Runs {
    /// The list.
    fn running(&self) -> &RunningList;
}

/// One that runs on a route or of a client, until it is dropped.
#[derive(Debug)]
pub(in crate::telemetry) struct Entered<T: Runs> {
    of: Rc<T>,
    began: Instant,
    place: Place,
}

/// A place in the ring.
type Place = u32;

/// A doubly linked list. The first place is both ends of it: the longest there follows it, and the
/// latest comes before it.
#[derive(Debug, Default)]
struct Ring {
    links: Vec<Link>,
    count: usize,
    /// The first of the free places, each with the next; 0 for none.
    free: Place,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    began: Instant,
    before: Place,
    next: Place,
}

impl Running {
    /// Adds those of another worker or route.
    pub(super) fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.oldest = self.oldest.max(other.oldest);
    }
}

impl RunningList {
    /// What runs, `None` if nothing does.
    pub(super) fn report(&self, now: Instant) -> Option<Running> {
        let ring = self.0.borrow();
        let oldest = now.duration_since(ring.longest_there()?);
        Some(Running { count: ring.count, oldest })
    }
}

impl<T: Runs> Entered<T> {
    /// One that `began` then comes to `of`.
    pub(in crate::telemetry) fn new(of: Rc<T>, began: Instant) -> Self {
        let place = of.running().0.borrow_mut().enter(began);
        Self { of, began, place }
    }

    /// When it began.
    pub(in crate::telemetry) fn began(&self) -> Instant {
        self.began
    }
}

impl<T: Runs> Deref for Entered<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.of
    }
}

impl<T: Runs> Drop for Entered<T> {
    fn drop(&mut self) {
        self.of.running().0.borrow_mut().leave(self.place);
    }
}

impl Ring {
    fn enter(&mut self, began: Instant) -> Place {
        if self.links.is_empty() {
            self.links.push(Link { began, before: 0, next: 0 });
        }
        let place = self.free_place(began);
        self.link(self.links[0].before, place);
        self.link(place, 0);
        self.count += 1;
        place
    }

    fn free_place(&mut self, began: Instant) -> Place {
        if self.free == 0 {
            self.links.push(Link { began, before: 0, next: 0 });
            return (self.links.len() - 1) as Place;
        }
        let link = &mut self.links[self.free as usize];
        link.began = began;
        std::mem::replace(&mut self.free, link.next)
    }

    fn leave(&mut self, place: Place) {
        let Link { before, next, .. } = self.links[place as usize];
        self.link(before, next);
        self.count -= 1;
        self.links[place as usize].next = self.free;
        self.free = place;
    }

    fn link(&mut self, one: Place, next: Place) {
        self.links[one as usize].next = next;
        self.links[next as usize].before = one;
    }

    /// When the one began that has been there the longest.
    fn longest_there(&self) -> Option<Instant> {
        let first = self.links.first()?.next;
        (first != 0).then(|| self.links[first as usize].began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[derive(Default)]
    struct Here(RunningList);

    impl Runs for Here {
        fn running(&self) -> &RunningList {
            &self.0
        }
    }

    /// Against a queue that is searched, with the choices of a generator.
    #[test]
    fn whoever_leaves_first_the_one_that_has_been_there_the_longest_is_known() {
        let (place, begun) = (Rc::new(Here::default()), Instant::now());
        let (mut there, mut state, mut most) = (VecDeque::new(), 1_u32, 0);
        for second in 0..4000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let now = begun + Duration::from_secs(second);
            // Grows to some hundreds, and then shrinks to nothing.
            let enters = (state >> 24) < if second < 2000 { 150 } else { 80 };
            if enters {
                there.push_back(Entered::new(Rc::clone(&place), now));
            } else if !there.is_empty() {
                let _left = there.remove(state as usize % there.len());
            }
            most = most.max(there.len());
            let oldest = there.front().map(|it: &Entered<Here>| now.duration_since(it.began()));
            let want = oldest.map(|oldest| Running { count: there.len(), oldest });
            assert_eq!(place.0.report(now), want);
        }
        assert!(most > 100, "{most}");
        let kept = place.0.0.borrow().links.len();
        assert_eq!(kept, most + 1, "a place that is free is used again");
    }
}
