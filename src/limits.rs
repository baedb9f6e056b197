//! The fixed bounds, each with its reason. What an operator may choose is in `config`, and what
//! the parser needs by itself in `h1::limits`.
//!
//! Relations between bounds are compile-time assertions, so that a change which breaks one does
//! not build.

use crate::h1::limits::{CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX};
use core::time::Duration;

/// Longest authority of a client that is kept for use in redirects: the longest name in DNS, its
/// final dot, and a port. For a longer one, redirects have only a path.
pub const CLIENT_AUTHORITY_BYTES_MAX: usize = 260;

/// Most connection options in one head. Clients send one or two. Each is compared with each field
/// name, so this bounds the product of both.
pub const CONNECTION_OPTIONS_MAX: usize = 16;

/// Most words in the credentials of one request that are compared with the tokens of clients. Each
/// costs a digest; clients send one or two, and the longest schemes of `Authorization` have some
/// 16. With more, the token is unknown.
pub const CREDENTIAL_WORDS_MAX: usize = 32;
/// Most keys of one route: a request remembers their places in a byte each.
pub const KEYS_MAX: usize = 255;
/// For how long a key is not used after a 429 that does not say when to come back.
pub const KEY_REST: Duration = Duration::from_secs(60);
/// The longest that a 429 can let a key rest, whatever it says. Limits are a day's at most.
pub const KEY_REST_MAX: Duration = Duration::from_secs(24 * 3600);
/// Longest 429 that is remembered while all keys of a route rest. Those of APIs have some 400
/// bytes.
pub const KEY_REFUSAL_BYTES_MAX: usize = 8 * 1024;
/// Most interim (1xx) responses before a final one. Real servers send one or two. Each costs a
/// write to the client, so an endless series is an attack.
pub const INTERIM_RESPONSES_MAX: u8 = 32;

/// Longest TLS `ClientHello` that is read for its server name, headers of its records included.
/// Until it is whole it stays in the kernel's buffer, and is peeked at in the scratch buffer.
///
/// Today's hellos have 0.3 to 2 KiB. The largest in sight has one extension as large as a record
/// may be, 16 KiB, for the key of a post-quantum scheme that has no short ones. 2 KiB are for the
/// rest.
pub const CLIENT_HELLO_BYTES_MAX: usize = (16 + 2) * 1024;

/// Most bytes that a client may send during its TLS handshake, all of which rustls may have to
/// buffer: two hellos, because a server may ask for a second one, and a few hundred bytes more. A
/// hello is seldom larger than 2 KiB, so that a client's own certificates have room, too.
pub const CLIENT_HANDSHAKE_BYTES_MAX: u32 = 2 * CLIENT_HELLO_BYTES_MAX as u32 + 4 * 1024;
/// Most bytes that are held of a message of TLS that a client sends in several records after its
/// handshake. A key update has 5; a ClientHello of TLS 1.2, which is declined, some hundred.
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// Longest PROXY protocol header that is read. Addresses need 232 bytes at most. What proxies add
/// takes a few hundred bytes, or 1 to 2 KiB with a client's certificate.
pub const PROXY_HEADER_BYTES_MAX: usize = 4 * 1024;

/// Size of a worker's scratch buffer, and so of the largest single read.
///
/// Four TLS records. Larger reads gain nothing measurable.
pub const SCRATCH_BYTES: usize = 64 * 1024;

/// Longest content of a TLS record (RFC 8446, section 5.1).
pub const RECORD_CONTENT_BYTES_MAX: usize = 16 * 1024;
/// Most that a TLS record has besides its content, with the cipher suites that we have: 22 bytes in
/// TLS 1.3, and in TLS 1.2 this with AES-GCM (RFC 5288).
pub const RECORD_FRAME_BYTES: usize = 5 + 8 + 16;
/// More than that, and as much again for a key update before it.
pub const RECORD_FRAME_BYTES_MAX: usize = 64;
/// Size of a worker's scratch buffer for TLS records. A write needs room for a whole scratch buffer
/// in records, and one for the rest of it. A read uses all of it: what a peer may leave incomplete,
/// a record or, until the handshake is complete, a message of up to 64 KiB, and some to read into.
pub const TLS_SCRATCH_BYTES: usize = 2 * RECORD_CONTENT_BYTES_MAX + SCRATCH_BYTES;
/// Least room for a read of TLS, for callers that have little for content. What they have no room
/// for is held: this much, and the rest of a record.
pub const TLS_READ_BYTES_MIN: usize = 4 * 1024;

