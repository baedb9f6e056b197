//! The credentials of a request on a route with rules of access: which of them is the token of a
//! client, and what the upstream gets in place of it.
//!
//! A request may hold any number of credentials (`places`), among them the token of one client:
//! with two clients it would be open whose request it is. Some SDKs send what they have in two
//! places, so that the token may be in two. A token never reaches the upstream.
//!
//! On a route with keys no credential of the request does, nor what else may be one (`others`). The
//! key of the API goes where the token was, in the field that the API expects:
//!
//! | the token came | the key goes |
//! |---|---|
//! | in one of the four fields for keys | to its place, under the name of the API's field |
//! | as `?key=`, and the API's field is `x-goog-api-key` | to its place in the query |
//! | in the subprotocol of a WebSocket, and the API's field is `Authorization` | to its place |
//! | elsewhere, or not at all | into the API's field |
//!
//! On a route without keys the token is removed, and other credentials pass: in `X-Narrows-Token` a
//! client sends a token beside its own key of the API.
//!
//! A CORS preflight (Fetch, section 3.3.2) can hold no token. It passes without one where a token
//! is needed, but without any credential, and without what makes another method of it.

mod echo;
mod other_key;
mod others;
mod places;
mod query;
mod subprotocols;

pub use echo::hide_keys;
pub use other_key::put_other_key;
pub use query::put_with_token;

use crate::error::Cause;
use crate::gateway::access::{ApiKey, Client, Clients, KeyField, RouteAccess};
use crate::gateway::request::Request;
use crate::h1::field::FieldId;
use crate::h1::head::RequestHead;
use crate::h1::section::{FieldLine, FieldSection};
use crate::h1::token::is_token;
use crate::limits::CREDENTIAL_WORDS_MAX;
use bytes::BytesMut;
use core::{fmt, ptr};
use others::{is_other, is_other_field, overrides_method};
use places::{Credential, Place, credentials, is_key_field};
use query::{ParameterEdit, put_query};
use subprotocols::{ElementEdit, keys_of, put_list};

/// What has been decided about the credentials of a request.
#[derive(Debug)]
pub struct Credentials<'a> {
    /// Whose request it is: the client of the token, also where none is needed.
    pub client: Option<&'a Client>,
    /// The key that it gets.
    pub key: Option<&'a ApiKey>,
    access: &'a RouteAccess,
    token: Option<Token<'a>>,
    key_place: KeyPlace,
    /// It is forwarded although no one knows whose it is.
    is_unproven: bool,
}

