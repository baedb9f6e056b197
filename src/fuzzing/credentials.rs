//! Tokens and keys in requests.

use super::arrival::arrivals;
use super::forward::{ANY, ANYONE, complete};
use super::heads::rewrite;
use super::model::{self, routes};
use super::naive::{self, Body, Field, Head, Length, Verdict};
use super::oracle;
use crate::config::Limits;
use crate::error::{Cause, RequestError};
use crate::gateway::access::{ApiKeys, Client, Clients, Digest, KeyField, RouteAccess};
use crate::gateway::answer::Reply;
use crate::gateway::plan::{ForwardedRequest, Plan, plan};
use crate::gateway::route::{Route, RouteTable};
use crate::h1::head_reader::HeadReader;
use crate::h1::target::{TargetError, split_query};
use crate::limits::CREDENTIAL_WORDS_MAX;
use bytes::BytesMut;
use std::sync::Arc;

const TOKENS: [&str; 2] = ["nrw_one", "nrw_two"];
const KEY: &str = "sk-real";
const HIDDEN: Cause = Cause::Request(RequestError::Target(TargetError::HiddenRoute));
/// The fields for keys, and that for a token alone.
const FIELDS: [&str; 5] =
    ["authorization", "x-api-key", "api-key", "x-goog-api-key", "x-narrows-token"];
/// What may have a credential besides, with `-` for `_`. These lists are not those of `gateway`, so
/// that a name that is lost there is missed here.
const OTHERS: [&str; 8] = [
    "cookie",
    "xi-api-key",
    "ocp-apim-subscription-key",
    "x-auth-token",
    "x-access-token",
    "x-api-token",
    "x-functions-key",
    "apikey",
];
const OTHER_PARAMETERS: [&str; 5] =
    ["access_token", "api_key", "api-key", "apikey", "subscription-key"];
const METHODS: [&str; 3] = ["x-http-method", "x-http-method-override", "x-method-override"];
const SUBPROTOCOLS: &str = "sec-websocket-protocol";
const ELEMENT: &str = "openai-insecure-api-key.";

/// A byte that says what the rules of the route are, and a request with its body.
///
/// - A request with one token of ours, in at most two places, or without any where none is needed,
///   is forwarded; every other one is answered with the right cause.
/// - Only a path that some server may read as one of the inner route is refused as hidden.
/// - The upstream sees no token, and of the credentials of the client those that are not tokens; on
///   a route with keys none of them, but the key, once.
/// - All other lines, the path and the body are those of a route without rules, but for those that
///   may hold a credential besides, and hyper reads exactly this request.
pub fn credentials(data: &[u8]) {
    let Some((&rules, data)) = data.split_first() else { return };
    let rules = Rules::of(rules);
    let limits = Limits::default().head;
    let Ok(Some(span)) = HeadReader::default().find(data, &limits) else { return };
    let (head, body) = (&data[span.start..span.end], &data[span.end..]);
    let Some(meant) = naive::request_head(head, ANY).whole() else { return };
    let Some(unruled) = model::forwarded(&meant) else { return };
    let routes = rules.routes();
    let expected = rules.decide(&meant, &unruled.facts, unruled.body);
    match (plan(head, body, &routes, &limits, false, || 0, ANYONE.into()), expected) {
        (Plan::Forward(forwarded), Ok(left)) => {
            let sent = sent(&forwarded);
            rules.check_credentials(&sent, &left);
            check_rest(&sent, &unruled, rules.bareness(&meant, unruled.body));
            check_body(&forwarded, &sent, &naive::body(unruled.body, body, false), body);
        }
        (Plan::Answer(answer, _), _) if is_hidden(&answer.reply) => {
            assert!(may_be_of_inner_route(&unruled.target));
        }
        (Plan::Answer(answer, _), Err(expected)) => {
            let cause = match answer.reply {
                Reply::Error(error) => Some(error.cause),
                Reply::Preflight => None,
                Reply::Allowed | Reply::Queued => panic!("{:?}", answer.reply),
            };
            assert_eq!(cause, expected);
        }
        (plan, expected) => panic!("{plan:?} {expected:?}"),
    }
}

