//! For tests: the text of configuration files.

use super::keys::top::Config;
use super::problem::Problems;
use std::path::Path;

/// All that a file needs.
pub(super) const MINIMAL: &str = r#"
    [[listener]]
    address = "127.0.0.1:8080"

    [[route]]
    path = "/gpt/"
    upstream = "https://api.openai.com/"
"#;

/// Reads the text of a file called `f` in `folder`.
pub(super) fn read(text: &str) -> Result<Config, Problems> {
    Config::parse("f", Path::new("folder"), text)
}

/// One of the problems of `text` is this.
#[track_caller]
pub(super) fn refuse(text: &str, why: &str) {
    let problems = read(text).unwrap_err().to_string();
    assert!(problems.lines().any(|line| line.contains(why)), "{problems}");
}
