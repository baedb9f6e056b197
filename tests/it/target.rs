//! The request-target: which paths have a route, and which bytes of them arrive.

use crate::support::rig::{LAST_RESPONSE, Rig, expect_bytes, expect_own_error, forwarded};
use narrows_kit::client;
use narrows_kit::origin::Origin;
use narrows_kit::peer::End;
use narrows_kit::relay::Relay;

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[tokio::test]
async fn the_path_after_the_prefix_arrives_byte_for_byte() {
    let rig = Rig::new().await;
    for rest in [
        "",
        "v1/models",
        "org%2Fmodel",
        "org%2fmodel",
        "a//b///",
        "/",
        "a;b=c;d/e;",
        "%c3%A9/%7e/~",
        "ft:gpt-4:x",
        "ft%3Agpt%3ax",
        "a%20b+c",
        "a&b=c,d!e$f'(g)*@h:",
        "%zz%",
        "a|b\"c<d>e^f`g{h}",
        "...",
        "a..b/.c/d.",
        "%252F",
        "a%252fb",
        "%252e/",
        "a..b%2f..c",
        "x;v=1;w=2/y;v=..",
        "%ef%bc%8e",
        "%e2%80%a6",
        "%00",
        "a\\b",
        "http://b/c",
    ] {
        rig.forwards(rest, get(&format!("/gpt/{rest}")), forwarded(&format!("GET /{rest}"), ""))
            .await;
    }
}

#[tokio::test]
async fn the_query_arrives_byte_for_byte() {
    let rig = Rig::new().await;
    for query in
        ["?", "?a=b", "??", "?a=../..&b=%2e%2E", "?/../..", "?a?b", "?key=%2F%zz|\"", "?//"]
    {
        rig.forwards(
            query,
            get(&format!("/gpt/x{query}")),
            forwarded(&format!("GET /x{query}"), ""),
        )
        .await;
    }
    rig.forwards("without a path", get("/gpt/?a"), forwarded("GET /?a", "")).await;
}

#[tokio::test]
async fn dot_segments_inside_the_prefix_are_resolved_in_any_encoding() {
    let rig = Rig::new().await;
    for (path, want) in [
        ("/gpt/a/../b", "/b"),
        ("/gpt/a/./b", "/a/b"),
        ("/gpt/a/..", "/"),
        ("/gpt/.", "/"),
        ("/gpt/a/%2e%2E/b", "/b"),
        ("/gpt/a/.%2e/b/%2e", "/b/"),
        ("/gpt/a%2Fb/../c%2Fd", "/c%2Fd"),
        ("/gpt/a//../b", "/a/b"),
        ("/gpt/a/../b?c=/../d", "/b?c=/../d"),
    ] {
        rig.forwards(path, get(path), forwarded(&format!("GET {want}"), "")).await;
    }
}

#[tokio::test]
async fn a_path_that_leaves_its_prefix_is_refused() {
    let rig = Rig::new().await;
    for path in [
        "/gpt/../x",
        "/gpt/..",
        "/gpt/a/../../x",
        "/gpt/%2e%2e/x",
        "/gpt/.%2E/x",
        "/gpt/../../etc/passwd",
        "/../x",
        "/..",
        "/gpt/..%2fx",
        "/gpt/..%2F..%2Fx",
        "/gpt/a%2f..%2f..%2fx",
        "/gpt/..\\x",
        "/gpt/..%5cx",
        "/gpt/..;/x",
        "/gpt/..;a=b/x",
        "/gpt/..%3bx/y",
        "/gpt/%252e%252e/x",
        "/gpt/%25252e%25252e/x",
        "/gpt/..%252fx",
        "/gpt/%c0%ae%c0%ae/x",
        "/gpt/..%c0%afx",
        "/gpt/%e0%80%ae%e0%80%ae/x",
        "/gpt/%u002e%u002e/x",
        "/gpt/..%u2215x",
        "/gpt/%EF%BC%8E%EF%BC%8E/x",
        "/gpt/..%ef%bc%8fx",
        "/gpt/%e2%80%a5/x",
        "/gpt/..%00/x",
        "/gpt/.%00./x",
        "/gpt/..%20/x",
        "/gpt/..%3f/x",
        "/gpt/.%ff./x",
        "/gpt/a/%252e%252e/%252e%252e/x",
        "http://a/gpt/../x",
    ] {
        rig.refuses_and_keeps(path, get(path), 400, "path_leaves_route").await;
    }
}