fn is_hidden(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(it) if it.cause == HIDDEN)
}

/// Whether some server may read a target of the outer route as one of the inner route.
fn may_be_of_inner_route(target: &[u8]) -> bool {
    let (path, _) = split_query(target);
    let is_unusual = |byte: &u8| byte.is_ascii_uppercase() || b"%\\;".contains(byte);
    path == b"/v1" || path.iter().any(is_unusual) || path.windows(2).any(|two| two == b"//")
}

/// The rules of the routes.
struct Rules {
    key_field: Option<KeyField>,
    needs_token: bool,
    cors: bool,
    websocket: bool,
}

/// What does not pass besides.
#[derive(Clone, Copy)]
struct Bareness {
    /// Fields and parameters that may have a credential.
    is_bare: bool,
    /// Fields that make another method of the request.
    is_unproven: bool,
}

/// A credential on the naive reading.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// The name of its field, of the parameter, or of the list.
    place: String,
    /// Without the scheme Bearer.
    words: Vec<String>,
    can_be_token: bool,
}

impl Rules {
    fn of(byte: u8) -> Self {
        let key_field = match byte & 7 {
            1 => Some(KeyField::Authorization),
            2 => Some(KeyField::XApiKey),
            3 => Some(KeyField::ApiKey),
            4 => Some(KeyField::XGoogApiKey),
            _ => None,
        };
        let bit = |number: u8| byte & (1 << number) != 0;
        Self { key_field, needs_token: bit(3), cors: bit(4), websocket: !bit(5) }
    }

    fn routes(&self) -> RouteTable<()> {
        let clients = TOKENS.map(|it| Client::new(it, Some(digest(it.as_bytes()))));
        let keys = ApiKeys::new(vec![(1, KEY.as_bytes().to_vec().into())]).expect("a key");
        let access = Arc::new(RouteAccess {
            clients: Arc::new(Clients::new(clients.into(), Vec::new(), digest)),
            needs_token: self.needs_token,
            is_for_anyone: !self.needs_token,
            keys: self.key_field.map(|_| Arc::new(keys)),
            key_field: self.key_field.unwrap_or_default(),
            websocket: self.websocket,
            cors: self.cors,
            allow: None,
        });
        let ruled =
            |route: &Route<()>| Route { access: Some(Arc::clone(&access)), ..route.clone() };
        RouteTable::new(routes(&()).iter().map(|route| ruled(route)))
    }

    /// The credentials that the upstream sees, or the cause of our answer; `None`: we answer a
    /// preflight.
    fn decide(
        &self,
        head: &Head,
        facts: &model::RequestFacts,
        body: Length,
    ) -> Result<Vec<Found>, Option<Cause>> {
        let is_preflight = is_preflight(head, body);
        if is_preflight && self.cors {
            return Err(None);
        }
        let found = found(head);
        let is_token = |word: &String| TOKENS.contains(&word.as_str());
        let all_words = found.iter().flat_map(|it| &it.words);
        let tokens = all_words.clone().filter(|it| is_token(it)).count();
        let is_one = |it: &&Found| it.can_be_token && it.words.iter().any(is_token);
        let token = found.iter().filter(is_one).count();
        let distinct = TOKENS.iter().filter(|it| all_words.clone().any(|word| word == *it));
        let refused = distinct.count() > 1
            || tokens > 2
            || tokens != token
            || all_words.clone().count() > CREDENTIAL_WORDS_MAX;
        match (refused, self.needs_token && !is_preflight && token == 0) {
            (true, _) => return Err(Some(Cause::TokenUnknown)),
            (false, true) if all_words.count() > 0 => return Err(Some(Cause::TokenUnknown)),
            (false, true) => return Err(Some(Cause::TokenMissing)),
            (false, false) => {}
        }
        if facts.offers_websocket && !self.websocket {
            return Err(Some(Cause::WebSocketOff));
        }
        let nominated = head.list("connection");
        let key = |it: KeyField| Found {
            place: it.name().to_ascii_lowercase(),
            words: vec![KEY.to_owned()],
            can_be_token: true,
        };
        Ok(match self.key_field {
            _ if is_preflight && (self.needs_token || self.key_field.is_some()) => Vec::new(),
            Some(field) => vec![key(field)],
            None => {
                let stays = |it: &Found| {
                    !nominated.contains(&it.place)
                        && it.place != "x-narrows-token"
                        && !it.words.iter().any(is_token)
                };
                found.into_iter().filter(stays).collect()
            }
        })
    }

