//! Whose exchanges or connection it is: [`Who`].

use std::net::SocketAddr;
use std::sync::Arc;

/// A client. As large as an address alone, because few have more.
#[derive(Clone, Debug)]
pub enum Who {
    /// A client at this address.
    Address(SocketAddr),
    /// One of which more is known.
    Known(Box<Facts>),
}

/// What is known of some clients.
#[derive(Clone, Debug)]
pub struct Facts {
    address: SocketAddr,
    /// The name in its certificate.
    name: Option<Arc<str>>,
    /// The trusted proxy that it comes through.
    proxy: Option<SocketAddr>,
}

impl Who {
    /// A client at `address`, with the name in its certificate if it has shown one.
    pub fn new(address: SocketAddr, name: Option<Arc<str>>) -> Self {
        match name {
            None => Self::Address(address),
            Some(_) => Self::Known(Box::new(Facts { address, name, proxy: None })),
        }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Address(address) => *address,
            Self::Known(facts) => facts.address,
        }
    }

    /// Its name.
    pub fn name(&self) -> Option<Arc<str>> {
        match self {
            Self::Address(_) => None,
            Self::Known(facts) => facts.name.clone(),
        }
    }

    /// The trusted proxy that it comes through.
    pub fn proxy(&self) -> Option<SocketAddr> {
        match self {
            Self::Address(_) => None,
            Self::Known(facts) => facts.proxy,
        }
    }

    /// The other end of its connection: the client itself, or the proxy.
    pub fn peer(&self) -> SocketAddr {
        self.proxy().unwrap_or(self.address())
    }

    /// The exchange that begins is of `client`, of whom the other end of the connection speaks, or
    /// which it is.
    pub fn speaks_for(&mut self, client: SocketAddr) {
        let peer = self.peer();
        let proxy = (client != peer).then_some(peer);
        match self {
            Self::Known(facts) => (facts.address, facts.proxy) = (client, proxy),
            Self::Address(_) if proxy.is_none() => {}
            Self::Address(_) => {
                *self = Self::Known(Box::new(Facts { address: client, name: None, proxy }));
            }
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

    #[test]
    fn a_proxy_speaks_for_one_client_after_the_other_and_for_itself() {
        let [proxy, one, other] =
            [1, 2, 3].map(|host| SocketAddr::from(([192, 0, 2, host], u16::from(host))));
        for (mut who, name) in
            [(Who::from(proxy), None), (Who::new(proxy, Some("proxy".into())), Some("proxy"))]
        {
            for (client, through) in
                [(proxy, None), (one, Some(proxy)), (other, Some(proxy)), (proxy, None)]
            {
                who.speaks_for(client);
                assert_eq!((who.address(), who.proxy(), who.peer()), (client, through, proxy));
                assert_eq!(who.name().as_deref(), name);
            }
        }
    }
}
