//! `narrows token NAME`: a new token, and the `[[client]]` table with its digest.

use super::parse::parse_value;
use crate::config::client_name::ClientName;
use crate::config::token_digest::{TOKEN_DIGITS, TOKEN_PREFIX, TokenDigest};
use crate::config::toml_value::quoted;
use aws_lc_rs::rand;
use clap::Args;
use std::fmt;
use std::io;
use zeroize::Zeroizing;

/// The digits of base62, in the order of ASCII.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Arguments of `narrows token`.
#[derive(Args, Debug)]
pub struct TokenArguments {
    /// What you call the client: in the log, in metrics.
    #[arg(value_name = "NAME", value_parser = parse_value::<ClientName>)]
    name: ClientName,
}

/// A token that no one has yet, and the table for it. Displays as both.
pub struct NewToken {
    name: ClientName,
    token: Zeroizing<String>,
}

impl TokenArguments {
    /// Makes a token of 32 random bytes.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn token(&self) -> io::Result<NewToken> {
        let mut bytes = Zeroizing::new([0; 32]);
        rand::fill(&mut *bytes).map_err(|_| io::Error::other("there are no random bytes"))?;
        let token = Zeroizing::new(format!("{TOKEN_PREFIX}{}", *base62(&bytes)));
        Ok(NewToken { name: self.name.clone(), token })
    }
}

impl NewToken {
    /// What to do with the two parts.
    pub fn advice(&self) -> String {
        format!(
            "The first line is the token of {}; it is shown this once, and kept nowhere. The rest \
             goes into the configuration file.",
            self.name
        )
    }
}

impl fmt::Display for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, token } = self;
        let digest = TokenDigest::of(token.as_bytes());
        let name = quoted(name.as_str());
        write!(f, "{}\n\n[[client]]\nname = {name}\ntoken = \"{digest}\"", **token)
    }
}

/// `bytes` as a number in base62, with as many digits as the largest one needs.
fn base62(bytes: &[u8; 32]) -> Zeroizing<String> {
    let mut number = Zeroizing::new(*bytes);
    let mut digits = Zeroizing::new([0; TOKEN_DIGITS]);
    for digit in digits.iter_mut().rev() {
        // Divides by 62, from the highest byte.
        let mut rest = 0;
        for byte in number.iter_mut() {
            let part = rest << 8 | u32::from(*byte);
            (*byte, rest) = ((part / 62) as u8, part % 62);
        }
        *digit = DIGITS[rest as usize];
    }
    Zeroizing::new(digits.iter().map(|&digit| char::from(digit)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    #[test]
    fn the_number_of_a_token_is_written_in_base62_with_all_its_digits() {
        let of = |last: u8| {
            let mut bytes = [0; 32];
            bytes[31] = last;
            base62(&bytes).to_string()
        };
        assert_eq!(of(0), "0".repeat(TOKEN_DIGITS));
        assert_eq!(&of(61)[TOKEN_DIGITS - 2..], "0z");
        assert_eq!(&of(62)[TOKEN_DIGITS - 2..], "10");
        // 2^256 - 1, by another program.
        assert_eq!(&*base62(&[255; 32]), "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1");
    }

    #[test]
    fn a_new_token_is_unlike_the_one_before_and_its_table_can_be_pasted() {
        let arguments = TokenArguments { name: "Al \"ice\\".parse().unwrap() };
        let [one, two] = [(); 2].map(|()| arguments.token().unwrap());
        assert_ne!(*one.token, *two.token);
        let text = one.to_string();
        let (first, table) = text.split_once("\n\n").unwrap();
        assert!(first.starts_with(TOKEN_PREFIX) && first.len() == 47, "{first}");
        assert!(!one.advice().contains(first) && !table.contains(first));
        let route = "[[route]]\npath = \"/\"\nupstream = \"http://h/\"\n";
        let toml = format!("[[listener]]\naddress = \"localhost:1\"\n{route}{table}\n");
        let config = Config::parse("f", Path::new(""), &toml).unwrap();
        let client = &config.clients.all[0];
        assert_eq!(&*client.name, arguments.name.as_str());
        assert_eq!(client.token, Some(TokenDigest::of(first.as_bytes()).0));
    }
}
