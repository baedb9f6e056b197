//! Names of request fields that describe the client to a server, such as `X-Forwarded-For`, or the
//! path of the request to us.
//!
//! CDNs, load balancers and platforms add them for the server that they pass a request to, which is
//! us. They are not meant for the upstream, so `request` drops them. [`FAMILIES`] is the table, as
//! docs/protocol.md has it. Fields that clients themselves send to APIs are not in it: where a
//! vendor uses one prefix for both, the table has single names, or exceptions.
//!
//! CGI and its heirs read `_` as `-`, so both are the same here.
//!
//! Not here: what happens to such a field (`gateway::rewrite`).

use crate::h1::field::reads_as;

/// A name, or names with a common prefix, and the exceptions among them. `*` matches any end.
pub type FieldFamily = (&'static str, &'static [&'static str]);

const NONE: &[&str] = &[];

const A: &[FieldFamily] =
    &[("akamai-*", NONE), ("ali-cdn-*", NONE), ("ali-ip*", NONE), ("ali-real-*", NONE)];
const C: &[FieldFamily] = &[
    ("cdn-*", NONE),
    ("cf-*", &["cf-access-*", "cf-aig-*", "cf-copy-*", "cf-create-*"]),
    ("cf-access-authenticated-*", NONE),
    ("cf-access-jwt-*", NONE),
    ("client-cert*", NONE),
    ("client-ip", NONE),
    ("cloudfront-*", NONE),
];
const D: &[FieldFamily] = &[("disguised-host", NONE), ("do-connecting-*", NONE)];
const E: &[FieldFamily] = &[("eo-*", NONE)];
const F: &[FieldFamily] = &[
    ("fastly-client*", NONE),
    ("fastly-ff", NONE),
    ("fastly-ssl", NONE),
    ("fastly-temp-*", NONE),
    ("fly-*", &["fly-force-*", "fly-machine-lease-*", "fly-prefer-*"]),
    ("forwarded", NONE),
    ("forwarded-*", NONE),
];
const I: &[FieldFamily] = &[("incap-*", NONE)];
const N: &[FieldFamily] = &[("ngrok-auth-*", NONE)];
const P: &[FieldFamily] = &[("proxy-client-ip", NONE)];
const R: &[FieldFamily] = &[("remote-addr", NONE), ("remote-ip", NONE)];
const S: &[FieldFamily] = &[("ssl-client-*", NONE)];
const T: &[FieldFamily] = &[("tailscale-*", NONE), ("true-client-ip", NONE)];
const W: &[FieldFamily] = &[("was-default-hostname", NONE), ("wl-proxy-*", NONE)];
const X_A: &[FieldFamily] = &[
    ("x-akamai-*", &["x-akamai-acs-*"]),
    ("x-amz-cf-*", NONE),
    ("x-amzn-mtls-*", NONE),
    ("x-amzn-oidc-*", NONE),
    ("x-amzn-tls-*", NONE),
    ("x-appengine-*", NONE),
    ("x-arr-*", NONE),
    ("x-azure-*", &["x-azure-debuginfo"]),
];
const X_C: &[FieldFamily] = &[
    ("x-cdn-*", NONE),
    ("x-client-cert*", NONE),
    ("x-client-geo-*", NONE),
    ("x-client-ip", NONE),
    ("x-client-port", NONE),
    ("x-client-real-ip", NONE),
    ("x-cluster-client-ip", NONE),
    ("x-connecting-ip", NONE),
];
const X_E: &[FieldFamily] = &[
    ("x-envoy-downstream-*", NONE),
    ("x-envoy-external-*", NONE),
    ("x-envoy-internal", NONE),
    ("x-envoy-ip-tags", NONE),
    ("x-envoy-original-*", NONE),
    ("x-envoy-peer-*", NONE),
];
const X_F: &[FieldFamily] = &[("x-fd-*", NONE), ("x-forwarded*", NONE)];
const X_G: &[FieldFamily] = &[("x-goog-authenticated-*", NONE), ("x-goog-iap-*", NONE)];
const X_M: &[FieldFamily] = &[("x-ms-client-principal*", NONE)];
const X_N: &[FieldFamily] =
    &[("x-nf-client-*", NONE), ("x-nf-connection-*", NONE), ("x-nf-geo*", NONE)];
const X_O: &[FieldFamily] = &[
    ("x-original-for", NONE),
    ("x-original-forwarded-*", NONE),
    ("x-original-host", NONE),
    ("x-original-ip", NONE),
    ("x-original-proto", NONE),
    ("x-originating-ip", NONE),
];
const X_P: &[FieldFamily] = &[("x-proxyuser-ip", NONE)];
const X_R: &[FieldFamily] = &[
    ("x-real-client-ip", NONE),
    ("x-real-ip", NONE),
    ("x-real-port", NONE),
    ("x-remote-addr", NONE),
    ("x-remote-client-ip", NONE),
    ("x-remote-ip", NONE),
];
const X_S: &[FieldFamily] =
    &[("x-source-ip", NONE), ("x-ssl-client-*", NONE), ("x-sucuri-*", NONE)];
const X_T: &[FieldFamily] = &[("x-true-client-ip", NONE)];
const X_U: &[FieldFamily] = &[("x-user-ip", NONE)];
const X_V: &[FieldFamily] = &[
    ("x-vercel-deployment-url", NONE),
    ("x-vercel-forwarded-*", NONE),
    ("x-vercel-id", NONE),
    ("x-vercel-ip-*", NONE),
    ("x-vercel-ja4-*", NONE),
    ("x-vercel-proxied-*", NONE),
    ("x-vercel-proxy-*", NONE),
];

/// All families, by the letter with which they begin, and by the one after `x-`.
pub const FAMILIES: &[&[FieldFamily]] = &[
    A, C, D, E, F, I, N, P, R, S, T, W, X_A, X_C, X_E, X_F, X_G, X_M, X_N, X_O, X_P, X_R, X_S, X_T,
    X_U, X_V,
];

/// Whether a name, in any case, belongs to one of the [`FAMILIES`].
///
/// It is asked for every field of a request that has no `FieldId`. A letter or two select the few
/// patterns to compare with, and most often the next letter rules them all out.
pub fn is_client_info(name: &[u8]) -> bool {
    let Some(group) = group_of(name) else { return false };
    let next = name.get(group.shared).map_or(0, |next| bit(*next));
    group.next & next != 0
        && group.families.iter().any(|(pattern, exceptions)| {
            matches(pattern, name) && !exceptions.iter().any(|exception| matches(exception, name))
        })
}

/// Families that begin alike.
struct Group {
    families: &'static [FieldFamily],
    /// How many bytes their patterns share.
    shared: usize,
    /// A bit for each byte that follows the shared ones in a pattern.
    next: u32,
}

impl Group {
    const fn new(families: &'static [FieldFamily], shared: usize) -> Self {
        let (mut next, mut at) = (0, 0);
        while at < families.len() {
            next |= bit(families[at].0.as_bytes()[shared]);
            at += 1;
        }
        Self { families, shared, next }
    }
}

/// A bit for a letter in either case, and for other bytes as well.
const fn bit(byte: u8) -> u32 {
    1 << (byte & 0x1f)
}

fn group_of(name: &[u8]) -> Option<&'static Group> {
    let (first, third) = match name {
        [b'x' | b'X', b'-' | b'_', third, ..] => (b'x', third.to_ascii_lowercase()),
        [first, ..] => (first.to_ascii_lowercase(), 0),
        [] => return None,
    };
    Some(match (first, third) {
        (b'a', 0) => const { &Group::new(A, 1) },
        (b'c', 0) => const { &Group::new(C, 1) },
        (b'd', 0) => const { &Group::new(D, 1) },
        (b'e', 0) => const { &Group::new(E, 1) },
        (b'f', 0) => const { &Group::new(F, 1) },
        (b'i', 0) => const { &Group::new(I, 1) },
        (b'n', 0) => const { &Group::new(N, 1) },
        (b'p', 0) => const { &Group::new(P, 1) },
        (b'r', 0) => const { &Group::new(R, 1) },
        (b's', 0) => const { &Group::new(S, 1) },
        (b't', 0) => const { &Group::new(T, 1) },
        (b'w', 0) => const { &Group::new(W, 1) },
        (b'x', b'a') => const { &Group::new(X_A, 3) },
        (b'x', b'c') => const { &Group::new(X_C, 3) },
        (b'x', b'e') => const { &Group::new(X_E, 3) },
        (b'x', b'f') => const { &Group::new(X_F, 3) },
        (b'x', b'g') => const { &Group::new(X_G, 3) },
        (b'x', b'm') => const { &Group::new(X_M, 3) },
        (b'x', b'n') => const { &Group::new(X_N, 3) },
        (b'x', b'o') => const { &Group::new(X_O, 3) },
        (b'x', b'p') => const { &Group::new(X_P, 3) },
        (b'x', b'r') => const { &Group::new(X_R, 3) },
        (b'x', b's') => const { &Group::new(X_S, 3) },
        (b'x', b't') => const { &Group::new(X_T, 3) },
        (b'x', b'u') => const { &Group::new(X_U, 3) },
        (b'x', b'v') => const { &Group::new(X_V, 3) },
        _ => return None,
    })
}

fn matches(pattern: &str, name: &[u8]) -> bool {
    match pattern.strip_suffix('*') {
        Some(front) => name.get(..front.len()).is_some_and(|name| reads_as(front, name)),
        None => reads_as(pattern, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_found_by_its_first_letters() {
        for family @ (pattern, _) in FAMILIES.iter().copied().flatten() {
            let group = group_of(pattern.as_bytes()).expect("a group");
            assert!(group.families.contains(family), "{pattern}");
            let name = pattern.replace('*', "a");
            for name in [&name, &name.to_uppercase(), &name.replace('-', "_")] {
                assert!(is_client_info(name.as_bytes()), "{name}");
            }
            assert!(!is_client_info(&name.as_bytes()[1..]), "{name}");
        }
    }

    #[test]
    fn names_that_cdns_and_platforms_add_are_about_the_client() {
        for name in ADDED_BY_PLATFORMS {
            assert!(is_client_info(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn what_clients_and_sdks_send_to_apis_is_not_about_the_client() {
        for name in SENT_BY_CLIENTS {
            for name in [name.to_string(), name.to_lowercase(), name.replace('-', "_")] {
                assert!(!is_client_info(name.as_bytes()), "{name}");
            }
        }
    }

    #[test]
    fn credentials_for_services_of_cloudflare_are_not_about_the_client() {
        for name in [
            "CF-Access-Client-Id",
            "CF-Access-Client-Secret",
            "cf-access-token",
            "cf-aig-authorization",
            "cf-aig-metadata",
            "Cf-Aig-",
        ] {
            for spelt in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
                assert!(!is_client_info(spelt.as_bytes()), "{spelt}");
            }
        }
    }

    #[test]
    fn the_protocol_page_has_the_whole_table() {
        let page = include_str!("../../../docs/protocol.md");
        let (_, section) = page.split_once("\n## Fields about the client\n").expect("a heading");
        let section = section.split("\n## ").next().unwrap_or_default();
        let quoted: Vec<String> =
            section.split('`').skip(1).step_by(2).map(str::to_ascii_lowercase).collect();
        for (pattern, exceptions) in FAMILIES.iter().copied().flatten() {
            for said in exceptions.iter().chain([pattern]) {
                assert!(quoted.iter().any(|it| it == said), "{said} is not documented");
            }
        }
    }

    const ADDED_BY_PLATFORMS: &[&str] = &[
        "X-Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Client-Cert",
        "X-Forwarded-Prefix",
        "Forwarded",
        "Forwarded-For",
        "X-Real-IP",
        "X-Real-Port",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "X-Client-Geo-Location",
        "X-Real-Client-IP",
        "X-Original-Forwarded-For",
        "X-Original-Host",
        "X-Originating-IP",
        "X-Remote-IP",
        "X-Remote-Addr",
        "Remote-Addr",
        "Client-IP",
        "True-Client-IP",
        "X-True-Client-IP",
        "X-ProxyUser-Ip",
        "Proxy-Client-IP",
        "WL-Proxy-Client-IP",
        "X-Source-IP",
        "X-User-IP",
        "X-Connecting-IP",
        "CF-Connecting-IP",
        "CF-Connecting-IPv6",
        "CF-IPCountry",
        "CF-Ray",
        "CF-Visitor",
        "CF-Worker",
        "CF-EW-Via",
        "CF-Pseudo-IPv4",
        "CF-Access",
        "CF-AIG",
        "Cf-Access-Jwt-Assertion",
        "Cf-Access-Authenticated-User-Email",
        "Cdn-Loop",
        "CDN-RequestCountryCode",
        "Cdn-Src-Ip",
        "Fly-Client-IP",
        "Fly-Forwarded-Port",
        "Fly-Region",
        "Fly-Request-Id",
        "Fastly-Client",
        "Fastly-Client-IP",
        "Fastly-FF",
        "Fastly-SSL",
        "Fastly-Temp-XFF",
        "CloudFront-Viewer-Address",
        "CloudFront-Viewer-Country",
        "CloudFront-Viewer-JA3-Fingerprint",
        "CloudFront-Is-Mobile-Viewer",
        "CloudFront-Forwarded-Proto",
        "X-Amz-Cf-Id",
        "X-Amzn-Mtls-Clientcert",
        "X-Amzn-Oidc-Identity",
        "X-Amzn-Tls-Version",
        "X-Azure-ClientIP",
        "X-Azure-SocketIP",
        "X-Azure-FDID",
        "X-Azure-Ref",
        "X-Azure-RequestChain",
        "X-Azure-JA4-Fingerprint",
        "X-FD-HealthProbe",
        "X-ARR-ClientCert",
        "X-ARR-LOG-ID",
        "Disguised-Host",
        "WAS-Default-Hostname",
        "X-MS-Client-Principal",
        "X-MS-Client-Principal-Name",
        "X-Vercel-Forwarded-For",
        "X-Vercel-Proxied-For",
        "X-Vercel-IP-Country",
        "X-Vercel-IP-City",
        "X-Vercel-Id",
        "X-Vercel-JA4-Digest",
        "X-Vercel-Deployment-Url",
        "X-AppEngine-User-IP",
        "X-AppEngine-Country",
        "X-AppEngine-CityLatLong",
        "X-Goog-Authenticated-User-Email",
        "X-Goog-IAP-JWT-Assertion",
        "DO-Connecting-IP",
        "EO-Connecting-IP",
        "EO-Client-IP",
        "EO-Client-IPCountry",
        "Ali-CDN-Real-IP",
        "Ali-Real-Client-IP",
        "X-Nf-Client-Connection-Ip",
        "X-NF-Geo",
        "X-Envoy-External-Address",
        "X-Envoy-Peer-Metadata",
        "X-Envoy-Peer-Metadata-Id",
        "X-Envoy-Internal",
        "X-Envoy-Original-Path",
        "Akamai-Origin-Hop",
        "X-Akamai-Edgescape",
        "X-Akamai-Config-Log-Detail",
        "Incap-Client-IP",
        "X-Sucuri-ClientIP",
        "X-Sucuri-Country",
        "Tailscale-User-Login",
        "Ngrok-Auth-User-Email",
        "Client-Cert",
        "Client-Cert-Chain",
        "SSL-Client-Verify",
        "X-SSL-Client-DN",
        "X-Client-Cert",
    ];

    const SENT_BY_CLIENTS: &[&str] = &[
        "Accept",
        "Accept-Encoding",
        "Accept-Language",
        "Authorization",
        "Cache-Control",
        "Content-Encoding",
        "Content-Type",
        "Cookie",
        "DNT",
        "Date",
        "Digest",
        "ETag",
        "Expect",
        "From",
        "If-Match",
        "If-None-Match",
        "Last-Event-ID",
        "Origin",
        "Pragma",
        "Prefer",
        "Priority",
        "Range",
        "Referer",
        "User-Agent",
        "Sec-CH-UA",
        "Sec-CH-UA-Platform",
        "Sec-Fetch-Mode",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Protocol",
        "Access-Control-Request-Method",
        "Access-Control-Request-Headers",
        "Upgrade-Insecure-Requests",
        "OpenAI-Organization",
        "OpenAI-Project",
        "OpenAI-Beta",
        "OpenAI-Sentinel-Token",
        "X-Stainless-Lang",
        "X-Stainless-Package-Version",
        "X-Stainless-OS",
        "X-Stainless-Arch",
        "X-Stainless-Runtime",
        "X-Stainless-Runtime-Version",
        "X-Stainless-Async",
        "X-Stainless-Retry-Count",
        "X-Stainless-Read-Timeout",
        "X-Stainless-Helper-Method",
        "X-Stainless-Timeout",
        "X-Client-Request-Id",
        "Chatgpt-Account-Id",
        "Session_id",
        "Conversation_id",
        "Originator",
        "Version",
        "Anthropic-Version",
        "Anthropic-Beta",
        "Anthropic-Dangerous-Direct-Browser-Access",
        "X-Api-Key",
        "Api-Key",
        "X-App",
        "X-Claude-Code-Session-Id",
        "X-Goog-Api-Key",
        "X-Goog-Api-Client",
        "X-Goog-User-Project",
        "X-Goog-Request-Params",
        "X-Goog-Request-Reason",
        "X-Goog-FieldMask",
        "X-Goog-Upload-Protocol",
        "X-Goog-Upload-Command",
        "X-Goog-Visibilities",
        "Fly-Machine-Lease-Nonce",
        "X-Server-Timeout",
        "X-Android-Cert",
        "X-Cloud-Trace-Context",
        "X-Firebase-AppCheck",
        "X-MS-Client-Request-Id",
        "X-MS-Date",
        "X-MS-Version",
        "X-MS-UserAgent",
        "X-MS-Region",
        "X-MS-OAI-Image-Generation-Deployment",
        "Ocp-Apim-Subscription-Key",
        "Azureml-Model-Deployment",
        "X-Azure-DebugInfo",
        "X-Amz-Date",
        "X-Amz-Target",
        "X-Amz-Security-Token",
        "X-Amz-Content-Sha256",
        "X-Amz-User-Agent",
        "X-Amz-Checksum-Crc32",
        "X-Amzn-Trace-Id",
        "X-Amzn-Bedrock-Accept",
        "X-Amzn-Bedrock-GuardrailIdentifier",
        "Amz-Sdk-Invocation-Id",
        "Amz-Sdk-Request",
        "HTTP-Referer",
        "X-Title",
        "X-OpenRouter-Title",
        "X-Client-Name",
        "X-Client-Info",
        "X-Client-Version",
        "X-Fern-Language",
        "X-Fern-SDK-Name",
        "X-Wait-For-Model",
        "X-Use-Cache",
        "X-HF-Bill-To",
        "X-DashScope-SSE",
        "X-DashScope-Async",
        "X-DashScope-DataInspection",
        "X-Acs-Action",
        "X-Api-Resource-Id",
        "X-Api-Request-Id",
        "Xi-Api-Key",
        "Mcp-Session-Id",
        "Mcp-Protocol-Version",
        "Helicone-Auth",
        "X-Portkey-Api-Key",
        "X-Portkey-Config",
        "X-LiteLLM-Api-Key",
        "Langsmith-Trace",
        "Copilot-Integration-Id",
        "Editor-Version",
        "Editor-Plugin-Version",
        "Openai-Intent",
        "X-GitHub-Api-Version",
        "X-Initiator",
        "Vscode-Sessionid",
        "X-Vercel-Protection-Bypass",
        "X-Vercel-Set-Bypass-Cookie",
        "AI-Gateway-Auth-Method",
        "X-Vercel-AI-Data-Stream",
        "Idempotency-Key",
        "X-Idempotency-Key",
        "X-Request-Id",
        "X-Correlation-Id",
        "X-Request-Timeout",
        "Traceparent",
        "Tracestate",
        "Baggage",
        "B3",
        "X-B3-TraceId",
        "Sentry-Trace",
        "X-Datadog-Trace-Id",
        "X-Cache",
        "X-Requested-With",
        "X-HTTP-Method-Override",
        "X-CSRF-Token",
        "X-Auth-Token",
        "X-Access-Token",
        "X-User-Agent",
        "X-Grpc-Web",
        "Grpc-Timeout",
        "X-Real",
        "X-Forward",
        "XForwarded-For",
        "X-Host",
        "X-IP",
        "Forwardedx",
        "Fastly-Key",
        "Fastly-Debug",
        "Fly-Force-Instance-Id",
        "Fly-Prefer-Region",
        "X-Akamai-ACS-Action",
        "X-Akamai-ACS-Auth-Data",
        "CF-Access-Client-Id",
        "CF-Access-Client-Secret",
        "CF-Access-Token",
        "CF-AIG-Authorization",
        "CF-AIG-Metadata",
        "CFx",
        "CF",
        "Ngrok-Skip-Browser-Warning",
        "X-Envoy-Upstream-Rq-Timeout-Ms",
        "X-Envoy-Retry-On",
        "X-Envoy-Max-Retries",
        "X-Serverless-Authorization",
        "X-Nf-Sign",
        "X-Cluster",
        "X-Source",
        "X-Region",
        "Ali",
        "Eo",
        "Proxy-Authenticate",
        "Remote",
        "X-",
        "X",
    ];
}
