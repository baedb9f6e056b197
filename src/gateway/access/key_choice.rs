//! Which of several keys a request gets, and what follows if the API refuses one.
//!
//! The first key is used for as long as it works, so that the API's caches of prompts stay warm. If
//! the API refuses it, the request goes to the next one:
//!
//! | status | the key is not used | if |
//! |---|---|---|
//! | 429 | for as long as `Retry-After` says | |
//! | 429 without it | for [`KEY_REST`] | there is another one |
//! | 401, 402, 403 | until a reload, or its file changes | the next one is not refused |
//!
//! The conditions are there because a request may be at fault: too large for any key, for a model
//! that none may use, with a field that the API takes for a credential. One client must not turn
//! the keys off for all.
//!
//! A route with one key uses it whatever the API says: there is no better one, and a limit may be
//! that of one model. Other statuses, such as 503 and 529, say nothing about a key.

use super::api_keys::Place;
use super::{ApiKey, ApiKeys};
use crate::limits::{KEY_REST, KEY_REST_MAX};
use core::mem::{replace, take};

/// Why an API refuses a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRefusal {
    /// It is over its limits, for so many seconds, if it is said.
    Busy(Option<u64>),
    /// It is not valid, not paid for, or may not do this; or the request is at fault.
    Invalid,
}

/// The key that a request has, and those that it was refused with.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyTurn {
    /// The current one; none: the request has none of several keys.
    current: Place,
    /// The one that it is to be sent with once more.
    next: Place,
    /// The last one that was refused, unless it is over its limits.
    suspect: Place,
}

/// What a refusal changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The line of the key in its file.
    pub line: u32,
    /// For how many seconds it is not used; `None`: until a reload, or until its file changes.
    pub rests: Option<u64>,
}

impl KeyRefusal {
    /// What a final response with this status says about the key. `retry_after` is in seconds.
    pub fn of(status: u16, retry_after: impl FnOnce() -> Option<u64>) -> Option<Self> {
        match status {
            429 => {
                let seconds = retry_after();
                Some(Self::Busy(seconds.map(|it| it.clamp(1, KEY_REST_MAX.as_secs()))))
            }
            401..=403 => Some(Self::Invalid),
            _ => None,
        }
    }
}

impl KeyTurn {
    /// A request with this key, if it has one of several.
    pub fn with(keys: Option<&ApiKeys>, key: Option<&ApiKey>) -> Self {
        let current = keys.filter(|keys| keys.are_several()).and(key);
        Self { current: current.map_or(0, |key| key.place), ..Self::default() }
    }

    /// Whether the request may have to be sent with another key.
    pub fn may_go_on(&self) -> bool {
        self.current != 0
    }

    /// The head of a final response is here, which refuses the key, or does not. `has_copy`: the
    /// request can be sent once more. Says what has changed about a key.
    pub fn answered(
        &mut self,
        keys: &ApiKeys,
        refusal: Option<KeyRefusal>,
        has_copy: bool,
        clock: impl Fn() -> u64,
    ) -> Option<Refused> {
        let key = keys.at(self.current)?;
        if refusal.is_none() {
            return self.accepted(keys);
        }
        // In the order of the file, so that none is tried twice.
        let next = keys.usable_behind(key.place, &clock);
        self.next = next.filter(|_| has_copy).map_or(0, |next| next.place);
        match refusal? {
            KeyRefusal::Invalid => {
                self.suspect = key.place;
                None
            }
            KeyRefusal::Busy(None) if next.is_none() => None,
            KeyRefusal::Busy(seconds) => {
                let seconds = seconds.unwrap_or(KEY_REST.as_secs());
                let begins = key.rest_for(seconds, &clock);
                begins.then_some(Refused { line: key.line, rests: Some(seconds) })
            }
        }
    }

