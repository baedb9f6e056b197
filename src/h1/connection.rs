//! What the Connection fields of a message say (RFC 9110, section 7.6.1).
//!
//! A forwarder asks several times, and most messages say `keep-alive` or nothing, so the lists are
//! read once, when the head is parsed.
//!
//! Not here: what follows from an option (the gateway).

use super::token::list_elements;

/// The options in all Connection lines of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// How many there are.
    pub count: usize,
    /// `close` is one of them.
    pub close: bool,
    /// `keep-alive` is.
    pub keep_alive: bool,
    /// `upgrade` is.
    pub upgrade: bool,
    /// Another one is: the name of a field that is for this connection alone.
    pub nominates: bool,
}

impl ConnectionOptions {
    /// Takes in the options of one more line.
    pub(super) fn read(&mut self, value: &[u8]) {
        for option in list_elements(value) {
            self.count += 1;
            match option {
                _ if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                _ if option.eq_ignore_ascii_case(b"close") => self.close = true,
                _ if option.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
                _ => self.nominates = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_known_in_any_case_and_any_line() {
        let mut options = ConnectionOptions::default();
        options.read(b"Keep-Alive ,, UPGRADE");
        let all = ConnectionOptions { count: 2, keep_alive: true, upgrade: true, ..<_>::default() };
        assert_eq!(options, all);
        options.read(b"close");
        assert_eq!(options, ConnectionOptions { count: 3, close: true, ..all });
        options.read(b" , ");
        assert!(!options.nominates && options.count == 3);
        options.read(b"X-Keep-Alive");
        assert!(options.nominates);
    }
}
