//! nginx in front of the relay, as people configure it.

use crate::patient::{Diagnosis, free_address, leave_out};
use crate::servers::{UNAUTHORIZED, http};
use narrows_kit::folder::Folder;
use narrows_kit::programs::Program;

#[test]
fn nginx_as_the_guide_configures_it_passes_everything() {
    let found = behind("proxy_http_version 1.1; proxy_buffering off; client_max_body_size 100m;");
    let Some(found) = found else { return };
    found.exits(0).has("stream", "ok", "8 of 8 pieces", "").has("upload", "ok", "2 MiB", "");
}

#[test]
fn nginx_with_its_defaults_refuses_long_bodies_and_streams() {
    // narrows asks it not to buffer (X-Accel-Buffering), and the test stream does so, too.
    let Some(found) = behind("") else { return };
    found.exits(1).has("upload", "failure", "413", "client_max_body_size");
    found.has("stream", "ok", "8 of 8 pieces", "");
}

#[test]
fn nginx_that_buffers_all_the_same_is_named() {
    let Some(found) = behind("proxy_ignore_headers X-Accel-Buffering;") else { return };
    found.exits(1).has("stream", "failure", "held back to its end", "proxy_ignore_headers");
}

/// Of nginx with these directives in its location; nothing without nginx.
fn behind(directives: &str) -> Option<Diagnosis> {
    if Program::Nginx.version().is_none() {
        leave_out("nginx is not installed");
        return None;
    }
    let (folder, serve) = (Folder::new("doctor"), free_address());
    let started = Program::Nginx.start(&folder, |address| {
        let folder = folder.path.display();
        Ok(format!(
            "daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n\
             events {{}}\nhttp {{ access_log off; client_body_temp_path {folder}/body;\n\
             proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;\n\
             uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n\
             server {{ listen {address}; location /gpt/ {{\n\
             proxy_pass http://{serve}; {directives} }} }} }}\n"
        ))
    });
    let nginx = started.unwrap();
    let (url, serve) = (format!("http://{}/gpt/", nginx.address), serve.to_string());
    let route = format!("http://{}/", http(UNAUTHORIZED));
    Some(Diagnosis::of_route(&route, &["--url", &url, "--serve", &serve]))
}
