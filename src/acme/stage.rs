//! How far an order is: [`Stage`].
//!
//! | stage | request | then |
//! |---|---|---|
//! | `Directory` | the directory, if it is not known | the account, or the order if there is one |
//! | `FindAccount` | is there an account for this key? | `UpdateAccount`, or `CreateAccount` |
//! | `UpdateAccount` | its contacts, if they have changed | `CreateOrder` |
//! | `CreateAccount` | a new account | `CreateOrder` |
//! | `CreateOrder` | the order | `Authorize`; `Finalize` if all names are valid |
//! | `Authorize` | the challenges, for each name | prepares challenges; `Respond` |
//! | `Respond` | that a challenge is served, for each | `Validate` |
//! | `Validate` | the order, until the names are valid | `Finalize`, or `Explain` |
//! | `Explain` | why a name is invalid, for each | the end |
//! | `Finalize` | the certificate, for a new key | `Issue` |
//! | `Issue` | the order, until there is a certificate | `Download` |
//! | `Download` | the chain | the end |

/// What is asked for next. A number counts the names, or the challenges that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Directory,
    FindAccount,
    UpdateAccount,
    CreateAccount,
    CreateOrder,
    Authorize(usize),
    Respond(usize),
    Validate,
    Explain(usize),
    Finalize,
    Issue,
    Download,
    Ended,
}

impl Stage {
    /// Whether the CA may be validating names.
    pub(super) fn is_validation(self) -> bool {
        matches!(self, Self::Respond(_) | Self::Validate | Self::Explain(_))
    }

    /// What is asked for, after the words "the CA refused" and "asked".
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Directory => "to show its directory",
            Self::FindAccount => "to find the account",
            Self::UpdateAccount => "to change the contacts of the account",
            Self::CreateAccount => "to make an account",
            Self::CreateOrder => "to make the order",
            Self::Authorize(_) | Self::Explain(_) => "to show an authorization",
            Self::Respond(_) => "to validate a name",
            Self::Validate | Self::Issue => "to show the order",
            Self::Finalize => "to issue the certificate",
            Self::Download | Self::Ended => "to send the certificate",
        }
    }
}