/// What becomes of a field line.
#[derive(Debug, PartialEq, Eq)]
pub enum LineEdit<'a> {
    /// It is like on a route without rules.
    Keep,
    /// It is left out.
    Drop,
    /// The key takes its place, under this name; `None`: under its own.
    Key(Option<&'static str>),
    /// Its value, a list of subprotocols, is another one.
    Subprotocols(&'a [u8]),
}

/// The token of a client.
#[derive(Clone, Copy)]
struct Token<'a> {
    client: &'a Client,
    place: Place,
    /// Where it, or another one of the same client, is once more.
    again: Option<Place>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyPlace {
    /// Of a credential.
    Of(Place),
    /// After the other fields.
    Behind,
    /// There is no key.
    Nowhere,
}

/// What a credential is.
enum Meaning<'a> {
    /// A field without a word.
    Nothing,
    /// A credential of someone else.
    Foreign,
    /// The token of a client.
    Token(&'a Client),
    /// A token and something else. Who reads it otherwise than we do may see the token.
    Mixed,
}

impl<'a> Credentials<'a> {
    /// Reads those of a request along a route with these rules. `clock` gives the seconds since
    /// 1970-01-01 (UTC), and is only asked for keys that rest.
    ///
    /// # Errors
    /// It needs a token and has none, or it has those of two clients, or one too often.
    pub fn of(
        head: &RequestHead<'a>,
        query: &'a [u8],
        request: &Request,
        access: &'a RouteAccess,
        clock: fn() -> u64,
    ) -> Result<Self, Cause> {
        let is_preflight = is_preflight(head, request);
        let (token, has_any) = find_token(&head.fields, query, &access.clients)?;
        let needs_token = access.needs_token && !is_preflight;
        if needs_token && token.is_none() {
            return Err(if has_any { Cause::TokenUnknown } else { Cause::TokenMissing });
        }
        let client = token.map(|it| it.client).filter(|_| !is_preflight);
        let keys = access.keys.as_ref().filter(|_| !is_preflight);
        let key = keys.and_then(|keys| keys.in_use(clock));
        let key_place = match key {
            Some(key) => key_place(&head.fields, request, access.key_field, key, token),
            None => KeyPlace::Nowhere,
        };
        let is_unproven = is_preflight && (access.needs_token || access.keys.is_some());
        Ok(Self { client, key, access, token, key_place, is_unproven })
    }

    /// Whether the client may make a request on the route with this path now. Where no token is
    /// needed, one that is of no use here is none. `clock` gives the seconds since 1970-01-01
    /// (UTC).
    ///
    /// # Errors
    /// Its token has expired, or is for other routes.
    pub fn check(&mut self, path: &[u8], clock: impl FnOnce() -> u64) -> Result<(), Cause> {
        let Some(client) = self.client else { return Ok(()) };
        let refusal = if client.expires().is_some() && client.has_expired(clock()) {
            Cause::TokenExpired
        } else if !client.may_use(path) {
            Cause::TokenNotForRoute
        } else {
            return Ok(());
        };
        if self.access.needs_token {
            return Err(refusal);
        }
        self.client = None;
        Ok(())
    }

    /// The token as it came, if the key takes its place where an upstream may repeat it: in a
    /// reference, or as the chosen subprotocol. Empty otherwise.
    pub fn token_to_repeat<'b>(&self, fields: &FieldSection<'b>, query: &'b [u8]) -> &'b [u8] {
        match self.key_place {
            KeyPlace::Of(place @ (Place::Parameter(_) | Place::Subprotocol(..))) => {
                let token = credentials(fields, query).find(|it| it.place == place);
                token.map_or(b"", |token| token.text)
            }
            KeyPlace::Of(Place::Line(_)) | KeyPlace::Behind | KeyPlace::Nowhere => b"",
        }
    }

    /// The token as a URL holds it, if the API's key may be in one: as `?key=`, which is only
    /// Google's. Empty otherwise.
    pub fn token_for_urls<'b>(&self, fields: &FieldSection<'b>, query: &'b [u8]) -> &'b [u8] {
        if self.key.is_none() || self.access.key_field != KeyField::XGoogApiKey {
            return b"";
        }
        let Some(place) = self.token.map(|it| it.place) else { return b"" };
        let token = credentials(fields, query).find(|it| it.place == place);
        token.and_then(|it| it.for_query()).unwrap_or_default()
    }

    /// What precedes the key in its field, and the key.
    pub fn key_value(&self) -> [&[u8]; 2] {
        let scheme = self.access.key_field.scheme().as_bytes();
        self.key.map_or([b"", b""], |key| [scheme, key.secret()])
    }

    /// The name of the field of the key, if it follows all other fields.
    pub fn name_behind(&self) -> Option<&'static str> {
        (self.key_place == KeyPlace::Behind).then(|| self.access.key_field.name())
    }

    /// What becomes of a line, because it may hold a credential or make another method.
    pub fn edit_line<'f>(&self, fields: &FieldSection<'f>, line: &FieldLine) -> LineEdit<'f> {
        match line.id {
            Some(FieldId::WebSocketProtocol) => self.edit_subprotocols(fields.value(line), line),
            Some(id) if is_key_field(id) => {
                let place = Place::Line(line.start);
                if self.key_place == KeyPlace::Of(place) {
                    let field = self.access.key_field;
                    LineEdit::Key((id != id_of(field)).then(|| field.name()))
                } else if self.passes(place) {
                    LineEdit::Keep
                } else {
                    LineEdit::Drop
                }
            }
            Some(FieldId::KeyLookalike) if self.guards() => LineEdit::Drop,
            None if self.drops(fields.name(line)) => LineEdit::Drop,
            Some(_) | None => LineEdit::Keep,
        }
    }

    /// Appends the query that the upstream gets.
    pub fn put_query(&self, out: &mut BytesMut, query: &[u8]) {
        put_query(out, query, |number, parameter| {
            let place = Place::Parameter(number);
            let is_credential = parameter.is_key() || self.is_bare() && is_other(parameter);
            if !is_credential || self.passes(place) {
                ParameterEdit::Keep
            } else if self.key_place == KeyPlace::Of(place) {
                ParameterEdit::Value(self.secret())
            } else {
                ParameterEdit::Drop
            }
        });
    }

    /// Appends the list of subprotocols of the line that starts at `start`.
    pub fn put_subprotocols(&self, out: &mut BytesMut, list: &[u8], start: u32) {
        put_list(out, list, |number| {
            let place = Place::Subprotocol(start, number);
            if self.passes(place) {
                ElementEdit::Keep
            } else if self.key_place == KeyPlace::Of(place) {
                ElementEdit::Key(self.secret())
            } else {
                ElementEdit::Drop
            }
        });
    }

    fn edit_subprotocols<'f>(&self, list: &'f [u8], line: &FieldLine) -> LineEdit<'f> {
        let mut numbers = (0..).zip(keys_of(list)).map(|(number, _)| number);
        if numbers.all(|number| self.passes(Place::Subprotocol(line.start, number))) {
            return LineEdit::Keep;
        }
        let mut left = BytesMut::new();
        self.put_subprotocols(&mut left, list, line.start);
        if left.is_empty() { LineEdit::Drop } else { LineEdit::Subprotocols(list) }
    }

    /// Whether the credential in this place goes to the upstream.
    fn passes(&self, place: Place) -> bool {
        !self.is_bare() && self.token.is_none_or(|token| !token.is_in(place))
    }

    /// Whether no credential of the request reaches the upstream.
    fn is_bare(&self) -> bool {
        self.access.keys.is_some() || self.is_unproven
    }

    /// Whether a credential must not pass that we do not read.
    fn guards(&self) -> bool {
        self.access.keys.is_some() || !self.access.clients.is_empty()
    }

    /// Whether lines of this name, which has no id, are left out.
    fn drops(&self, name: &[u8]) -> bool {
        self.is_bare() && is_other_field(name) || self.is_unproven && overrides_method(name)
    }

    fn secret(&self) -> &'a [u8] {
        self.key.map_or(b"", ApiKey::secret)
    }
}

