//! Why a name has no address: [`LookupFault`].

/// What the system's resolver said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupFault {
    /// The name does not exist, or has no record of the wanted family.
    Unknown,
    /// The name exists, but has no address of the wanted family.
    NoAddress,
    /// No nameserver answered, or all of them failed for now.
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
