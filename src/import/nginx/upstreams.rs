//! `upstream` blocks: which of their servers a route leads to.

use super::tree::Directive;
use super::work::Work;

/// The authority that a route leads to.
pub(super) struct Server<'t> {
    /// Host and, if it was said, port.
    pub(super) authority: String,
    /// The block that it is from, and its directive.
    pub(super) from: Option<(&'t Directive, &'t Directive)>,
}

/// What `authority` means: the first usable server of the `upstream` of this name, or itself.
pub(super) fn find<'t>(
    work: &mut Work,
    http: &'t [Directive],
    authority: &str,
) -> Result<Server<'t>, &'static str> {
    let is_named = |it: &&Directive| it.name == "upstream" && it.argument(0) == authority;
    let Some(block) = http.iter().find(is_named) else {
        return Ok(Server { authority: authority.to_owned(), from: None });
    };
    let has = |it: &Directive, word: &str| it.arguments.iter().skip(1).any(|it| it == word);
    let servers: Vec<_> = block.all("server").collect();
    let is_usable = |it: &&&Directive| {
        !has(it, "down") && !has(it, "backup") && !it.argument(0).starts_with("unix:")
    };
    let Some(first) = servers.iter().find(is_usable).copied() else {
        return Err("its upstream has no server that narrows can connect to");
    };
    for other in servers.iter().filter(|it| it.id != first.id) {
        if !work.is_accounted(other) {
            work.left_out(other, "a route has one upstream; this server is not used");
        }
    }
    Ok(Server { authority: first.argument(0).to_owned(), from: Some((block, first)) })
}