#[tokio::test]
async fn a_dot_segment_cannot_move_a_request_from_one_route_into_another() {
    let origin = Origin::plain().await;
    let other = format!(
        "[[route]]\npath = \"/gpt/inner/\"\nupstream = \"http://{0}/inner-base/\"\n\
         [[route]]\npath = \"/other/\"\nupstream = \"http://{0}/other-base/\"",
        origin.address()
    );
    let relay = Relay::plain_to(&origin).with(&other).await;
    let rig = Rig { origin, relay };
    for path in ["/gpt/../other/x", "/other/../gpt/x", "/gpt/inner/../x", "/gpt/a/../inner/x"] {
        rig.refuses_and_keeps(path, get(path), 400, "path_leaves_route").await;
    }
    let want = format!("GET /inner-base/x HTTP/1.1\r\nHost: {}\r\n\r\n", rig.origin.address());
    rig.forwards("the longest path wins", get("/gpt/inner/x"), want).await;
    let want = forwarded("GET /inner", "");
    rig.forwards("a prefix ends with its slash", get("/gpt/inner"), want).await;
}

#[tokio::test]
async fn only_paths_that_begin_with_the_prefix_have_a_route() {
    let rig = Rig::new().await;
    for path in [
        "/",
        "/gpt",
        "/gpt?a",
        "/gptx",
        "/gptx/v1",
        "/GPT/x",
        "/%67pt/x",
        "/gpt%2Fx",
        "//gpt/x",
        "/x/gpt/y",
        "/;/gpt/x",
        "http://a",
        "http://gpt/x",
        "http://a?/gpt/x",
    ] {
        rig.refuses_and_keeps(path, get(path), 404, "route_not_found").await;
    }
}

#[tokio::test]
async fn a_target_in_none_of_the_four_forms_is_refused() {
    let rig = Rig::new().await;
    for target in [
        "gpt/x",
        "a:443",
        "*",
        "?x",
        "ftp://a/gpt/x",
        "http:/gpt/x",
        "http:///gpt/x",
        "http://user@a/gpt/x",
        "http://a:b/gpt/x",
        "http://a b/gpt/x",
        "http://a\\@b/gpt/x",
        "javascript:alert(1)",
        "/gpt/x#fragment",
        "/gpt/x?a#b",
        "#",
    ] {
        let code = if target.contains(' ') { "malformed_head" } else { "malformed_target" };
        rig.refuses(target, get(target), 400, code).await;
    }
}

#[tokio::test]
async fn an_absolute_target_is_reduced_to_its_path() {
    let rig = Rig::new().await;
    for (target, want) in [
        ("http://a/gpt/x%2Fy?z", "/x%2Fy?z"),
        ("https://a:1/gpt//x", "//x"),
        ("hTTps://a/gpt/a/../b", "/b"),
    ] {
        rig.forwards(target, get(target), forwarded(&format!("GET {want}"), "")).await;
    }
}

#[tokio::test]
async fn the_asterisk_form_is_for_options_and_has_no_route() {
    let rig = Rig::new().await;
    let options = "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";
    rig.refuses_and_keeps("OPTIONS *", options, 404, "route_not_found").await;
    rig.refuses("GET *", get("*"), 400, "malformed_target").await;
}

#[tokio::test]
async fn the_prefix_is_replaced_by_the_path_of_the_upstream() {
    let origin = Origin::tls().await;
    let base = format!(
        "[[route]]\npath = \"/\"\nupstream = \"https://api.openai.test/base%2F/v1/\"\n\
         connect = \"{}\"\nca = {:?}",
        origin.address(),
        narrows_kit::certificates::certificate_file("ca.pem")
    );
    let relay = Relay::to(&origin).with(&base).await;
    for (path, want) in [
        ("/a%2Fb?c", "/base%2F/v1/a%2Fb?c"),
        ("/", "/base%2F/v1/"),
        ("/gpt", "/base%2F/v1/gpt"),
        ("/gpt/x", "/x"),
    ] {
        println!("case: {path}");
        let mut client = client::connect_tls(relay.address()).await;
        client.send(get(path)).await;
        let mut upstream = origin.accept().await;
        expect_bytes(&mut upstream, forwarded(&format!("GET {want}"), "")).await;
        upstream.send(LAST_RESPONSE).await;
        client.read_head().await;
        upstream.expect_end(End::Clean).await;
    }
    let mut client = client::connect_tls(relay.address()).await;
    client.send(get("/gpt/../x")).await;
    expect_own_error(&mut client, 400, "path_leaves_route").await;
    origin.assert_untouched().await;
}
