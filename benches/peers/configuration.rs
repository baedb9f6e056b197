//! The configurations of the relays that are compared: each does the same job, TLS on both sides
//! with a verified upstream and kept connections, with one worker unless said otherwise, and as
//! well as it can. nginx and HAProxy get the settings that they need for that.

use narrows_kit::certificates::{certificate_file, listener_keys};
use narrows_kit::folder::Folder;
use narrows_kit::programs::{HAPROXY_DEFAULTS, Program};
use std::net::SocketAddr;
use std::path::Path;
use std::{fs, io};

/// Of `program`, which listens at `address`, in front of `origin`, for so many clients at once.
pub(crate) fn configuration(
    program: Program,
    address: SocketAddr,
    origin: SocketAddr,
    clients: usize,
    folder: &Folder,
) -> io::Result<String> {
    Ok(match program {
        Program::Narrows => narrows_configuration(1, address, origin),
        Program::Nginx => nginx_configuration(address, origin, clients, &folder.path),
        Program::Haproxy => {
            let both = folder.path.join("both.pem");
            let parts = ["server.pem", "server.key"].map(certificate_file);
            fs::write(&both, [fs::read(&parts[0])?, fs::read(&parts[1])?].concat())?;
            haproxy_configuration(address, origin, clients, &both)
        }
    })
}

/// Of narrows, with so many workers.
pub(crate) fn narrows_configuration(
    workers: usize,
    address: SocketAddr,
    origin: SocketAddr,
) -> String {
    let (keys, ca) = (listener_keys(), certificate_file("ca.pem"));
    format!(
        r#"workers = {workers}
limits = {{ connections_per_address = 10000 }}
[[listener]]
address = "{address}"
{keys}[[route]]
path = "/gpt/"
upstream = "https://api.openai.test/"
connect = "{origin}"
ca = {ca:?}
"#
    )
}

fn nginx_configuration(
    address: SocketAddr,
    origin: SocketAddr,
    clients: usize,
    folder: &Path,
) -> String {
    let folder = folder.display();
    let port = address.port();
    // A client takes two, and nginx closes some when fewer than a sixteenth are free.
    let connections = 3 * clients;
    let [certificate, key, ca] = ["server.pem", "server.key", "ca.pem"].map(certificate_file);
    format!(
        r#"worker_processes 1; daemon off; pid {folder}/nginx-{port}.pid;
error_log stderr;
events {{ worker_connections {connections}; }}
http {{
  access_log off; tcp_nodelay on; client_max_body_size 0; keepalive_requests 1000000;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  upstream api {{ server {origin}; keepalive 256; keepalive_requests 1000000; }}
  server {{
    listen {address} ssl;
    ssl_certificate {certificate:?}; ssl_certificate_key {key:?}; ssl_protocols TLSv1.2 TLSv1.3;
    location /gpt/ {{
      proxy_pass https://api/; proxy_set_header Host api.openai.test;
      proxy_ssl_server_name on; proxy_ssl_name api.openai.test; proxy_ssl_verify on;
      proxy_ssl_trusted_certificate {ca:?}; proxy_ssl_protocols TLSv1.2 TLSv1.3;
      proxy_http_version 1.1; proxy_set_header Connection '';
      proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 600s;
    }}
  }}
}}
"#
    )
}

fn haproxy_configuration(
    address: SocketAddr,
    origin: SocketAddr,
    clients: usize,
    both: &Path,
) -> String {
    let (both, ca) = (both.display(), certificate_file("ca.pem"));
    let defaults = HAPROXY_DEFAULTS.replace("maxconn 1000", &format!("maxconn {}", clients + 100));
    let ca = ca.display();
    format!(
        r#"{defaults}frontend clients
  maxconn {clients}
  bind {address} ssl crt {both} alpn http/1.1
  default_backend api
backend api
  http-request replace-path /gpt/(.*) /\1
  http-request set-header Host api.openai.test
  server api {origin} ssl verify required ca-file "{ca}" sni str(api.openai.test) pool-max-conn 256
"#
    )
}