    fn bareness(&self, head: &Head, body: Length) -> Bareness {
        let is_unproven =
            is_preflight(head, body) && (self.needs_token || self.key_field.is_some());
        Bareness { is_bare: self.key_field.is_some() || is_unproven, is_unproven }
    }

    /// The credentials in `sent` are those that are `left`. The place of the key may be another.
    fn check_credentials(&self, sent: &Head, left: &[Found]) {
        let mut found = found(sent);
        assert!(found.iter().all(|it| it.place != "x-narrows-token"));
        if self.key_field.is_none() {
            assert_eq!(found, left);
            return;
        }
        if let [key] = &mut found[..]
            && matches!(key.place.as_str(), "key" | SUBPROTOCOLS)
        {
            left[0].place.clone_into(&mut key.place);
        }
        assert_eq!(found, left);
    }
}

fn is_preflight(head: &Head, body: Length) -> bool {
    let has = |name: &str| head.values(name).next().is_some();
    head.method() == b"OPTIONS"
        && has("origin")
        && has("access-control-request-method")
        && matches!(body, Length::None | Length::Exact(0))
}

/// No digest, but as good as one for short words.
fn digest(word: &[u8]) -> Digest {
    let mut digest = [0xff; 32];
    if let Some(place) = digest.get_mut(..word.len()).filter(|_| word.len() < 32) {
        place.copy_from_slice(word);
        digest[31] = word.len() as u8;
    }
    digest
}

/// All credentials of a head, empty ones, too: those of fields first.
fn found(head: &Head) -> Vec<Found> {
    let in_fields = head.fields.iter().flat_map(|field| match field.name.as_str() {
        name if FIELDS.contains(&name) => vec![of_field(field)],
        SUBPROTOCOLS => of_list(&naive::text(&field.value)),
        _ => Vec::new(),
    });
    let target = naive::text(head.target());
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let in_query = query.split(['&', ';']).filter_map(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        (decoded(name) == "key").then(|| Found {
            place: "key".to_owned(),
            words: words(&decoded(value)),
            can_be_token: words(&decoded(value)).len() < 2,
        })
    });
    in_fields.chain(in_query).collect()
}

fn of_field(field: &Field) -> Found {
    let mut words = words(&naive::text(&field.value));
    if matches!(field.name.as_str(), "authorization" | "x-narrows-token") {
        let value = naive::text(&field.value).replace('\t', " ");
        let scheme = value.split(' ').next().unwrap_or_default();
        if scheme.eq_ignore_ascii_case("bearer") {
            words.remove(0);
        }
    }
    Found { place: field.name.clone(), can_be_token: words.len() < 2, words }
}

fn of_list(list: &str) -> Vec<Found> {
    let elements = list.split(',').map(|it| it.trim_matches([' ', '\t']));
    let keys = elements.filter_map(|element| {
        let front = element.get(..ELEMENT.len())?;
        front.eq_ignore_ascii_case(ELEMENT).then(|| words(&element[ELEMENT.len()..]))
    });
    let found = keys.map(|words| Found {
        place: SUBPROTOCOLS.to_owned(),
        can_be_token: words.len() < 2,
        words,
    });
    found.collect()
}