/// Capacity of a pipe that plain bytes are spliced through, and so of the largest single move.
///
/// The kernel's default of 64 KiB takes four times as many calls. 1 MiB saves none, because a
/// socket rarely has that much. An unprivileged user may have 64 MiB of pipes, which are 256 of
/// these.
pub const PIPE_BYTES: usize = 256 * 1024;
/// Most pipes that one worker has in use at a time; beyond it, bytes are copied. Only a receiver
/// that is slower than its sender holds one for longer than a moment.
pub const PIPES_MAX: usize = 128;
/// Most empty pipes that one worker keeps: two descriptors and 3 KiB of the kernel's memory each.
pub const PIPES_KEPT_MAX: usize = 16;
/// After the kernel has refused a pipe, none is requested for this time.
pub const PIPE_SHORTAGE: Duration = Duration::from_secs(1);

/// How long a client of a tcp listener that routes by name may be silent. After that it is taken
/// for one that waits for the server to speak first, and goes to the forward for `"*"`.
///
/// A TLS client speaks at once, so only loss can delay it: it retransmits after 1 s, and after 3 s
/// if that is lost as well (RFC 6298, section 2). sslh waits for 2 to 5 s.
pub const SILENCE_MAX: Duration = Duration::from_secs(3);

/// How long what a client still sends is read and discarded after its handshake has failed, so that
/// the alert arrives: closing with unread bytes causes a reset, which can overtake it. With TLS 1.3
/// a client whose certificate is refused has sent its first request already.
pub const ALERT_LINGER: Duration = Duration::from_secs(1);

/// Initial capacity of a pooled buffer. Most heads fit, with the first bytes of their body.
pub const BUFFER_BYTES: usize = 8 * 1024;
/// A buffer that has grown beyond this is freed when it is returned.
pub const BUFFER_KEPT_BYTES_MAX: usize = 64 * 1024;
/// Most free buffers that one worker keeps: 64 KiB if none of them has grown. An exchange needs two
/// for a moment; more at once are a burst, whose memory would otherwise never be freed.
pub const BUFFERS_KEPT_MAX: usize = 8;

/// Most bytes of a request that are kept in case it must be sent again. Bodies without images fit.
/// A larger request is not repeated.
pub const REPLAY_BYTES_MAX: usize = 256 * 1024;
/// Most such bytes in one worker. A request keeps them until the head of its response arrives, and
/// a thousand models may think at once.
pub const REPLAY_BYTES_OF_WORKER_MAX: usize = 4 * 1024 * 1024;

/// Most bytes of pipelined requests, or of a body that has no upstream yet, that are read ahead.
/// They are read only to notice a client that leaves.
pub const PIPELINED_BYTES_MAX: usize = 8 * 1024;

/// Idle time after which upstream connections are closed. Cloudflare closes them at 400 s, and many
/// NATs drop a flow after some 300 s.
pub const POOL_IDLE_MAX: Duration = Duration::from_secs(240);
/// Most idle connections per upstream and worker. Each serves one exchange at a time, so many are
/// idle between the responses to many clients and their next requests: with fewer, each such moment
/// would close connections that the next one opens again, and a handshake costs more than ten small
/// exchanges. Each takes some 5 KB. More of them are left over from a burst.
pub const POOL_CONNECTIONS_MAX: usize = 256;
/// Most of them that `warm` can ask for.
pub const WARM_CONNECTIONS_MAX: usize = 64;
/// Idle time from which the kernel is asked whether a connection is alive before it is used. No
/// upstream is known to end idle connections sooner.
pub const POOL_PEEK_AGE: Duration = Duration::from_secs(1);

