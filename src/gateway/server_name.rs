//! Server name to forward: which connections of a tcp listener go where.
//!
//! [`ForwardTable`] finds the first forward whose pattern matches the name that a client asked for.
//!
//! Not here: how the name is read (`preface::client_hello`), and the checks on what the operator
//! wrote (`config`).

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Which server names a forward is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    /// `*`: every name, and clients that ask for none or speak no TLS.
    Any,
    /// One name.
    Exact(Box<str>),
    /// `*.` and this: one label more, neither none nor two (RFC 9525, section 6.3).
    Below(Box<str>),
}

impl NamePattern {
    /// Whether a client that asks for `name` is meant. Letters are compared without their case,
    /// and the dot that ends an absolute name does not count (RFC 1034, section 3.1).
    pub fn matches(&self, name: Option<&str>) -> bool {
        let name = name.map(|name| name.strip_suffix('.').unwrap_or(name));
        match (self, name) {
            (Self::Any, _) => true,
            (Self::Exact(_) | Self::Below(_), None) => false,
            (Self::Exact(exact), Some(name)) => name.eq_ignore_ascii_case(exact),
            (Self::Below(parent), Some(name)) => {
                name.split_once('.').is_some_and(|(label, rest)| {
                    !label.is_empty() && rest.eq_ignore_ascii_case(parent)
                })
            }
        }
    }

    /// Whether whatever `other` matches is matched by this, too.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Exact(_) | Self::Below(_), Self::Any) | (Self::Exact(_), Self::Below(_)) => {
                false
            }
            (Self::Exact(_) | Self::Below(_), Self::Exact(name)) => self.matches(Some(name)),
            (Self::Below(one), Self::Below(two)) => one.eq_ignore_ascii_case(two),
        }
    }
}

/// Where the bytes of a connection go. `U` is the upstream: what is configured of it, or how a
/// worker dials it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardTarget<U> {
    /// To this upstream.
    Upstream(U),
    /// To the HTTP relay in this process, as a connection of the http listener that the tcp
    /// listener leads to.
    Http,
}

/// What a tcp listener does with clients that ask for certain names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward<U> {
    /// For whom.
    pub pattern: NamePattern,
    /// Where to.
    pub target: ForwardTarget<U>,
    /// The pattern as it was written, for log lines.
    pub name: Arc<str>,
}

impl<U> Forward<U> {
    /// The same forward, to what `upstream` gives for its upstream.
    pub fn map<V>(&self, upstream: impl FnOnce(&U) -> V) -> Forward<V> {
        let target = match &self.target {
            ForwardTarget::Upstream(it) => ForwardTarget::Upstream(upstream(it)),
            ForwardTarget::Http => ForwardTarget::Http,
        };
        Forward { pattern: self.pattern.clone(), target, name: Arc::clone(&self.name) }
    }
}

/// All forwards, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardTable<U> {
    forwards: Vec<Forward<U>>,
}

impl<U> ForwardTable<U> {
    /// The order matters: the first match wins.
    pub fn new(forwards: impl IntoIterator<Item = Forward<U>>) -> Self {
        Self { forwards: forwards.into_iter().collect() }
    }

    /// The first forward for a client that asks for `name`, or for none.
    pub fn find(&self, name: Option<&str>) -> Option<&Forward<U>> {
        self.forwards.iter().find(|forward| forward.pattern.matches(name))
    }

    /// Whether the name that a client asks for makes a difference. When it does not, nothing has to
    /// be heard from the client before its upstream is known.
    pub fn depends_on_name(&self) -> bool {
        self.forwards.first().is_some_and(|first| first.pattern != NamePattern::Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_name_is_matched_whatever_its_case_and_with_the_dot_of_an_absolute_name() {
        let exact = NamePattern::Exact("db.example.com".into());
        for name in ["db.example.com", "DB.Example.COM", "db.example.com."] {
            assert!(exact.matches(Some(name)), "{name}");
        }
        for name in
            ["", ".", "example.com", "a.db.example.com", "db.example.com..", "xdb.example.com"]
        {
            assert!(!exact.matches(Some(name)), "{name}");
        }
        assert!(!exact.matches(None));
    }

    #[test]
    fn a_wildcard_stands_for_one_label_and_a_star_for_everything() {
        let below = NamePattern::Below("example.com".into());
        for name in ["a.example.com", "A.EXAMPLE.com."] {
            assert!(below.matches(Some(name)), "{name}");
        }
        for name in ["example.com", ".example.com", "a.b.example.com", "aexample.com", "com"] {
            assert!(!below.matches(Some(name)), "{name}");
        }
        assert!(!below.matches(None));
        assert!(NamePattern::Any.matches(None) && NamePattern::Any.matches(Some("x")));
    }

    #[test]
    fn the_first_forward_that_matches_wins() {
        let exact = forward("a.example.com", NamePattern::Exact("a.example.com".into()));
        let below = forward("*.example.com", NamePattern::Below("example.com".into()));
        let any = forward("*", NamePattern::Any);
        let table = ForwardTable::new(vec![exact, below, any.clone()]);
        let found = |name| table.find(name).map(|forward| &*forward.name);
        assert_eq!(found(Some("a.example.com")), Some("a.example.com"));
        assert_eq!(found(Some("b.example.com")), Some("*.example.com"));
        assert_eq!(found(Some("example.com")), Some("*"));
        assert_eq!(found(None), Some("*"));
        assert!(table.depends_on_name());
        assert!(!ForwardTable::new(vec![any]).depends_on_name());
        assert_eq!(ForwardTable::<()>::new([]).find(None), None);
    }

    #[test]
    fn a_pattern_covers_those_that_can_match_nothing_beside_it() {
        let exact = |name: &str| NamePattern::Exact(name.into());
        let below = |name: &str| NamePattern::Below(name.into());
        assert!(
            NamePattern::Any.covers(&exact("a.b")) && NamePattern::Any.covers(&NamePattern::Any)
        );
        assert!(below("b.c").covers(&exact("A.B.C")) && below("b.c").covers(&below("B.C")));
        assert!(exact("a.b").covers(&exact("A.b")));
        for (one, other) in [
            (exact("a.b"), NamePattern::Any),
            (below("b"), NamePattern::Any),
            (exact("a.b"), below("b")),
            (below("b"), exact("b")),
            (below("b"), below("a.b")),
        ] {
            assert!(!one.covers(&other), "{one:?} {other:?}");
        }
    }

    fn forward(name: &str, pattern: NamePattern) -> Forward<()> {
        Forward { pattern, target: ForwardTarget::Http, name: name.into() }
    }
}
