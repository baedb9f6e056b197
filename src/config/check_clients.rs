//! Checks across the tables of clients: each has its own name, its own token, and routes that
//! exist.

use super::clients::{ClientPlaces, location_of};
use super::keys::top::Config;
use super::problem::{Location, Problem, Problems, also_at, nearest, quoted};
use super::source::Source;
use super::token_digest::{Guesses, TokenDigest, clear_tokens};
use std::cmp::Ordering;
use std::sync::Arc;

/// Notes what is wrong with clients, whose keys are at `places` of the file. Without all routes, a
/// path that is not there may be that of a route that has a problem of its own.
pub(super) fn check_clients(
    config: &Config,
    source: &Arc<Source>,
    places: &[ClientPlaces],
    has_all_routes: bool,
    problems: &mut Problems,
) {
    if config.clients.is_empty() {
        return;
    }
    let all = &config.clients.all;
    let name_at = |at: usize| config.client_location(at);
    for (first, second) in same(all.len(), |at| Some(&all[at].name)).1 {
        let what = format!("{} is the name of two clients", quoted(&all[second].name));
        problems.add(&name_at(second), format!("{what}{}", also_at(&name_at(first))));
    }
    let token_at = |at: usize| location_of(source, &places[at].tokens, "client.token");
    let (by_token, twice) = same(all.len(), |at| all[at].token.as_ref());
    for (first, second) in twice {
        let what = format!("this is the token of another client, too{}", also_at(&token_at(first)));
        problems.add_with_help(&token_at(second), what, [new_token()]);
    }
    let tokens = || by_token.iter().filter_map(|at| Some((*at, all[*at as usize].token.as_ref()?)));
    let is_token = |digest: &TokenDigest| {
        let token = |at: &u32| all[*at as usize].token.as_ref();
        by_token.binary_search_by(|at| token(at).cmp(&Some(&digest.0))).is_ok()
    };
    let guesses = Guesses::among(is_token);
    for (at, token) in tokens() {
        let location = || token_at(at as usize);
        check_token(&TokenDigest(*token), location, &guesses, problems);
    }
    let known: Vec<_> = config.routes.iter().map(|it| it.path.as_str()).collect();
    for (client, at) in all.iter().zip(places).filter(|_| has_all_routes) {
        let routes = client.rules.as_ref().and_then(|it| it.routes.as_ref());
        for route in routes.into_iter().flatten() {
            check_route(
                route,
                &known,
                || location_of(source, &at.routes, "client.routes"),
                problems,
            );
        }
    }
}

/// Those of `count` items that have a value, in the order of values, and pairs with the same one.
fn same<T: Ord>(
    count: usize,
    value: impl Fn(usize) -> Option<T>,
) -> (Vec<u32>, Vec<(usize, usize)>) {
    let with_value = (0..count).filter(|at| value(*at).is_some());
    let mut order: Vec<_> = with_value.map(|at| at as u32).collect();
    order.sort_unstable_by(|one, other| compare(&value, *one, *other));
    let pairs = order.windows(2).map(|pair| (pair[0] as usize, pair[1] as usize));
    let pairs = pairs.filter(|(one, other)| value(*one) == value(*other)).collect();
    (order, pairs)
}

/// Not within the code that sorts, which would have it some 30 times.
#[inline(never)]
fn compare<T: Ord>(value: &impl Fn(usize) -> Option<T>, one: u32, other: u32) -> Ordering {
    let key = |at| (value(at as usize), at);
    key(one).cmp(&key(other))
}

/// Notes tokens in clear text that no problem with a key is about yet, wherever they are in the
/// text of the file, also in comments.
pub(super) fn check_clear_tokens(source: &Arc<Source>, problems: &mut Problems) {
    let Some(text) = source.text() else { return };
    for place in clear_tokens(text.as_str()) {
        let location = Location::in_file(source, place, "");
        let is_it = |it: &Problem| it.location.line() == location.line();
        if !problems.iter().any(|it| is_it(it) && !it.location.name().is_empty()) {
            let what = "this is a token in clear text, which whoever reads the file could use";
            let help = "keep only its digest: `narrows token NAME` prints both".to_owned();
            problems.add_with_help(&location, what, [help]);
        }
    }
}