/// A 408 on a kept connection this soon after the start of a request is about the silence before
/// it: it was already on its way, or was written when the request arrived. No server has so short a
/// limit for a request, and no round trip is longer, even with a lost segment.
pub const IDLE_LIMIT_408_WITHIN: Duration = Duration::from_secs(1);

/// How long it is remembered that an upstream has closed idle connections: long enough to stay
/// below its idle limit, short enough to forget a restart that looked like one.
pub const CLOSING_AGE_REMEMBERED: Duration = Duration::from_secs(3600);
/// An idle connection that is closed at a lower age is a sign of a restart, not of an idle limit.
pub const CLOSING_AGE_MIN: Duration = Duration::from_secs(2);
/// Two closes whose ages differ by no more than this show an idle limit, and not the restart of a
/// server that closes all its connections.
pub const CLOSING_AGES_APART_MAX: Duration = Duration::from_millis(500);
/// How long connections are kept warm after the last use of an upstream, or after the start.
pub const WARM_FOR: Duration = Duration::from_secs(600);
/// No connections are kept warm for an upstream that closes unused ones sooner than this: they
/// would be opened all day long, to little use.
pub const WARM_LIFE_MIN: Duration = Duration::from_secs(3);
/// A warm connection that will end within this time is replaced before it does.
pub const WARM_RENEWAL: Duration = Duration::from_millis(500);
/// First pause after a speculative connection, which no request has asked for, has failed or was
/// closed by the upstream before a request came. The pause doubles with each further one.
pub const SPECULATIVE_PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest such pause.
pub const SPECULATIVE_PAUSE_MAX: Duration = Duration::from_secs(60);
/// Most speculative connections to an upstream, of all workers together, that no request has used,
/// in addition to its `warm`. Once a request is sent on one, another may be opened. A client that
/// connects sends its request within 0.1 s, so 160 new clients a second find one ready.
pub const SPECULATIVE_UNUSED_MAX: usize = 16;
/// After this time one of them, for each of `warm`, is no longer counted, so that connections that
/// live only for [`WARM_LIFE_MIN`] can be replaced.
pub const SPECULATIVE_FORGIVEN_AFTER: Duration = Duration::from_secs(2);
/// Most connections to an upstream that one worker opens at a time for clients that have not sent a
/// request yet. A flood of clients must not become a flood of dials.
pub const SPECULATIVE_DIALS_MAX: usize = 8;
/// Pause between the first warm connection of one new upstream and of the next, so that a thousand
/// of them in a new configuration do not hold up the exchanges that run.
pub const UPSTREAMS_BEGIN_APART: Duration = Duration::from_millis(2);
/// Pause between two log lines about the same trouble with an upstream.
pub const TROUBLE_LOGGED_EVERY: Duration = Duration::from_secs(60);
/// Pause between two lines about different troubles, because some upstreams alternate between two.
pub const TROUBLE_CHANGES_LOGGED_EVERY: Duration = Duration::from_secs(10);
/// How long a worker waits before it counts warm connections again, if another worker has its
/// share.
pub const WARM_COUNTED_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Age at which the addresses of a name in use are looked up again, in the background.
pub const NAME_REFRESH: Duration = Duration::from_secs(30);
/// Age beyond which they are used only after another lookup was tried.
pub const NAME_STALE: Duration = Duration::from_secs(300);
/// Pauses before a refused connection is tried again: a server that restarts refuses for a moment.
/// Nothing of a request has been sent by then, so each may wait, and no client gives up within
/// 0.7 s.
pub const REFUSED_PAUSES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(200), Duration::from_millis(400)];
/// Most threads of the process for the system's resolver, which blocks and cannot be interrupted.
/// Each name and family has one lookup at a time, so only this many names that hang can delay the
/// others. A thread in a lookup takes some 100 KiB.
pub const RESOLVER_THREADS_MAX: usize = 64;
/// Most addresses of a name that one dial tries.
pub const ADDRESSES_MAX: usize = 8;
/// Pause between the starts of two attempts of one dial (RFC 8305, section 5).
pub const ATTEMPT_STAGGER: Duration = Duration::from_millis(250);