impl Token<'_> {
    fn is_in(&self, place: Place) -> bool {
        self.place == place || self.again == Some(place)
    }
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a token of {} in {:?}", self.client.name, self.place)
    }
}

/// Whether a browser asks whether a page may make a request (Fetch, section 3.3.2). With content it
/// is something else.
pub fn is_preflight(head: &RequestHead<'_>, request: &Request) -> bool {
    head.method == b"OPTIONS"
        && request.has_origin
        && request.body.is_empty()
        && head.fields.named(b"access-control-request-method").next().is_some()
}

/// The token among all credentials, and whether there is any credential.
fn find_token<'a>(
    fields: &FieldSection<'a>,
    query: &'a [u8],
    clients: &'a Clients,
) -> Result<(Option<Token<'a>>, bool), Cause> {
    let (mut token, mut has_any) = (None::<Token<'_>>, false);
    let mut words = 0;
    for credential in credentials(fields, query) {
        match meaning(&credential, clients, &mut words) {
            Meaning::Nothing => {}
            Meaning::Foreign => has_any = true,
            Meaning::Token(client) => match &mut token {
                None => token = Some(Token { client, place: credential.place, again: None }),
                Some(first) if first.again.is_none() && ptr::eq(first.client, client) => {
                    first.again = Some(credential.place);
                }
                Some(_) => return Err(Cause::TokenUnknown),
            },
            Meaning::Mixed => return Err(Cause::TokenUnknown),
        }
    }
    Ok((token, has_any))
}

/// What a credential is: a token only if it is its sole word, which the scheme Bearer may precede
/// where schemes are. `words` counts what is hashed for one request.
fn meaning<'a>(
    credential: &Credential<'_>,
    clients: &'a Clients,
    words: &mut usize,
) -> Meaning<'a> {
    let mut meaning = Meaning::Nothing;
    for word in credential.words() {
        *words += 1;
        if *words > CREDENTIAL_WORDS_MAX {
            return Meaning::Mixed;
        }
        meaning = match (clients.with_token(word), meaning) {
            (Some(client), Meaning::Nothing) => Meaning::Token(client),
            (None, Meaning::Nothing | Meaning::Foreign) => Meaning::Foreign,
            (Some(_), _) | (None, Meaning::Token(_) | Meaning::Mixed) => return Meaning::Mixed,
        };
    }
    meaning
}

fn key_place(
    fields: &FieldSection<'_>,
    request: &Request,
    field: KeyField,
    key: &ApiKey,
    token: Option<Token<'_>>,
) -> KeyPlace {
    let id_at = |start| fields.lines().iter().find(|it| it.start == start).and_then(|it| it.id);
    match token.map(|token| token.place) {
        Some(place @ Place::Line(start)) if id_at(start).is_some_and(is_key_field) => {
            KeyPlace::Of(place)
        }
        Some(place @ Place::Parameter(_)) if field == KeyField::XGoogApiKey => KeyPlace::Of(place),
        Some(place @ Place::Subprotocol(..))
            if field == KeyField::Authorization
                && request.offers_websocket
                && is_token(key.secret())
                && !fields.nominates(b"sec-websocket-protocol") =>
        {
            KeyPlace::Of(place)
        }
        Some(Place::Line(_) | Place::Parameter(_) | Place::Subprotocol(..)) | None => {
            let own = fields.lines().iter().find(|line| line.id == Some(id_of(field)));
            own.map_or(KeyPlace::Behind, |line| KeyPlace::Of(Place::Line(line.start)))
        }
    }
}

fn id_of(field: KeyField) -> FieldId {
    match field {
        KeyField::Authorization => FieldId::Authorization,
        KeyField::XApiKey => FieldId::XApiKey,
        KeyField::ApiKey => FieldId::ApiKey,
        KeyField::XGoogApiKey => FieldId::XGoogApiKey,
    }
}

#[cfg(test)]
mod tests;
