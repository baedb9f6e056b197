//! Our account at a CA, with what is kept between orders: [`Account`].

use super::account_key::AccountKey;
use super::directory::Directory;
use super::failure::Failure;
use super::json::array;
use super::jws::{ExternalAccount, Signer, signed};
use super::message::{Method, Request, Response};
use serde_json::{Value, json};

/// How long a directory is used before it is read anew.
const DIRECTORY_SECONDS: i64 = 24 * 60 * 60;
/// Most nonces that are kept, and the longest that is accepted.
const NONCES_MAX: usize = 4;
const NONCE_BYTES_MAX: usize = 256;

/// What a new account has to say about the operator.
#[derive(Clone, Debug, Default)]
pub struct Registration {
    /// URLs such as `mailto:me@example.com`.
    pub contact: Vec<String>,
    /// What the CA gave to the operator.
    pub external: Option<ExternalAccount>,
    /// The key was made just now, so it cannot have an account yet.
    pub is_new: bool,
}

/// What an account lacks before an order can be made.
pub(super) enum Lack {
    /// The key may have an account, and its URL is not known.
    Search,
    /// There is none.
    Account,
    Nothing,
}

/// An account at one CA. It is registered when it is first needed.
#[derive(Debug)]
pub struct Account {
    directory_url: String,
    key: AccountKey,
    registration: Registration,
    /// When it was read, and what it says.
    directory: Option<(i64, Directory)>,
    /// Its URL, once it is known.
    url: Option<String>,
    /// Each may be used once. The last is the youngest.
    nonces: Vec<String>,
}

impl Account {
    /// Nothing is known of the CA yet but the URL of its directory, which must be `https`.
    pub fn new(directory_url: &str, key: AccountKey, registration: Registration) -> Self {
        let directory_url = directory_url.to_owned();
        Self { directory_url, key, registration, directory: None, url: None, nonces: Vec::new() }
    }

    /// What to send if the directory is not known or is too old. Its answer goes to
    /// [`read_directory`](Self::read_directory).
    pub fn directory_request(&self, now: i64) -> Option<Request> {
        let is_known = self.directory.as_ref().is_some_and(|(read_at, _)| {
            (*read_at..read_at.saturating_add(DIRECTORY_SECONDS)).contains(&now)
        });
        (!is_known).then(|| Request::unsigned(Method::Get, &self.directory_url))
    }

    /// Reads the answer to a [`directory_request`](Self::directory_request).
    ///
    /// # Errors
    /// It is not a directory. One that is known already stays in use.
    pub fn read_directory(&mut self, response: &Response, now: i64) -> Result<(), Failure> {
        if !response.is_success() {
            return Err(Failure::of_response("to show its directory", response, now));
        }
        let directory = Directory::parse(&response.body);
        let unusable = || Failure::unusable("it is not a directory").with_directory();
        self.directory = Some((now, directory.ok_or_else(unusable)?));
        Ok(())
    }

    /// What to send to ask when the certificate with this
    /// [identifier](super::renewal::certificate_id) should be renewed; `None` if the CA does not
    /// offer that, or its directory is not known yet.
    /// [`renewal::read`](super::renewal::read) reads the answer.
    pub fn renewal_request(&self, certificate_id: &str) -> Option<Request> {
        let base = self.directory.as_ref()?.1.renewal_info.as_ref()?;
        Some(Request::unsigned(Method::Get, &format!("{base}/{certificate_id}")))
    }

    pub(super) fn directory(&self) -> Option<&Directory> {
        self.directory.as_ref().map(|(_, directory)| directory)
    }

    pub(super) fn key(&self) -> &AccountKey {
        &self.key
    }

    /// What to do first.
    pub(super) fn lack(&self) -> Result<Lack, Failure> {
        let lacks_external = self.registration.external.is_none()
            && self.directory().is_some_and(|it| it.requires_external_account);
        match &self.url {
            Some(_) => Ok(Lack::Nothing),
            None if !self.registration.is_new => Ok(Lack::Search),
            None if lacks_external => Err(Failure::lacks_external_account()),
            None => Ok(Lack::Account),
        }
    }

    /// Whether the CA is known to have it.
    pub fn is_registered(&self) -> bool {
        self.url.is_some()
    }

    pub(super) fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// The CA has it at this URL.
    pub(super) fn found(&mut self, url: String) {
        self.url = Some(url);
    }

    /// Whether the CA, by its answer to a search, has other contacts than these.
    pub(super) fn has_other_contacts(&self, answer: &[u8]) -> bool {
        let account: Value = serde_json::from_slice(answer).unwrap_or_default();
        let contacts = array(&account, "contact").iter().map(Value::as_str);
        !contacts.eq(self.registration.contact.iter().map(|it| Some(it.as_str())))
    }

    /// The payload of the request for these contacts.
    pub(super) fn contacts(&self) -> Value {
        json!({ "contact": self.registration.contact })
    }

    /// The CA has none for this key.
    pub(super) fn forget(&mut self) {
        self.url = None;
        self.registration.is_new = true;
    }

    /// Keeps what an answer gives for the next request.
    pub(super) fn keep_nonce(&mut self, response: &Response) {
        let Some(nonce) = response.nonce.as_deref() else { return };
        let is_base64url = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'_';
        if (1..=NONCE_BYTES_MAX).contains(&nonce.len()) && nonce.bytes().all(is_base64url) {
            if self.nonces.len() == NONCES_MAX {
                self.nonces.remove(0);
            }
            self.nonces.push(nonce.to_owned());
        }
    }

    /// Forgets the nonces that were kept: the CA did not know one.
    pub(super) fn forget_nonces(&mut self) {
        self.nonces.clear();
    }

    /// The signed request, or the one for a nonce if there is none. By the key itself if `by_key`.
    pub(super) fn sign(
        &mut self,
        url: &str,
        payload: &str,
        by_key: bool,
        accept: &'static str,
    ) -> Result<Request, Failure> {
        let unknown = || Failure::unusable("there is no account");
        let Some(nonce) = self.nonces.pop() else {
            let new_nonce = self.directory().map(|it| &it.new_nonce);
            let new_nonce = new_nonce.ok_or_else(unknown)?;
            return Ok(Request::unsigned(Method::Head, new_nonce));
        };
        let signer = match (&self.url, by_key) {
            (_, true) => Signer::Key,
            (Some(account), false) => Signer::Account(account),
            (None, false) => return Err(unknown()),
        };
        let body = signed(&self.key, &signer, &nonce, url, payload)
            .ok_or_else(|| Failure::of_machine("sign a request"))?;
        let content_type = Some("application/jose+json");
        Ok(Request { method: Method::Post, url: url.to_owned(), body, content_type, accept })
    }

    /// The payload of the request for a new account.
    pub(super) fn registration(&self) -> Value {
        let mut payload = json!({ "termsOfServiceAgreed": true });
        if !self.registration.contact.is_empty() {
            payload["contact"] = json!(self.registration.contact);
        }
        if let (Some(external), Some(directory)) = (&self.registration.external, self.directory()) {
            let binding = external.binding(&self.key, &directory.new_account);
            payload["externalAccountBinding"] = binding;
        }
        payload
    }
}