/// How often, within its limit, the kernel is asked what a peer that may be slow has acknowledged.
pub const ACCEPTANCE_LOOKS: u32 = 4;
/// Longest pause between two of these looks, whose cost is some 10 us.
pub const ACCEPTANCE_LOOK_EVERY_MAX: Duration = Duration::from_secs(30);
/// A peer that such looks find to acknowledge nothing for so long, not even a probe, is gone.
pub const UNHEARD_MAX: Duration = Duration::from_secs(60);
/// How often the kernel is asked whether a client has left whose bytes cannot be read now. The end
/// of its stream comes after those bytes, so only the state of the connection shows it.
pub const DEPARTURE_LOOK: Duration = Duration::from_secs(1);

/// How long the bytes of a client that goes on sending after its last response are read and
/// discarded, in total. HTTP libraries that write a whole body before they read thus get the
/// response to a 30 MB upload at 1 MB/s. nginx uses the same 30 s (`lingering_time`). It costs no
/// more than a slow upload.
pub const LINGER_MAX: Duration = Duration::from_secs(30);

/// First pause between two checks of whether the peer's kernel has acknowledged everything. It
/// doubles each time.
pub const DELIVERY_LOOK_MIN: Duration = Duration::from_millis(1);
/// Longest such pause. Only the end of an incomplete message waits for it.
pub const DELIVERY_LOOK_MAX: Duration = Duration::from_millis(64);

/// How long the last bytes of exchanges that a stop has cut may take to be delivered. Together with
/// the default of `timeouts.stop` it is below the 90 s after which systemd kills.
pub const DRAIN_CUT_MAX: Duration = Duration::from_secs(30);

/// How long a worker may take to report its counters before a scrape goes on without it.
pub const REPORT_MAX: Duration = Duration::from_secs(1);
/// How many times a worker that does not answer is asked for its counters.
pub const REPORTS_ASKED_MAX: usize = 8;

/// Pause between two lines about what a stop waits for.
pub const STOP_LOGGED_EVERY: Duration = Duration::from_secs(10);
/// A reload that reads for longer is reported: a file system may hang.
pub const RELOAD_SLOW: Duration = Duration::from_secs(10);
/// How long workers may take to cut what is left after a second signal.
pub const STOP_AT_ONCE_MAX: Duration = Duration::from_secs(1);

/// Pause between two reports to the service manager of how many exchanges run, and of the watchdog
/// if its period is longer than three of these.
pub const SERVICE_STATUS_EVERY: Duration = Duration::from_secs(5);
/// How much longer the service manager is asked to wait, each time, while running exchanges end.
/// The process itself limits how long that is.
pub const SERVICE_STOP_EXTENSION: Duration = Duration::from_secs(30);

/// How long a new process that takes over may need until it serves, for which most need some 10 ms.
pub const HAND_OVER_MAX: Duration = Duration::from_secs(60);

/// How long a connection may wait for its last request once a stop has begun, or once its last
/// response has ended. The end of the process waits for it, so it is short.
pub const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// Pause after an accept that failed for lack of descriptors or memory. The connection stays in the
/// queue, so retrying at once would spin.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Length of a listener's accept queue. The kernel caps it at `net.core.somaxconn`.
pub const LISTEN_BACKLOG: i32 = 4096;

/// Idle time before the first TCP keepalive probe, and between probes. It is below every NAT
/// timeout that users have reported (home routers 60-300 s, GCP 120 s).
pub const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
/// Unanswered probes after which the kernel gives the connection up.
pub const TCP_KEEPALIVE_PROBES: u32 = 3;
/// Beyond this many bytes of a message, a shut window of its receiver is not a fault: from then on
/// only `to_upstream.write` or `to_client.write` limits its silence.
pub const DEFAULT_USER_TIMEOUT_BYTES_MAX: u64 = 64 * 1024;
/// Pause between two checks of whether a peer of a tunnel acknowledges what was sent to it.
pub const DEAD_PEER_CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// So many checks in a row without an acknowledgement mean that the peer is gone: 60 to 90 s.
pub const DEAD_PEER_CHECKS: u8 = 3;
/// Unacknowledged data older than this ends the connection (`TCP_USER_TIMEOUT`), so a peer that
/// vanished without a FIN is noticed while we write to it, too. It also replaces
/// [`TCP_KEEPALIVE_PROBES`]: the first probe that finds a peer silent for this long ends it.
pub const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);
/// Most of it for clients: one that vanished while an API works for it is found within 90 s.
pub const CLIENT_USER_TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// The longest that the kernel accepts, some 24 days.
pub const USER_TIMEOUT_MAX: Duration = Duration::from_millis(i32::MAX as u64);

