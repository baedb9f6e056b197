//! The configurations of the programs that are compared: `/gpt/` goes to the first or the second
//! version of one upstream, by HTTPS on both sides. Where nginx and Caddy have a setting that
//! spares clients, it is set.

use narrows_kit::certificates::certificate_file;
use std::net::SocketAddr;
use std::path::Path;

/// What a configuration says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'f> {
    pub(crate) address: SocketAddr,
    pub(crate) origin: SocketAddr,
    /// Caddy's endpoint for reloads.
    pub(crate) admin: SocketAddr,
    /// Routes beside `/gpt/`, each to an upstream of its own.
    pub(crate) routes: u32,
    pub(crate) folder: &'f Path,
    /// Whether the route leads to the second version.
    pub(crate) second: bool,
}

impl Wanted<'_> {
    fn version(&self) -> &'static str {
        if self.second { "v2" } else { "v1" }
    }

    pub(crate) fn narrows(&self) -> String {
        let Self { address, origin, .. } = self;
        let others = (0..self.routes).map(|number| {
            format!(
                "[[route]]\npath = \"/{number}/\"\nupstream = \"https://{number}.test/\"\n\
                 connect = \"{origin}\"\nwarm = 0\n"
            )
        });
        format!(
            r#"workers = 2
[[listener]]
address = "{address}"
certificate = "certificate.pem"
key = "key.pem"
[[route]]
path = "/gpt/"
upstream = "https://localhost/{version}/"
connect = "{origin}"
ca = {ca:?}
{others}[timeouts]
stop = "10m"
"#,
            version = self.version(),
            ca = certificate_file("ca.pem"),
            others = others.collect::<String>(),
        )
    }

    pub(crate) fn nginx(&self) -> String {
        let Self { address, origin, .. } = self;
        let folder = self.folder.display();
        let others = (0..self.routes)
            .map(|it| format!("upstream u{it} {{ server {origin}; keepalive 64; }}\n"));
        let locations = (0..self.routes)
            .map(|it| format!("location /{it}/ {{ proxy_pass https://u{it}/; }}\n"));
        format!(
            r#"worker_processes 2; pid {folder}/nginx.pid;
events {{ worker_connections 4000; }}
http {{
  access_log off; tcp_nodelay on; client_max_body_size 0;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  upstream api {{ server {origin}; keepalive 64; }}
  {others}
  server {{
    listen {address} ssl; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;
    {locations}
    location /gpt/ {{
      proxy_pass https://api/{version}/; proxy_set_header Host localhost;
      proxy_ssl_server_name on; proxy_ssl_name localhost; proxy_ssl_verify on;
      proxy_ssl_trusted_certificate {ca};
      proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 600s;
    }}
  }}
}}
"#,
            version = self.version(),
            ca = certificate_file("ca.pem").display(),
            others = others.collect::<String>(),
            locations = locations.collect::<String>(),
        )
    }

    pub(crate) fn caddy(&self) -> String {
        let Self { address, origin, admin, .. } = self;
        let folder = self.folder.display();
        let others = (0..self.routes)
            .map(|it| format!("handle_path /{it}/* {{\nreverse_proxy https://{it}.test\n}}\n"));
        format!(
            r#"{{
  admin {admin}
  auto_https off
  servers {{
    protocols h1
  }}
}}
https://localhost:{port} {{
  bind {ip}
  tls {folder}/certificate.pem {folder}/key.pem
  {others}
  handle_path /gpt/* {{
    rewrite * /{version}{{uri}}
    reverse_proxy https://{origin} {{
      header_up Host localhost
      flush_interval -1
      transport http {{
        tls_server_name localhost
        tls_trusted_ca_certs {ca}
      }}
    }}
  }}
}}
"#,
            port = address.port(),
            ip = address.ip(),
            version = self.version(),
            ca = certificate_file("ca.pem").display(),
            others = others.collect::<String>(),
        )
    }
}
