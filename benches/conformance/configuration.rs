//! The configurations of the programs that are compared: each relays `/gpt/` to `/` of one upstream
//! and nothing else, with one worker. nginx and HAProxy get the settings that they need for that,
//! and for WebSocket, kept connections and bodies of any size; all else is as installed.

use narrows_kit::folder::Folder;
use narrows_kit::programs::{HAPROXY_DEFAULTS, Program};
use std::net::SocketAddr;
use std::path::Path;

/// Of `program`, which listens at `address`, in front of `origin`.
pub(crate) fn configuration(
    program: Program,
    address: SocketAddr,
    origin: SocketAddr,
    folder: &Folder,
) -> String {
    match program {
        Program::Narrows => narrows_configuration(address, origin),
        Program::Nginx => nginx_configuration(address, origin, &folder.path),
        Program::Haproxy => haproxy_configuration(address, origin),
    }
}

fn narrows_configuration(address: SocketAddr, origin: SocketAddr) -> String {
    format!(
        r#"workers = 1
[[listener]]
address = "{address}"
[[route]]
path = "/gpt/"
upstream = "http://api.openai.test/"
connect = "{origin}"
"#
    )
}

fn nginx_configuration(address: SocketAddr, origin: SocketAddr, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"worker_processes 1; daemon off; pid {folder}/nginx.pid;
events {{ worker_connections 1000; }}
http {{
  access_log off; tcp_nodelay on; client_max_body_size 0;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream api {{ server {origin}; keepalive 64; }}
  server {{
    listen {address};
    location / {{ return 404; }}
    location /gpt/ {{
      proxy_pass http://api/; proxy_set_header Host api.openai.test;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
      proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 600s;
    }}
  }}
}}
"#
    )
}

fn haproxy_configuration(address: SocketAddr, origin: SocketAddr) -> String {
    format!(
        r#"{HAPROXY_DEFAULTS}frontend clients
  bind {address}
  http-request deny deny_status 404 unless {{ path_beg /gpt/ }}
  default_backend api
backend api
  http-request replace-path /gpt/(.*) /\1
  http-request set-header Host api.openai.test
  server api {origin} pool-max-conn 64
"#
    )
}
