//! Why a name has no address: [`LookupFault`].

/// What the system's resolver said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupFault {
    /// There is no such name, or nothing of the wanted family under it.
    Unknown,
    /// There is such a name, and it has no address of the wanted family.
    NoAddress,
    /// No nameserver gave an answer, or each said that it cannot answer now.
    Unavailable,
    /// The lookup failed in another way, on this machine.
    Failed,
}

impl LookupFault {
    /// The word for the log.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Unknown => "name_unknown",
            Self::NoAddress => "no_address",
            Self::Unavailable => "resolver_unavailable",
            Self::Failed => "resolver_failed",
        }
    }
}
