//! What is to be said about directives that become no key: [`explain`].

use super::tree::Directive;
use crate::h1::token::is_token;
use crate::tls::secret::may_be_secret;

/// Longest name that is shown.
const SHOWN_BYTES_MAX: usize = 40;

/// Whether something is lost with a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No: narrows always does it, or has no use for it.
    Always,
    /// Yes.
    LeftOut,
}
use Kind::{Always, LeftOut};

/// Blocks with entries in them that are not directives.
const OPAQUE: &[&str] = &[
    "map",
    "geo",
    "types",
    "split_clients",
    "match",
    "charset_map",
    "limit_except",
    "if",
    "upstream",
];

/// The names of directives; what their first argument has to be, if it matters; what that means.
type Row = (&'static str, &'static str, Kind, &'static str);

/// The first row that fits is right.
const ROWS: &[Row] = &[
    ("http events", "", Always, ""),
    ("server", "", Always, ""),
    ("server_name", "", Always, "routes are chosen by their path, under every name"),
    // What is passed on, and how.
    ("proxy_buffering fastcgi_buffering", "", Always, "every byte is passed on at once"),
    (
        "proxy_request_buffering client_body_in_file_only client_body_buffer_size \
         client_body_temp_path client_body_in_single_buffer proxy_temp_path \
         proxy_max_temp_file_size proxy_temp_file_write_size",
        "",
        Always,
        "a request body is passed on while it arrives, and never written to disk",
    ),
    (
        "proxy_buffer_size proxy_buffers proxy_busy_buffers_size output_buffers postpone_output \
         client_header_buffer_size large_client_header_buffers",
        "",
        Always,
        "buffers need no setting; limits.head_bytes bounds a message head",
    ),
    ("chunked_transfer_encoding", "", Always, "a body of unknown length is always chunked"),
    ("proxy_http_version", "", Always, "HTTP/1.1 is always spoken to upstreams"),
    ("client_max_body_size", "", Always, "narrows has no limit for bodies, and holds none of them"),
    ("proxy_cache", "off", Always, "narrows caches nothing"),
    ("proxy_no_cache proxy_cache_bypass proxy_store", "", Always, "narrows caches nothing"),
    ("gzip brotli zstd", "off", Always, "narrows compresses nothing"),
    ("tcp_nodelay tcp_nopush sendfile sendfile_max_chunk aio directio", "", Always, "sent at once"),
    (
        "keepalive keepalive_requests keepalive_time zone proxy_socket_keepalive",
        "",
        Always,
        "connections to upstreams are kept, with a limit by age only if connection_age says so",
    ),
    ("underscores_in_headers ignore_invalid_headers", "", Always, "names with _ always pass"),
    (
        "merge_slashes absolute_redirect port_in_redirect server_name_in_redirect",
        "",
        Always,
        "paths pass byte for byte",
    ),
    (
        "proxy_pass_header proxy_pass_request_headers proxy_pass_request_body",
        "on",
        Always,
        "everything passes",
    ),
    ("proxy_pass_header", "", Always, "every field passes"),
    (
        "proxy_redirect proxy_cookie_path proxy_cookie_domain",
        "",
        Always,
        "redirects and cookies of the upstream are made to lead through the route",
    ),
    ("proxy_intercept_errors", "off", Always, "the upstream's errors pass as they are"),
    (
        "proxy_ignore_client_abort",
        "off",
        Always,
        "a client that leaves ends its request at the upstream",
    ),
    ("proxy_next_upstream", "off", Always, "there is one upstream"),
    ("proxy_method proxy_set_body", "", LeftOut, "narrows changes neither methods nor bodies"),
    (
        "proxy_ignore_client_abort",
        "",
        LeftOut,
        "a client that leaves always ends its request at the upstream",
    ),
    // TLS.
    ("proxy_ssl_server_name", "", Always, "the upstream's name is always sent (SNI)"),
    ("proxy_ssl_verify", "on", Always, "upstreams are always verified"),
    (
        "proxy_ssl_verify",
        "",
        LeftOut,
        "upstreams are always verified; a certificate of no public CA belongs in route.ca",
    ),
    ("proxy_ssl_verify_depth ssl_verify_depth", "", Always, "a chain may have any usual length"),
    (
        "proxy_ssl_session_reuse ssl_session_cache ssl_session_timeout ssl_session_tickets \
      ssl_session_ticket_key ssl_buffer_size ssl_early_data",
        "",
        Always,
        "TLS sessions are resumed without a setting",
    ),
    (
        "ssl_protocols ssl_ciphers ssl_prefer_server_ciphers ssl_ecdh_curve ssl_dhparam \
      ssl_conf_command proxy_ssl_protocols proxy_ssl_ciphers proxy_ssl_conf_command",
        "",
        Always,
        "TLS 1.2 and 1.3 with the suites that are safe today; none can be chosen",
    ),
    (
        "ssl_stapling ssl_stapling_verify ssl_stapling_file ssl_trusted_certificate",
        "",
        Always,
        "narrows staples no OCSP responses; Let's Encrypt has none any more",
    ),
    ("ssl", "", Always, "a listener with a certificate speaks TLS"),
    (
        "http2 http2_max_concurrent_streams http2_push spdy",
        "",
        Always,
        "clients speak HTTP/1.1; narrows has no HTTP/2",
    ),
    ("http3 http3_hq quic_retry quic_gso", "", Always, "clients speak HTTP/1.1 over TCP"),
    // Names and addresses.
    (
        "resolver resolver_timeout",
        "",
        Always,
        "names are looked up by the system, again as often as connections need it",
    ),
    // What the process does.
    (
        "worker_connections worker_rlimit_nofile use multi_accept accept_mutex worker_cpu_affinity \
      worker_priority worker_rlimit_core thread_pool pcre_jit timer_resolution daemon \
      master_process worker_aio_requests worker_shutdown_timeout",
        "",
        Always,
        "narrows takes what the machine has; limits.connections bounds the clients",
    ),
    (
        "user pid load_module lock_file env working_directory",
        "",
        Always,
        "the unit of systemd says it",
    ),
    (
        "server_tokens etag charset default_type types types_hash_max_size types_hash_bucket_size \
      server_names_hash_bucket_size server_names_hash_max_size variables_hash_max_size \
      variables_hash_bucket_size map_hash_bucket_size map_hash_max_size \
      proxy_headers_hash_max_size proxy_headers_hash_bucket_size index log_not_found autoindex \
      if_modified_since reset_timedout_connection open_file_cache open_file_cache_valid \
      open_file_cache_min_uses open_file_cache_errors recursive_error_pages \
      msie_padding keepalive_disable max_ranges override_charset stub_status",
        "",
        Always,
        "narrows serves no files of its own",
    ),
    ("set", "", Always, "where a route needs its value, it is written there"),
    (
        "log_format access_log log_subrequest open_log_file_cache rewrite_log",
        "",
        Always,
        "the log goes to stderr, a line for each exchange; see [log]",
    ),
    ("error_log", "", Always, "the log goes to stderr; see [log]"),
    // What is lost.
    ("include", "", LeftOut, "this file is not read; import it as well, or the output of nginx -T"),
    (
        "gzip gzip_types gzip_vary gzip_proxied gzip_comp_level gzip_min_length gzip_buffers \
      gzip_http_version gzip_disable gzip_static gunzip brotli brotli_types brotli_comp_level zstd",
        "",
        LeftOut,
        "narrows compresses nothing, so that no event is held back",
    ),
    (
        "proxy_cache proxy_cache_path proxy_cache_valid proxy_cache_key proxy_cache_methods \
      proxy_cache_use_stale proxy_cache_lock proxy_cache_background_update proxy_cache_min_uses \
      proxy_cache_revalidate proxy_ignore_headers expires fastcgi_cache fastcgi_cache_path",
        "",
        LeftOut,
        "narrows caches nothing",
    ),
    (
        "add_header more_set_headers add_trailer",
        "",
        LeftOut,
        "narrows adds no fields to the upstream's responses",
    ),
    (
        "proxy_hide_header more_clear_headers",
        "",
        LeftOut,
        "narrows hides no fields of the upstream's responses",
    ),
    (
        "more_set_input_headers more_clear_input_headers",
        "",
        LeftOut,
        "narrows changes no other fields of requests",
    ),
    (
        "sub_filter sub_filter_once sub_filter_types addition_types add_before_body add_after_body",
        "",
        LeftOut,
        "narrows changes no bodies",
    ),
    (
        "error_page proxy_intercept_errors",
        "",
        LeftOut,
        "errors of the upstream pass as they are, and narrows has its own",
    ),
    (
        "limit_req limit_req_zone limit_req_status limit_rate limit_rate_after proxy_limit_rate \
      limit_req_log_level",
        "",
        LeftOut,
        "narrows limits connections, not requests or bytes of an address",
    ),
    (
        "limit_conn limit_conn_zone limit_conn_status limit_conn_log_level",
        "",
        LeftOut,
        "limits.connections_per_address bounds the connections of an address",
    ),
    (
        "proxy_next_upstream proxy_next_upstream_tries proxy_next_upstream_timeout",
        "",
        LeftOut,
        "a route has one upstream; only what it cannot have seen is sent again",
    ),
    ("least_conn ip_hash hash random sticky queue ntlm", "", LeftOut, "a route has one upstream"),
    ("proxy_bind", "", LeftOut, "the system chooses the address that connections come from"),
    (
        "root alias try_files internal fastcgi_pass fastcgi_param uwsgi_pass scgi_pass \
      grpc_pass memcached_pass dav_methods random_index image_filter fastcgi_index \
      fastcgi_split_path_info disable_symlinks",
        "",
        LeftOut,
        "narrows serves no files and speaks only HTTP to upstreams",
    ),
    ("return", "", LeftOut, "narrows answers nothing in place of an upstream"),
    ("rewrite break", "", LeftOut, "a route only replaces a prefix"),
    ("if", "", LeftOut, "narrows has no conditions"),
    ("map geo split_clients", "", LeftOut, "narrows has no variables"),
    ("limit_except", "", LeftOut, "a route serves every method but CONNECT and TRACE"),
    ("mirror mirror_request_body", "", LeftOut, "a request goes to one upstream"),
    ("satisfy valid_referers secure_link secure_link_md5", "", LeftOut, "see the route"),
    (
        "real_ip_header real_ip_recursive set_real_ip_from",
        "",
        LeftOut,
        "the client's address is that of the connection",
    ),
    (
        "ssl_reject_handshake",
        "",
        LeftOut,
        "a client that asks for another name gets the first certificate",
    ),
    (
        "auth_basic_user_file auth_jwt_key_file auth_request_set",
        "",
        LeftOut,
        "tokens of [[client]] take the place of passwords; narrows token NAME makes one",
    ),
    (
        "proxy_set_header allow deny auth_basic auth_request auth_jwt proxy_read_timeout \
      proxy_send_timeout proxy_connect_timeout client_header_timeout client_body_timeout \
      send_timeout proxy_timeout proxy_ssl_name proxy_ssl_trusted_certificate \
      proxy_ssl_certificate proxy_ssl_certificate_key ssl_certificate ssl_certificate_key \
      ssl_client_certificate ssl_verify_client ssl_crl listen location proxy_protocol \
      proxy_ssl ssl_preread ssl_handshake_timeout lingering_timeout lingering_time \
      lingering_close",
        "",
        Always,
        "it applies to nothing that is translated",
    ),
    ("keepalive_timeout", "", Always, "idle connections are closed before the other end does it"),
    ("upstream", "", Always, "no route leads to it"),
    ("mail", "", LeftOut, "narrows does not speak the protocols of mail"),
];

/// What is to be said about `directive`, and whether what is in its block is then said as well.
pub(super) fn explain(directive: &Directive) -> (Kind, &'static str, bool) {
    let is_opaque = OPAQUE.contains(&directive.name.as_str());
    if is_map_for_websocket(directive) {
        return (Always, "WebSocket works without a setting", true);
    }
    if directive.name == "include" && is_harmless_include(directive.argument(0)) {
        return (Always, "narrows has no use for this file", true);
    }
    let fits = |(names, when, ..): &&Row| {
        names.split_whitespace().any(|it| it == directive.name)
            && (when.is_empty() || *when == directive.argument(0))
    };
    match ROWS.iter().find(fits) {
        Some((.., kind, what)) => (*kind, what, is_opaque),
        None => (LeftOut, "narrows import does not know this directive", true),
    }
}

/// The name of `directive` as notes show it, with the field, or with the path, that it is about.
/// Any word may be the first of a line, a secret as well, so others are shown only if they look
/// like names.
pub(super) fn shown(directive: &Directive) -> String {
    const ABOUT_FIELDS: [&str; 3] = ["proxy_set_header", "add_header", "proxy_hide_header"];
    let (name, argument) = (&*directive.name, directive.argument(0));
    if ABOUT_FIELDS.contains(&name) {
        let is_shown = is_token(argument.as_bytes()) && argument.len() <= SHOWN_BYTES_MAX;
        return if is_shown { format!("{name} {argument}") } else { name.to_owned() };
    }
    if name == "location" {
        let path = directive.arguments.join(" ");
        let is_shown = path.len() <= SHOWN_BYTES_MAX && !may_be_secret(&path);
        let is_text = path.bytes().all(|it| it == b' ' || it.is_ascii_graphic());
        return if is_shown && is_text { format!("location {path}") } else { name.to_owned() };
    }
    let is_name = name.bytes().all(|it| it.is_ascii_lowercase() || it == b'_');
    let is_shown = is_known(name) || (is_name && name.len() <= SHOWN_BYTES_MAX);
    if is_shown { name.to_owned() } else { "a directive".to_owned() }
}

/// Whether nginx has a directive of this name, as far as we know.
pub(super) fn is_known(name: &str) -> bool {
    /// Those that are always translated.
    const TRANSLATED: &str = "proxy_pass stream worker_processes";
    let names = ROWS.iter().map(|(names, ..)| *names).chain([TRANSLATED]);
    names.flat_map(str::split_whitespace).any(|it| it == name)
}

/// The block that every recipe for WebSocket has.
fn is_map_for_websocket(directive: &Directive) -> bool {
    directive.name == "map" && directive.argument(0) == "$http_upgrade"
}

/// Files that come with nginx or certbot, about types, modules and TLS.
fn is_harmless_include(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    let is_module = name.contains("modules") && name.ends_with(".conf");
    is_module || ["mime.types", "fastcgi_params", "options-ssl-nginx.conf"].contains(&file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::nginx::tree::parse;
    use std::collections::BTreeSet;

    #[test]
    fn the_first_argument_may_make_a_difference() {
        check("proxy_ssl_verify on;", Always, "always verified");
        check("proxy_ssl_verify off;", LeftOut, "in route.ca");
        check("gzip on;", LeftOut, "no event is held back");
        check("gzip off;", Always, "compresses nothing");
    }

    #[test]
    fn blocks_and_files_that_everyone_has_are_known() {
        check("map $http_upgrade $c { default upgrade; '' close; }", Always, "WebSocket");
        check("map $uri $c { default a; }", LeftOut, "no variables");
        check("include /etc/nginx/mime.types;", Always, "no use for this file");
        check("include /etc/nginx/modules-enabled/*.conf;", Always, "no use for this file");
        check("include conf.d/*.conf;", LeftOut, "is not read");
        check("frobnicate on;", LeftOut, "does not know");
    }

    #[test]
    fn a_name_without_condition_has_one_row_of_each_condition() {
        let mut seen = BTreeSet::new();
        for (names, when, ..) in ROWS {
            for name in names.split_whitespace() {
                assert!(seen.insert((name, when)), "{name} {when}");
            }
        }
    }

    #[track_caller]
    fn check(text: &str, kind: Kind, why: &str) {
        let tree = parse(text).unwrap();
        let (is, what, _) = explain(&tree[0]);
        assert!(is == kind && what.contains(why), "{what}");
    }
}
