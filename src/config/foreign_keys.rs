//! Keys of other programs, such as nginx, Caddy, HAProxy and Traefik, and what to write here
//! instead.
//!
//! Names that are close to one of ours are not here: the nearest one is found without a list.

/// What to write instead of a foreign name.
#[derive(Clone, Copy, Debug)]
enum Instead {
    /// A key of this table, and an example of it.
    Key(&'static str, &'static str),
    /// An answer in words.
    Words(&'static str),
}

use Instead::{Key, Words};

const ADDRESS: Instead = Key("[[listener]]", "address = \"127.0.0.1:8080\"");
const CERTIFICATE: Instead = Key("[[listener]]", "certificate = \"fullchain.pem\"");
const PRIVATE_KEY: Instead = Key("[[listener]]", "key = \"privkey.pem\"");
const UPSTREAM: Instead = Key("[[route]]", "upstream = \"https://api.openai.com/\"");
const PATH: Instead = Key("[[route]]", "path = \"/gpt/\"");
const CA: Instead = Key("[[route]]", "ca = \"roots.pem\"");
const RESPONSE: Instead = Key("[timeouts]", "response_head = \"10m\"");
const CONNECT: Instead = Key("[timeouts]", "connect = \"5s\"");
const KEEP_ALIVE: Instead = Key("[timeouts]", "keep_alive = \"75s\"");
const CONNECTIONS: Instead = Key("[limits]", "connections = 10000");
const NO_BODY_LIMIT: Instead = Words("delete it; a body of any size is passed on as it comes");
const NO_BUFFERS: Instead =
    Words("delete it; bytes are passed on at once, and nothing is buffered");
const ALWAYS_VERIFIED: Instead =
    Words("an upstream is always verified; `ca` in [[route]] trusts a root of your own");
const NO_DAEMON: Instead =
    Words("it runs in the foreground; systemd or `&` puts it in the background");
const TO_STDERR: Instead = Words("the log goes to stderr; `2>> narrows.log` writes it to a file");
const LEVEL: Instead = Words("write at the top of the file: log = { level = \"debug\" }");
const FORMAT: Instead = Words("write at the top of the file: log = { format = \"json\" }");
const DOMAINS: Instead = Key("[[listener]]", "domains = [\"api.example.com\"]");
const CONTACT: Instead = Key("[acme]", "contact = \"mailto:me@example.com\"");
const STATE: Instead = Key("[acme]", "state = \"/var/lib/narrows\"");
const DIRECTORY: Instead =
    Key("[acme]", "directory = \"https://acme-v02.api.letsencrypt.org/directory\"");
const ACCOUNT: Instead =
    Key("[acme]", "external_account = { key_id = \"kid-1\", key_file = \"eab.key\" }");
const NO_DNS: Instead =
    Words("delete it; authorities connect to port 443 or 80, and no DNS provider is asked");

/// Keys, lower case, with `_` for `-`; `table.key` has precedence in that table.
const KEYS: &[(&str, Instead)] = &[
    ("listen bind port addr listen_addr listen_address listen_port bind_address ip", ADDRESS),
    (
        "cert crt cert_file certfile tls_cert ssl_cert ssl_certificate fullchain pem \
         certificate_file",
        CERTIFICATE,
    ),
    (
        "key_path keyfile tls_key ssl_key ssl_certificate_key private_key privkey \
         privatekey",
        PRIVATE_KEY,
    ),
    (
        "proxy_pass reverse_proxy backend backends target url base_url api_base api_url \
         upstreams upstream_url origin destination dest to forward_to endpoint",
        UPSTREAM,
    ),
    (
        "location locations prefix path_prefix route_path match handle handle_path uri \
         from",
        PATH,
    ),
    (
        "proxy_ssl_trusted_certificate ca_file cafile ca_cert cacert root_ca ssl_ca \
         trusted_certificate",
        CA,
    ),
    (
        "proxy_ssl_verify ssl_verify tls_verify verify verify_ssl insecure \
         insecure_skip_verify tls_insecure_skip_verify skip_verify",
        ALWAYS_VERIFIED,
    ),
    (
        "proxy_ssl_name proxy_ssl_server_name sni tls_server_name",
        Key("[[route]]", "tls_name = \"api.openai.com\""),
    ),
    ("listener.host listener.hostname", ADDRESS),
    (
        "route.listener route.listeners route.address",
        Words("delete it; every http listener serves all routes"),
    ),
    (
        "forward.listener forward.listeners forward.address",
        Words("delete it; every tcp listener serves all forwards"),
    ),
    ("host_header", Key("[[route]]", "host = \"api.openai.com\"")),
    (
        "proxy_set_header add_header header_up headers header set_header request_headers",
        Words("delete it; fields pass unchanged; `host` sets Host, and `key_file` the API's key"),
    ),
    (
        "proxy_read_timeout read_timeout timeout timeout_server response_timeout \
         request_timeout timeout_read",
        RESPONSE,
    ),
    ("proxy_connect_timeout connect_timeout timeout_connect dial_timeout", CONNECT),
    (
        "keepalive_timeout keep_alive_timeout keepalive idle_timeout timeout_client \
         timeout_http_keep_alive",
        KEEP_ALIVE,
    ),
    (
        "proxy_send_timeout send_timeout write_timeout",
        Key("[timeouts]", "to_client = { write = \"60s\" }"),
    ),
    (
        "client_header_timeout header_timeout read_header_timeout",
        Key("[timeouts]", "request_head = \"10s\""),
    ),
    (
        "client_body_timeout body_timeout request_body request_body_timeout",
        Key("[timeouts]", "to_upstream = { read = \"60s\" }"),
    ),
    (
        "response_body response_body_timeout stream_idle_timeout",
        Key("[timeouts]", "to_client = { read = \"10m\" }"),
    ),
    ("worker_connections max_connections maxconn connection_limit max_conn", CONNECTIONS),
    (
        "limit_conn max_connections_per_ip connections_per_ip",
        Key("[limits]", "connections_per_address = 256"),
    ),
    (
        "large_client_header_buffers max_header_size header_size max_header_bytes",
        Key("[limits]", "head_bytes = 65536"),
    ),
    (
        "worker_processes threads nbthread nbproc num_threads num_workers",
        Words("write at the top of the file: workers = 4"),
    ),
    (
        "client_max_body_size max_body_size body_limit max_request_body_size body_size",
        NO_BODY_LIMIT,
    ),
    (
        "proxy_buffering buffering proxy_request_buffering proxy_cache flush_interval \
         gzip cache buffer_size",
        NO_BUFFERS,
    ),
    (
        "proxy_http_version http_version http2 h2 http3",
        Words("delete it; HTTP/1.1 is spoken on both sides"),
    ),
    (
        "websockets upgrade",
        Words("delete it; WebSocket needs no setting; `websocket = false` in [[route]] refuses it"),
    ),
    ("log_level loglevel verbose debug level log", LEVEL),
    ("log_format logformat json", FORMAT),
    ("access_log error_log log_file logfile log_path log.file log.path log.output", TO_STDERR),
    ("daemon daemonize user group pid pid_file pidfile", NO_DAEMON),
    (
        "server_name domain hostname vhost virtual_host server_names",
        Words("delete it; a listener serves every name, and a route is chosen by its path"),
    ),
    (
        "listener.domain listener.acme listener.letsencrypt domain_names letsencrypt autocert \
         auto_https certbot",
        DOMAINS,
    ),
    ("email acme_email acme_contact", CONTACT),
    ("acme.storage acme.dir acme.path cache_dir storage_dir data_dir state_dir", STATE),
    ("acme.server acme.url directory_url acme_url ca_server caserver", DIRECTORY),
    ("eab eab_kid eab_key eab_hmac_key external_account_binding", ACCOUNT),
    ("dns dns_provider dns01 dns_challenge challenge challenges", NO_DNS),
    ("force_https https_redirect redirect_https", Key("[[listener]]", "redirect = true")),
    (
        "client_auth ssl_client_certificate ssl_verify_client client_ca_file client_ca_cert mtls",
        Key("[[listener]]", "client_ca = \"clients.pem\""),
    ),
    (
        "set_real_ip_from trusted_proxy trusted_ips trusted_hosts forwarded_allow_ips trust_proxy \
         proxy_trusted_addresses listener.trusted",
        Key("[[listener]]", "trusted_proxies = [\"10.0.0.0/8\"]"),
    ),
    (
        "real_ip_header client_ip_header client_ip_headers real_ip remote_ip_header",
        Key("[[listener]]", "client_address = \"X-Forwarded-For\""),
    ),
    (
        "real_ip_recursive",
        Words("delete it; a list of addresses is always read to the first that is not trusted"),
    ),
    (
        "allow_from allow_ips allowed_ips allowed_ip whitelist ip_whitelist allowlist \
         ip_allow_list remote_ip source_range",
        Key("[[listener]]", "allow = [\"203.0.113.0/24\"]"),
    ),
    (
        "deny deny_from denied_ips blacklist ip_blacklist denylist block",
        Words("delete it; `allow` names all who are served, and a firewall keeps out single ones"),
    ),
    ("ssl_crl crl crl_file", Key("[[listener]]", "client_crl = \"revoked.pem\"")),
    (
        "proxy_ssl_certificate client_cert client_cert_file",
        Key("[[route]]", "client_certificate = \"client.pem\""),
    ),
    ("proxy_ssl_certificate_key client_key_file", Key("[[route]]", "client_key = \"client.key\"")),
    (
        "ssl tls https ssl_protocols ssl_ciphers tls_min_version min_version",
        Words("write certificate = \"fullchain.pem\" and key = \"privkey.pem\" below [[listener]]"),
    ),
    (
        "strip_prefix rewrite strip_path uri_strip_prefix",
        Words("delete it; the upstream's path always replaces the path of the route"),
    ),
    (
        "route.key route.token api_key apikey api_keys openai_api_key anthropic_api_key \
         authorization bearer keys",
        Key("[[route]]", "key_file = \"openai.keys\""),
    ),
    (
        "token tokens auth users basic_auth auth_basic password master_key access_keys \
         client_keys virtual_keys",
        Words(
            "clients have tokens; `narrows token NAME` makes one and prints its table [[client]]",
        ),
    ),
    (
        "proxy http_proxy https_proxy socks5",
        Words("delete it; upstreams are reached directly; `connect` dials another host and port"),
    ),
    (
        "http global defaults frontend main general settings",
        Words(
            "delete it; the tables are [[listener]], [[route]], [[forward]], [timeouts], [limits]",
        ),
    ),
    (
        "server servers",
        Words("write [[listener]] for an address to listen on, [[route]] for where requests go"),
    ),
];

/// What to write in `table` instead of `key`, which is not known there.
pub(super) fn instead_of_key(key: &str, table: &str) -> Option<String> {
    Some(match instead_of(key, table)? {
        Words(words) => words.to_owned(),
        Key(header, example) if header.trim_matches(['[', ']']) == table => {
            format!("write {example}")
        }
        Key(header, example) => format!("write below {header}: {example}"),
    })
}

/// Whether `name`, found in `table`, means its key `key`.
pub(super) fn stands_for(name: &str, table: &str, key: &str) -> bool {
    match instead_of(name, table) {
        Some(Key(header, _)) if table.is_empty() => header.trim_matches(['[', ']']) == key,
        Some(Key(header, example)) if header.trim_matches(['[', ']']) == table => {
            example.split(" =").next() == Some(key)
        }
        Some(Key(..) | Words(_)) | None => false,
    }
}

fn instead_of(key: &str, table: &str) -> Option<Instead> {
    let key = key.to_ascii_lowercase().replace('-', "_");
    let here = format!("{table}.{key}");
    let find = |key: &str| KEYS.iter().find(|(names, _)| names.split(' ').any(|name| name == key));
    find(&here).or_else(|| find(&key)).map(|(_, instead)| *instead)
}

/// An example of a key that is required.
pub(super) fn example(table: &str, key: &str) -> Option<&'static str> {
    match (table, key) {
        ("", "listener") => Some("[[listener]], and below it address = \"127.0.0.1:8080\""),
        ("", "route") => {
            Some("[[route]], and below it path = \"/gpt/\", upstream = \"https://api.openai.com/\"")
        }
        ("", "forward") => {
            Some("[[forward]], and below it server_name = \"*\", upstream = \"tcp://10.0.0.5:443\"")
        }
        ("listener", "address") => Some("address = \"127.0.0.1:8080\""),
        ("route", "path") => Some("path = \"/gpt/\""),
        ("route", "upstream") => Some("upstream = \"https://api.openai.com/\""),
        ("forward", "server_name") => Some("server_name = \"*\""),
        ("forward", "upstream") => Some("upstream = \"tcp://10.0.0.5:443\""),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::read;

    #[test]
    fn every_example_is_a_valid_key() {
        for (names, instead) in KEYS {
            let Key(header, example) = instead else { continue };
            let others = match *header {
                "[[listener]]" => "[[route]]\npath = \"/\"\nupstream = \"https://h/\"\n",
                "[[route]]" => "[[listener]]\naddress = \"127.0.0.1:1\"\n",
                _ => {
                    "[[listener]]\naddress = \"127.0.0.1:1\"\n\
                     [[route]]\npath = \"/\"\nupstream = \"https://h/\"\n"
                }
            };
            let problems = read(&format!("{others}{header}\n{example}\n"));
            let unknown = problems.err().map(|it| it.to_string()).unwrap_or_default();
            assert!(
                !unknown.contains("unknown") && !unknown.contains("allowed"),
                "{names:?}: {unknown}"
            );
        }
    }

    #[test]
    fn a_name_has_one_answer() {
        let mut keys: Vec<_> = KEYS.iter().flat_map(|(names, _)| names.split(' ')).collect();
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }

    #[test]
    fn a_key_is_found_however_it_is_written() {
        for key in ["proxy_pass", "proxy-pass", "Proxy_Pass"] {
            let upstream = "upstream = \"https://api.openai.com/\"";
            assert_eq!(instead_of_key(key, "route"), Some(format!("write {upstream}")));
            let want = format!("write below [[route]]: {upstream}");
            assert_eq!(instead_of_key(key, "listener"), Some(want));
        }
        assert_eq!(instead_of_key("nonsense", ""), None);
    }
}