fn words(value: &str) -> Vec<String> {
    value.split([' ', '\t', ',']).filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

/// `text` with its percent-encodings decoded, once. Each byte becomes a character.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..2).and_then(byte_of) {
            Some(byte) => {
                decoded.push(char::from(byte));
                decoded += &part[2..];
            }
            None => decoded = decoded + "%" + part,
        }
    }
    decoded
}

fn byte_of(digits: &str) -> Option<u8> {
    let is_hex = digits.bytes().all(|it| it.is_ascii_hexdigit());
    u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

fn sent(forwarded: &ForwardedRequest<'_, ()>) -> Head {
    let mut out = BytesMut::new();
    forwarded.put_head(&mut out);
    let sent = naive::request_head(&out, ANY).whole().expect("a head");
    assert_eq!(sent.end, out.len());
    let mut again = BytesMut::new();
    forwarded.put_head(&mut again);
    assert_eq!(out, again);
    sent
}

/// All that is no credential is as on a route without rules.
fn check_rest(sent: &Head, unruled: &model::Forwarded, bareness: Bareness) {
    let Bareness { is_bare, is_unproven } = bareness;
    let is_left_out = |line: &[u8]| {
        let text = naive::text(line).to_ascii_lowercase().replace('_', "-");
        let name = text.split(':').next().unwrap_or_default();
        is_bare && OTHERS.contains(&name) || is_unproven && METHODS.contains(&name)
    };
    assert!(!sent.fields.iter().any(|field| is_left_out(&field.raw)));
    let is_for_keys = |line: &[u8]| {
        let text = naive::text(line);
        let name = text.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let read = name.replace('_', "-");
        FIELDS.contains(&read.as_str()) || read == SUBPROTOCOLS
    };
    let rest = |lines: &[Vec<u8>]| -> Vec<Vec<u8>> {
        let stays = |line: &&Vec<u8>| !is_for_keys(line) && !is_left_out(line);
        lines.iter().filter(stays).cloned().collect()
    };
    let lines: Vec<_> = sent.fields.iter().map(|field| field.raw.clone()).collect();
    assert_eq!(rest(&lines), rest(&unruled.lines));
    assert_eq!(sent.method(), unruled.method);
    let [sent, unruled] = [sent.target(), &unruled.target].map(naive::text);
    let is_parameter_left_out = |name: &str| {
        let name = name.to_ascii_lowercase();
        is_bare && OTHER_PARAMETERS.contains(&name.as_str())
    };
    let other = |target: &str| -> (String, Vec<String>) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let is_key = |it: &&str| {
            let name = decoded(it.split('=').next().unwrap_or_default());
            name == "key" || is_parameter_left_out(&name)
        };
        let others = query.split(['&', ';']).filter(|it| !is_key(it) && !it.is_empty());
        (path.to_owned(), others.map(str::to_owned).collect())
    };
    assert_eq!(other(&sent), other(&unruled));
}

/// hyper reads the head as it is meant, and no trailer with a credential.
fn check_body(
    forwarded: &ForwardedRequest<'_, ()>,
    sent: &Head,
    meant: &Verdict<Body>,
    body: &[u8],
) {
    let request = forwarded.request;
    let mut head = BytesMut::new();
    forwarded.put_head(&mut head);
    for positions in arrivals(body) {
        let bytes =
            [&head[..], &rewrite(request.body, request.writer(), body, &positions)].concat();
        let read = oracle::server_reads(&bytes);
        let Some(meant) = complete(meant).filter(|_| oracle::takes_target(sent.target())) else {
            continue;
        };
        assert!(read.nothing_left_over && read.requests.len() == 1, "{read:?}");
        let seen = &read.requests[0];
        assert_eq!(seen.fields, oracle::fields_of(sent));
        assert_eq!(seen.content, meant.content);
        for (name, _) in &seen.trailers {
            let read = name.replace('_', "-");
            assert!(!FIELDS.contains(&read.as_str()) && read != SUBPROTOCOLS, "{name}");
        }
    }
}