/// Most connections of the admin listener: a scraper and some probes, and room for those that have
/// left without a word. One more takes the place of the slowest.
pub const ADMIN_CONNECTIONS_MAX: usize = 16;

/// How many times as long as the workers' last report took, nothing asks for the next: reports take
/// at most a tenth of the workers' time, however many scrapers there are.
pub const REPORT_TIME_SHARE: u32 = 9;
/// Longest such pause, after a worker that was busy with something long.
pub const REPORT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Least descriptors that are not left to clients and upstreams, or the sum of those that follow.
pub const DESCRIPTORS_RESERVED: u64 = 64;
/// The process's own: standard streams, the main thread's runtime, and what it was started with.
pub const DESCRIPTORS_OWN: u64 = 16;
/// Those of a worker's runtime.
pub const DESCRIPTORS_PER_WORKER: u64 = 4;
/// Those of a listening socket: the main thread's, the worker's, and one for a hand-over.
pub const DESCRIPTORS_PER_SOCKET: u64 = 3;
/// Those that come and go: the admin listener's connections, files, lookups, a hand-over.
pub const DESCRIPTORS_SPARE: u64 = 24;
/// Those of clients over a limit that take their time. Others are closed when the answer is sent.
pub const DESCRIPTORS_OF_REFUSALS: usize = 12;
/// Pause before a dial that would take a spare one tries again: pools are emptied meanwhile.
pub const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(5);

/// Part of the places for clients that idle ones make free. It is the same part in nginx.
pub const PLACES_FREE_DIVISOR: usize = 16;
/// How long a connection may then go on to wait for its first request. A long way takes a third.
pub const CROWDED_SILENCE_MAX: Duration = Duration::from_secs(1);
/// The same for the next request. Longer, so that in a flood of silent connections those end first.
pub const CROWDED_IDLE_MAX: Duration = Duration::from_secs(2);

/// Pause between two looks at the files of certificates, keys and roots. A few reads cost nothing,
/// and who has put a new certificate in place does not like to wait.
pub const FILES_LOOKED_AT_EVERY: Duration = Duration::from_secs(5);
/// How long such a look may take before it is complained of.
pub const FILES_SLOW: Duration = Duration::from_secs(10);

/// Longest answer of an ACME directory. The longest is a chain of certificates, some 6 KiB; with a
/// hundred names in it, twice that.
pub const ACME_ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Longest value of a field in such an answer: a URL, or a nonce.
pub const ACME_FIELD_BYTES_MAX: usize = 2048;
/// Longest time from a request to a directory until its answer is complete, lookup and handshake
/// included. A directory that is asked to issue may think for some seconds.
pub const ACME_ANSWER_MAX: Duration = Duration::from_secs(60);
/// Most certificates that are ordered, or asked about, at one time. One may take a quarter of an
/// hour, and must not hold up the others; an authority does not like many.
pub const ACME_ORDERS_MAX: usize = 4;
/// Pauses before a request to a directory is sent again after its connection broke.
pub const ACME_ASK_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];
/// Shortest pause after an order that succeeds, for certificates that would have to be renewed at
/// once; a quarter of the time that such a certificate has left, if that is shorter.
pub const ACME_ORDER_PAUSE: Duration = Duration::from_secs(60 * 60);
/// Pause between two attempts to use a state directory that cannot be written.
pub const ACME_STATE_TRIED_EVERY: Duration = Duration::from_secs(30);
/// How long it is not logged again that nothing can be ordered; six times as long each time that
/// the reason stays the same, up to the second limit.
pub const ACME_TROUBLE_LOGGED_AGAIN: Duration = Duration::from_secs(10 * 60);
/// Longest such pause.
pub const ACME_TROUBLE_LOGGED_EVERY_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Pause between two attempts to become the process that renews certificates, while another one
/// is. After a hand-over the old process lets go at once.
pub const ACME_LOCK_TRIED_EVERY: Duration = Duration::from_secs(2);
/// Pause before orders go on after a bug in this program.
pub const ACME_RESTARTED_AFTER: Duration = Duration::from_secs(60);

