//! What limits who may use a location: [`guards`].

use super::scope::Scope;
use super::tree::Directive;
use super::variables::names;
use super::work::Work;
use crate::import::note::Note;

/// What a guard means for the route.
const CLOSED: &str = "narrows does not know this guard; the route is a comment, so that it is not \
                      open to everyone; remove the # to serve it";

/// Variables of conditions that say nothing about who the client is.
const HARMLESS: &[&str] = &[
    "http_user_agent",
    "request_method",
    "http_referer",
    "invalid_referer",
    "host",
    "http_host",
    "scheme",
    "server_port",
    "https",
    "request_uri",
    "uri",
    "args",
    "query_string",
    "http_origin",
    "http_upgrade",
    "request_filename",
    "http_x_forwarded_proto",
    "content_length",
    "content_type",
];

/// Why the route of a location must not be open to everyone: a note for each guard of it.
pub(super) fn guards(work: &mut Work, scope: &Scope<'_>) -> Vec<Note> {
    let mut found: Vec<&Directive> = Vec::new();
    let addresses = [scope.all("allow"), scope.all("deny")].concat();
    if addresses.iter().any(|it| it.name == "deny" || it.argument(0) != "all") {
        found.extend(addresses);
    }
    for name in ["auth_basic", "auth_request", "auth_jwt"] {
        found.extend(scope.last(name).filter(|it| it.argument(0) != "off"));
    }
    for name in ["access_by_lua", "rewrite_by_lua", "js_access"] {
        for ending in ["", "_block", "_file"] {
            found.extend(scope.all(&format!("{name}{ending}")));
        }
    }
    found.extend(scope.everywhere("if").filter(|it| refuses(it)));
    found.iter().map(|it| closed(work, it)).collect()
}

fn closed(work: &mut Work, directive: &Directive) -> Note {
    work.account_inside(directive);
    let note = work.note(directive, CLOSED);
    work.draft.left_out.push(note.clone());
    note
}

/// Whether an `if` refuses clients by what they are or have.
fn refuses(condition: &Directive) -> bool {
    let refusal = condition.all("return").any(|it| it.argument(0).starts_with('4'));
    let mut variables = condition.arguments.iter().flat_map(|it| names(it));
    refusal && variables.any(|it| !HARMLESS.contains(&it))
}