    /// The key that the request is to be sent with once more, and the one that it had.
    pub fn next<'k>(&mut self, keys: &'k ApiKeys) -> Option<[&'k ApiKey; 2]> {
        let next = keys.at(take(&mut self.next))?;
        let before = keys.at(replace(&mut self.current, next.place))?;
        Some([before, next])
    }

    /// Whether the request is to be sent with another key.
    pub fn is_to_go_on(&self) -> bool {
        self.next != 0
    }

    /// This key is not refused, so the one before it was at fault, not the request.
    fn accepted(&mut self, keys: &ApiKeys) -> Option<Refused> {
        let key = keys.at(take(&mut self.suspect))?;
        key.put_out().then_some(Refused { line: key.line, rests: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use core::cell::Cell;

    const BUSY: Option<KeyRefusal> = Some(KeyRefusal::Busy(Some(100)));
    const UNSAID: Option<KeyRefusal> = Some(KeyRefusal::Busy(None));
    const INVALID: Option<KeyRefusal> = Some(KeyRefusal::Invalid);

    /// Keys in the lines from 1, and a clock.
    struct Stage {
        keys: ApiKeys,
        now: Cell<u64>,
    }

    impl Stage {
        fn new(count: u8) -> Self {
            let key = |it: u8| (it.into(), Vec::from([b'a' + it]).into());
            let keys = ApiKeys::new((1..=count).map(key).collect()).unwrap();
            Self { keys, now: Cell::new(1000) }
        }

        fn line(&self) -> u32 {
            self.keys.in_use(|| self.now.get()).unwrap().line
        }

        fn rest(&self) -> Option<u64> {
            self.keys.rest(|| self.now.get())
        }

        /// The lines that a request is sent with, if it is answered like this.
        fn lines(&self, answers: &[Option<KeyRefusal>]) -> Vec<u32> {
            let key = self.keys.in_use(|| self.now.get()).unwrap();
            let mut turn = KeyTurn::with(Some(&self.keys), Some(key));
            let mut lines = Vec::from([key.line]);
            for answer in answers {
                turn.answered(&self.keys, *answer, true, || self.now.get());
                assert_eq!(turn.is_to_go_on(), turn.next != 0);
                lines.extend(turn.next(&self.keys).map(|[_, next]| next.line));
            }
            lines
        }
    }

    #[test]
    fn the_first_key_is_used_until_it_is_refused_and_again_when_it_has_rested() {
        let stage = Stage::new(2);
        assert_eq!(stage.lines(&[None]), [1]);
        assert_eq!(stage.lines(&[BUSY, None]), [1, 2]);
        assert_eq!((stage.line(), stage.rest()), (2, None));
        stage.now.set(1099);
        assert_eq!(stage.line(), 2);
        stage.now.set(1100);
        assert_eq!(stage.line(), 1);
    }

    #[test]
    fn of_keys_that_all_rest_the_one_that_is_usable_first_is_used() {
        let stage = Stage::new(2);
        assert_eq!(stage.lines(&[BUSY, Some(KeyRefusal::Busy(Some(50)))]), [1, 2]);
        assert_eq!((stage.line(), stage.rest()), (2, Some(50)));
        stage.now.set(1050);
        assert_eq!((stage.line(), stage.rest()), (2, None));
    }

    #[test]
    fn a_key_is_out_if_the_next_one_is_not_refused() {
        let stage = Stage::new(3);
        assert_eq!(stage.lines(&[INVALID, None]), [1, 2]);
        assert_eq!((stage.line(), stage.rest()), (2, None));
        assert_eq!(stage.lines(&[INVALID, None]), [2, 3]);
        assert_eq!(stage.line(), 3);
        assert_eq!(stage.lines(&[INVALID]), [3]);
        assert_eq!((stage.line(), stage.rest()), (3, None), "there is no better one");
    }

    #[test]
    fn a_request_that_is_at_fault_turns_no_key_off() {
        let stage = Stage::new(3);
        assert_eq!(stage.lines(&[INVALID, INVALID, INVALID]), [1, 2, 3]);
        assert_eq!(stage.line(), 1);
        assert_eq!(stage.lines(&[INVALID, INVALID, UNSAID]), [1, 2, 3]);
        assert_eq!(stage.line(), 1);
        let again = UNSAID;
        assert_eq!(stage.lines(&[again, again, again]), [1, 2, 3]);
        assert_eq!((stage.line(), stage.rest()), (3, None), "the last one is not at rest");
        stage.now.set(1060);
        assert_eq!(stage.line(), 1);
    }

    #[test]
    fn a_request_without_a_copy_goes_to_no_other_key_but_the_next_one_does() {
        let stage = Stage::new(2);
        let key = stage.keys.in_use(|| 0);
        let mut turn = KeyTurn::with(Some(&stage.keys), key);
        assert!(turn.may_go_on());
        let refused = turn.answered(&stage.keys, BUSY, false, || stage.now.get());
        assert_eq!(refused, Some(Refused { line: 1, rests: Some(100) }));
        assert!(!turn.is_to_go_on() && turn.next(&stage.keys).is_none());
        assert_eq!(stage.line(), 2);
    }

    #[test]
    fn what_many_requests_find_out_at_once_is_said_once() {
        let stage = Stage::new(2);
        let key = stage.keys.in_use(|| 0);
        let mut turns = [KeyTurn::with(Some(&stage.keys), key); 2];
        let mut said = |refusal| {
            turns.each_mut().map(|it| it.answered(&stage.keys, refusal, true, || 1000).is_some())
        };
        assert_eq!(said(BUSY), [true, false]);
    }

    #[test]
    fn a_sole_key_is_used_whatever_the_api_says() {
        let stage = Stage::new(1);
        assert!(!KeyTurn::with(Some(&stage.keys), stage.keys.in_use(|| 0)).may_go_on());
        assert_eq!(stage.lines(&[BUSY, INVALID]), [1]);
        assert_eq!((stage.line(), stage.rest()), (1, None));
    }

    #[test]
    fn statuses_that_are_not_about_the_key_refuse_none() {
        let of = |status, seconds| KeyRefusal::of(status, || seconds);
        assert_eq!(of(429, Some(3)), Some(KeyRefusal::Busy(Some(3))));
        assert_eq!(of(429, Some(0)), Some(KeyRefusal::Busy(Some(1))));
        assert_eq!(of(429, None), UNSAID);
        assert_eq!(of(429, Some(u64::MAX)), Some(KeyRefusal::Busy(Some(86_400))));
        assert_eq!([401, 402, 403].map(|status| of(status, None)), [INVALID; 3]);
        for other in [200, 400, 404, 408, 500, 502, 503, 504, 529] {
            assert_eq!(of(other, Some(3)), None, "{other}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_ends_the_rest() {
        let stage = Stage::new(2);
        stage.lines(&[BUSY]);
        stage.now.set(0);
        assert_eq!(stage.line(), 2);
        let far = Stage::new(2);
        far.now.set(1_000_000);
        far.lines(&[BUSY]);
        far.now.set(1000);
        assert_eq!(far.line(), 1);
    }

    #[test]
    fn a_new_file_keeps_the_rest_of_its_keys_and_forgives_those_that_were_out() {
        let stage = Stage::new(3);
        stage.lines(&[BUSY, None]);
        stage.lines(&[INVALID, None]);
        let new = Stage::new(3);
        new.keys.rest_as(&stage.keys);
        assert_eq!(new.line(), 2);
        assert_eq!(stage.line(), 3);
        stage.keys.forgive();
        assert_eq!(stage.line(), 2);
    }
}