/// Pause between two warnings about our certificates.
pub const CERTIFICATES_LOGGED_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Pause between two log lines about a limit that stays reached.
pub const LIMIT_LOGGED_EVERY: Duration = Duration::from_secs(60);

/// Most log lines a minute about refusals to one client address (for IPv6, one /64), for each
/// worker: enough for a person who experiments. Without this limit, each refused request of 16
/// bytes would write 200 bytes of log.
pub const REFUSAL_LINES_OF_ADDRESS_MAX: usize = 20;
/// Most log lines a minute about refusals to all addresses together, for each worker, and most
/// addresses that it remembers for this: 30 MB of log a day under an attack all day long.
pub const REFUSAL_LINES_MAX: usize = 100;
/// The minute. It begins with the first refusal after the last one has passed.
pub const REFUSALS_LOGGED_EVERY: Duration = Duration::from_secs(60);

/// Wrong tokens of one address (for IPv6, one /64) that are answered at once: a person who
/// experiments, or some programs with an old token.
pub const WRONG_TOKENS_AT_ONCE: u32 = 20;
/// Pace of the answers to those that follow. Each that is not sent makes room for one more at once.
pub const WRONG_TOKEN_EVERY: Duration = Duration::from_millis(250);
/// Longest that such an answer waits. It holds its connection so long, of which an address has 256
/// by default: so a flood gets no more than 26 answers a second from each process.
pub const WRONG_TOKEN_WAIT_MAX: Duration = Duration::from_secs(10);
/// Such answers may hold this part of `limits.connections`, all addresses together: the connections
/// of a trusted proxy count for no address, and a flood through it would hold all of them. Further
/// ones come at once, and end their connection.
pub const WRONG_TOKEN_CONNECTIONS_DIVISOR: usize = 16;
/// Most addresses that are remembered for this, at some 50 bytes each. Answers to further ones do
/// not wait.
pub const WRONG_TOKEN_ADDRESSES_MAX: usize = 4096;

/// How often a client that has as many exchanges as it may is looked at again before it is refused:
/// an answer arrives a little before the worker that sent it counts the exchange as ended.
pub const CLIENT_LOOKS: u32 = 10;
/// Pause before each of these looks.
pub const CLIENT_LOOK_EVERY: Duration = Duration::from_millis(5);

/// Most connections over `limits.connections` that are being answered with a 503 at one time. The
/// others are closed without an answer.
pub const REFUSALS_MAX: usize = 64;

const _: () = assert!(ADMIN_CONNECTIONS_MAX < DESCRIPTORS_SPARE as usize);
const _: () = assert!(SERVICE_STATUS_EVERY.as_secs() * 2 < SERVICE_STOP_EXTENSION.as_secs());
const _: () = assert!(CHUNK_LINE_BYTES_MAX + TRAILER_BYTES_MAX <= SCRATCH_BYTES);
const _: () = assert!(WARM_CONNECTIONS_MAX <= POOL_CONNECTIONS_MAX);
// Prefaces are peeked at in a slice of the scratch buffer.
const _: () = assert!(CLIENT_HELLO_BYTES_MAX <= SCRATCH_BYTES);
const _: () = assert!(PROXY_HEADER_BYTES_MAX <= SCRATCH_BYTES);
const _: () = assert!(BUFFER_BYTES <= BUFFER_KEPT_BYTES_MAX);
// An incomplete message of the handshake, in records, leaves room to read the rest.
const _: () = assert!(64 * 1024 + 4 * 1024 + TLS_READ_BYTES_MIN <= TLS_SCRATCH_BYTES);