/// Notes a digest of what can be guessed.
pub(super) fn check_token(
    token: &TokenDigest,
    location: impl FnOnce() -> Location,
    guesses: &Guesses,
    problems: &mut Problems,
) {
    if let Some(text) = guesses.find(token) {
        let what = format!("this is the digest of {text}; a token has to be random");
        problems.add_with_help(&location(), what, [new_token()]);
    }
}

fn new_token() -> String {
    "`narrows token NAME` makes one".to_owned()
}

fn check_route(
    route: &[u8],
    known: &[&str],
    location: impl FnOnce() -> Location,
    problems: &mut Problems,
) {
    let path = &*String::from_utf8_lossy(route);
    if known.contains(&path) {
        return;
    }
    let help = match nearest(path, known.iter().copied()) {
        Some(meant) => format!("did you mean {}?", quoted(meant)),
        None => "write the `path` of a [[route]]".to_owned(),
    };
    problems.add_with_help(&location(), format!("there is no route {}", quoted(path)), [help]);
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{MINIMAL, read, refuse};
    use crate::config::token_digest::TokenDigest;

    fn client(name: &str, token: &str) -> String {
        let digest = TokenDigest::of(token.as_bytes());
        format!("[[client]]\nname = \"{name}\"\ntoken = \"{digest}\"\n")
    }

    const ONE: &str = "a token of enough letters";
    const TWO: &str = "another one of as many";

    #[test]
    fn two_clients_have_two_names_and_two_tokens() {
        let with = |clients: &[String]| format!("{MINIMAL}\n{}", clients.concat());
        let config = read(&with(&[client("alice", ONE), client("bob", TWO)])).unwrap();
        assert_eq!(config.clients.all.len(), 2);
        let twice = with(&[client("alice", ONE), client("alice", TWO)]);
        refuse(&twice, "f:13: client.name: \"alice\" is the name of two clients; the first is in");
        let shared = with(&[client("alice", ONE), client("bob", ONE)]);
        refuse(&shared, "f:14: client.token: this is the token of another client, too; the first");
    }

    #[test]
    fn a_token_in_clear_text_is_refused_wherever_it_is_and_not_repeated() {
        let token = format!("nrw_{}", "a1B2".repeat(11));
        for line in [format!("# alice has {token}"), format!("token = \"{token}\"")] {
            let text = format!("{MINIMAL}\n{}{line}\n", client("alice", ONE)).replacen(
                "token = \"sha",
                "#\"sha",
                usize::from(line.starts_with('t')),
            );
            refuse(&text, "token in clear text");
            let problems = read(&text).unwrap_err();
            assert_eq!(problems.iter().len(), 1, "{problems}");
            assert!(!problems.to_string().contains("a1B2"), "{problems}");
        }
        assert!(read(&format!("# `narrows token` prints nrw_TOKEN\n{MINIMAL}")).is_ok());
    }

    #[test]
    fn a_token_that_can_be_guessed_is_refused() {
        for (token, what) in
            [("", "an empty text"), ("test\n", "a word"), ("12", "a text that is too short")]
        {
            let text = format!("{MINIMAL}\n{}", client("alice", token));
            refuse(&text, &format!("f:11: client.token: this is the digest of {what}"));
        }
    }

    #[test]
    fn a_route_that_is_not_there_is_refused_with_the_one_that_is_near() {
        let with = |routes: &str| format!("{MINIMAL}\n{}routes = {routes}\n", client("alice", ONE));
        assert!(read(&with("\"/gpt/\"")).is_ok() && read(&with("[\"/gpt/\"]")).is_ok());
        refuse(&with("[\"/gtp/\"]"), "there is no route \"/gtp/\"; did you mean \"/gpt/\"?");
        refuse(&with("[\"/other/\"]"), "no route \"/other/\"; write the `path` of a [[route]]");
        refuse(&with("[\"/gpt\"]"), "f:12: client.routes: the path \"/gpt\" does not end in \"/\"");
        refuse(&with("[]"), "the list is empty");
    }
}
