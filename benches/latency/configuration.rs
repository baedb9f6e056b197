//! What the relays that are compared are told: each does the same job, TLS on both sides with a
//! verified upstream and kept connections, with one worker, and as well as it can. What nginx and
//! HAProxy need to be told for that, they are.

use crate::{CA, CERTIFICATE, KEY};
use narrows_kit::programs::{Folder, HAPROXY_DEFAULTS, Program};
use std::net::SocketAddr;
use std::path::Path;
use std::{fs, io};

/// Of `program`, which listens at `address`, in front of `origin`.
pub(crate) fn configuration(
    program: Program,
    address: SocketAddr,
    origin: SocketAddr,
    folder: &Folder,
) -> io::Result<String> {
    Ok(match program {
        Program::Narrows => narrows_configuration(address, origin),
        Program::Nginx => nginx_configuration(address, origin, &folder.path),
        Program::Haproxy => {
            let both = folder.path.join("both.pem");
            fs::write(&both, [fs::read(CERTIFICATE)?, fs::read(KEY)?].concat())?;
            haproxy_configuration(address, origin, &both)
        }
    })
}

fn narrows_configuration(address: SocketAddr, origin: SocketAddr) -> String {
    format!(
        r#"workers = 1
[[listener]]
address = "{address}"
certificate = {CERTIFICATE:?}
key = {KEY:?}
[[route]]
path = "/gpt/"
upstream = "https://api.openai.test/"
connect = "{origin}"
ca = {CA:?}
"#
    )
}

fn nginx_configuration(address: SocketAddr, origin: SocketAddr, folder: &Path) -> String {
    let folder = folder.display();
    let port = address.port();
    format!(
        r#"worker_processes 1; daemon off; pid {folder}/nginx-{port}.pid;
events {{ worker_connections 1000; }}
http {{
  access_log off; tcp_nodelay on; client_max_body_size 0; keepalive_requests 1000000;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  upstream api {{ server {origin}; keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen {address} ssl;
    ssl_certificate "{CERTIFICATE}"; ssl_certificate_key "{KEY}"; ssl_protocols TLSv1.2 TLSv1.3;
    location /gpt/ {{
      proxy_pass https://api/; proxy_set_header Host api.openai.test;
      proxy_ssl_server_name on; proxy_ssl_name api.openai.test; proxy_ssl_verify on;
      proxy_ssl_trusted_certificate "{CA}"; proxy_ssl_protocols TLSv1.2 TLSv1.3;
      proxy_http_version 1.1; proxy_set_header Connection '';
      proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 600s;
    }}
  }}
}}
"#
    )
}

fn haproxy_configuration(address: SocketAddr, origin: SocketAddr, both: &Path) -> String {
    let both = both.display();
    format!(
        r#"{HAPROXY_DEFAULTS}frontend clients
  bind {address} ssl crt {both} alpn http/1.1
  default_backend api
backend api
  http-request replace-path /gpt/(.*) /\1
  http-request set-header Host api.openai.test
  server api {origin} ssl verify required ca-file "{CA}" sni str(api.openai.test) pool-max-conn 64
"#
    )
}
