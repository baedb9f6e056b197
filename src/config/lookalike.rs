//! Characters that look like ASCII and are not, or that cannot be seen: [`Lookalike`].
//!
//! Chinese and Japanese input methods write full-width punctuation, word processors typographic
//! quotes and dashes, and web pages no-break and zero-width spaces.

use super::problem::quoted;
use super::value::{Invalid, Rules};

/// A character in place of an ASCII one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookalike {
    /// The character.
    pub character: char,
    /// What to write instead; `None`: nothing.
    meant: Option<char>,
}

/// What to write instead of characters outside of the full-width block, and their names.
const OTHERS: &[(char, &str, Option<char>)] = &[
    ('\u{201c}', "a typographic quotation mark", Some('"')),
    ('\u{201d}', "a typographic quotation mark", Some('"')),
    ('\u{201e}', "a typographic quotation mark", Some('"')),
    ('\u{ab}', "a typographic quotation mark", Some('"')),
    ('\u{bb}', "a typographic quotation mark", Some('"')),
    ('\u{2018}', "a typographic apostrophe", Some('"')),
    ('\u{2019}', "a typographic apostrophe", Some('"')),
    ('\u{300c}', "a corner bracket", Some('"')),
    ('\u{300d}', "a corner bracket", Some('"')),
    ('\u{3010}', "a lenticular bracket", Some('[')),
    ('\u{3011}', "a lenticular bracket", Some(']')),
    ('\u{3001}', "an ideographic comma", Some(',')),
    ('\u{3002}', "an ideographic full stop", Some('.')),
    ('\u{2010}', "a typographic hyphen", Some('-')),
    ('\u{2011}', "a non-breaking hyphen", Some('-')),
    ('\u{2013}', "a dash", Some('-')),
    ('\u{2014}', "a dash", Some('-')),
    ('\u{2212}', "a minus sign", Some('-')),
    ('\u{a0}', "a no-break space", Some(' ')),
    ('\u{202f}', "a no-break space", Some(' ')),
    ('\u{3000}', "an ideographic space", Some(' ')),
    ('\u{ad}', "a soft hyphen", None),
    ('\u{200b}', "a zero-width space", None),
    ('\u{200c}', "a zero-width non-joiner", None),
    ('\u{200d}', "a zero-width joiner", None),
    ('\u{200e}', "a mark of direction", None),
    ('\u{200f}', "a mark of direction", None),
    ('\u{2060}', "a word joiner", None),
    ('\u{feff}', "a byte order mark", None),
];

/// Names of ASCII punctuation, for its full-width forms.
const NAMES: &[(char, &str)] = &[
    (':', "colon"),
    ('=', "equals sign"),
    ('"', "quotation mark"),
    ('\'', "apostrophe"),
    (',', "comma"),
    ('.', "full stop"),
    ('/', "slash"),
    ('[', "bracket"),
    (']', "bracket"),
    ('{', "brace"),
    ('}', "brace"),
    ('(', "parenthesis"),
    (')', "parenthesis"),
    ('-', "hyphen"),
    ('_', "underscore"),
    ('#', "number sign"),
    ('*', "asterisk"),
    ('@', "at sign"),
    (';', "semicolon"),
    ('?', "question mark"),
];

impl Lookalike {
    /// Whether `character` is one.
    pub fn of(character: char) -> Option<Self> {
        let meant = match character {
            '\u{ff01}'..='\u{ff5e}' => Some(full_width(character)),
            _ => OTHERS.iter().find(|(other, ..)| *other == character)?.2,
        };
        Some(Self { character, meant })
    }

    /// The first one in `text`.
    pub fn find(text: &str) -> Option<Self> {
        text.chars().find_map(Self::of)
    }

    /// The same in TOML outside of a string, where a colon is a mistake itself: "=" is meant.
    pub(super) fn outside_strings(self) -> Self {
        let meant = self.meant.map(|meant| if meant == ':' { '=' } else { meant });
        Self { meant, ..self }
    }

    /// What it is, and what to do: `'：' (U+FF1A) is a full-width colon; write ':'`.
    pub fn what(self) -> String {
        let (character, code, name) = (self.character, u32::from(self.character), self.name());
        match self.meant {
            None => format!("there is an invisible character, {name} (U+{code:04X}); delete it"),
            Some(' ') => format!("there is {name} (U+{code:04X}); write an ordinary space"),
            Some(meant) => format!("'{character}' (U+{code:04X}) is {name}; write '{meant}'"),
        }
    }

    fn name(self) -> String {
        let other = OTHERS.iter().find(|(other, ..)| *other == self.character);
        if let Some((_, name, _)) = other {
            return (*name).to_owned();
        }
        let ascii = full_width(self.character);
        let name = NAMES.iter().find(|(named, _)| *named == ascii);
        format!("a full-width {}", name.map_or(ascii.to_string(), |(_, name)| (*name).to_owned()))
    }
}

/// The ASCII form of a full-width character (U+FF01 to U+FF5E).
fn full_width(character: char) -> char {
    const DISTANCE: u32 = 0xff01 - 0x21;
    char::from_u32(u32::from(character).wrapping_sub(DISTANCE)).unwrap_or(character)
}

/// `text` in ASCII.
pub fn corrected(text: &str) -> String {
    let meant = |it: char| Lookalike::of(it).map_or(Some(it), |lookalike| lookalike.meant);
    text.chars().filter_map(meant).collect()
}

/// What is wrong with a value, and what helps. If it holds a lookalike, that is what is wrong.
pub fn explained(text: &str, invalid: Invalid, rules: Rules) -> (String, Vec<String>) {
    let (allowed, check) = rules;
    let Some(lookalike) = Lookalike::find(text) else {
        return (invalid.what.clone(), invalid.help(allowed));
    };
    let corrected = corrected(text);
    let meant = match check(&corrected) {
        Ok(()) => Some(corrected),
        Err(Invalid { meant, .. }) => meant,
    };
    let help = meant.map(|meant| format!("did you mean {}?", quoted(&meant)));
    (lookalike.what(), help.into_iter().collect())
}

/// What to write if quotes are all that `raw` lacks, or almost all.
pub(super) fn in_quotes(raw: &str, (_, check): Rules) -> Option<String> {
    let meant = match check(raw) {
        Ok(()) => Some(raw.to_owned()),
        Err(Invalid { meant, .. }) => meant,
    };
    meant.map(|meant| format!("write {}", quoted(&meant)))
}
