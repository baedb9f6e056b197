//! The class of a status: [`StatusClass`].

/// The class of a status (RFC 9110, section 15): its first digit, or 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatusClass(u8);

impl StatusClass {
    /// How many there are.
    pub const COUNT: usize = CLASS_NAMES.len();

    /// All of them, each at its number.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }

    /// The class of `status`, if there is one.
    pub fn of(status: Option<u16>) -> Self {
        // A status has three digits.
        Self(status.map_or(0, |status| (status / 100).min(9) as u8))
    }

    /// Its number.
    pub fn number(self) -> usize {
        usize::from(self.0)
    }

    /// The word for it; empty for none.
    pub fn name(self) -> &'static str {
        CLASS_NAMES[self.number()]
    }
}

/// RFC 9110 defines five classes. What some servers send beyond them is passed on.
const CLASS_NAMES: [&str; 10] = ["", "1xx", "2xx", "3xx", "4xx", "5xx", "6xx", "7xx", "8xx", "9xx"];
