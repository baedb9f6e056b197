//! Whose exchanges or connection it is: [`Who`].

use std::net::SocketAddr;
use std::sync::Arc;

/// A client. As large as an address alone, because few clients have a name.
#[derive(Clone, Debug)]
pub enum Who {
    /// A client at this address.
    Address(SocketAddr),
    /// One with this name in its certificate.
    Named(Box<(SocketAddr, Arc<str>)>),
}

impl Who {
    /// A client at `address`, with the name in its certificate if it has shown one.
    pub fn new(address: SocketAddr, name: Option<Arc<str>>) -> Self {
        match name {
            None => Self::Address(address),
            Some(name) => Self::Named(Box::new((address, name))),
        }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Address(address) => *address,
            Self::Named(named) => named.0,
        }
    }

    /// Its name.
    pub fn name(&self) -> Option<Arc<str>> {
        match self {
            Self::Address(_) => None,
            Self::Named(named) => Some(Arc::clone(&named.1)),
        }
    }
}

impl From<SocketAddr> for Who {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_takes_no_more_room_than_its_address() {
        assert_eq!(size_of::<Who>(), size_of::<SocketAddr>());
        let address = SocketAddr::from(([192, 0, 2, 7], 4711));
        let named = Who::new(address, Some("alice".into()));
        assert_eq!((named.address(), named.name().as_deref()), (address, Some("alice")));
        assert_eq!((Who::from(address).address(), Who::from(address).name()), (address, None));
    }
}
