//! Every fixed bound, with its reason; what an operator may choose is in `config`.
//!
//! Relations between bounds are compile-time assertions, so that a change which breaks one does
//! not build.

use crate::h1::limits::{CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX};
use core::time::Duration;

/// Longest authority that is remembered of a client, to be said again in a redirect: the longest
/// name in DNS, its final dot, and a port. A redirect for a longer one is a path.
pub const CLIENT_AUTHORITY_BYTES_MAX: usize = 260;

/// Most connection options in one head. Clients send one or two; each is compared with each field
/// name, so the product of both is what is bounded here.
pub const CONNECTION_OPTIONS_MAX: usize = 16;

/// Most interim (1xx) responses before a final one. Real servers send one or two; each costs the
/// client a write, so an endless row of them is an attack.
pub const INTERIM_RESPONSES_MAX: u8 = 32;

/// Longest client hello of TLS that is read for its server name, headers of its records included.
/// Until then it stays in the kernel's buffer and is only looked at, in the scratch buffer.
///
/// Today's hellos have 0.3 to 2 KiB. The largest in sight has one extension as large as a record
/// may be, 16 KiB, for a key of a post-quantum scheme without short ones; 2 KiB are for the rest.
pub const CLIENT_HELLO_BYTES_MAX: usize = (16 + 2) * 1024;

/// Most bytes that a client sends until its TLS handshake with us is over: what rustls may have to
/// keep of a message that is not whole. Two hellos, as a server may ask for a second one, and the
/// few hundred bytes of the rest.
pub const CLIENT_HANDSHAKE_BYTES_MAX: u32 = 2 * CLIENT_HELLO_BYTES_MAX as u32 + 4 * 1024;
/// Most bytes of TLS that a client sends behind its handshake without a byte of content in them,
/// likewise: a record of 16 KiB that is not whole, and more than enough for updates of keys.
pub const TLS_BYTES_WITHOUT_CONTENT_MAX: u32 = 24 * 1024;

/// Longest PROXY protocol header that is read. Addresses need 232 bytes at most; what proxies add
/// has a few hundred, or 1 to 2 KiB where a client's certificate is in it.
pub const PROXY_HEADER_BYTES_MAX: usize = 4 * 1024;

/// Size of a worker's scratch buffer, and so of the largest single read.
///
/// Four TLS records; reads larger than that gain nothing measurable.
pub const SCRATCH_BYTES: usize = 64 * 1024;

/// Capacity of a pipe that plain bytes are spliced through, and so of the largest single move.
///
/// The kernel's 64 KiB make for four times as many calls, 1 MiB for no fewer, as a socket rarely
/// has that much. An unprivileged user may have 64 MiB of pipes: 256 of these.
pub const PIPE_BYTES: usize = 256 * 1024;
/// Most pipes that one worker has in use at a time; what comes then is copied. Only a receiver that
/// is slower than its sender keeps one for longer than a moment.
pub const PIPES_MAX: usize = 128;
/// Most empty pipes that one worker keeps: two descriptors and 3 KiB of the kernel's memory each.
pub const PIPES_KEPT_MAX: usize = 16;
/// After a pipe could not be had, none is asked for during this time.
pub const PIPE_SHORTAGE: Duration = Duration::from_secs(1);

/// A client of a tcp listener that routes by name, and that says nothing for so long, is taken for
/// one that waits for the server to speak first, and goes to the forward for `"*"`.
///
/// A TLS client speaks at once, so only loss can delay it: after one lost segment it is back in
/// 1 s, after two in 3 s (RFC 6298, section 2). sslh waits for 2 to 5 s.
pub const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Initial capacity of a pooled buffer: most heads fit, with the first bytes of their body.
pub const BUFFER_BYTES: usize = 8 * 1024;
/// A buffer that grew beyond this is freed when it comes back, not kept.
pub const BUFFER_KEPT_BYTES_MAX: usize = 64 * 1024;
/// Most free buffers that one worker keeps: 64 KiB when none of them has grown. An exchange needs
/// two for a moment; more at once are a burst, whose memory would otherwise stay for ever.
pub const BUFFERS_KEPT_MAX: usize = 8;

/// Most bytes of a request that are kept in case it has to be sent again. Bodies without images
/// fit; what does not fit is not repeated.
pub const REPLAY_BYTES_MAX: usize = 256 * 1024;
/// Most bytes that one worker keeps for that in all. A request keeps its bytes until the head
/// of its answer is here, and a thousand models may think at once.
pub const REPLAY_BYTES_OF_WORKER_MAX: usize = 4 * 1024 * 1024;

/// Most bytes of pipelined requests, or of a body without an upstream yet, that are read ahead.
/// Reading goes on that far only to notice a client that leaves.
pub const PIPELINED_BYTES_MAX: usize = 8 * 1024;

/// Idle upstream connections are closed at this age. Cloudflare closes at 400 s, and many NATs
/// forget a flow after 300 s or so.
pub const POOL_IDLE_MAX: Duration = Duration::from_secs(240);
/// Most idle connections per upstream and worker. One warm connection serves a kept-alive
/// exchange at a time; more than this many idle ones were a burst.
pub const POOL_CONNECTIONS_MAX: usize = 64;
/// The kernel itself is asked about connections that have been idle for so long, before one is
/// used: no upstream is known to end idle connections sooner.
pub const POOL_PEEK_AGE: Duration = Duration::from_secs(1);

/// A 408 that closes a kept connection so soon after a request began is about the silence before
/// it: it was on its way already, or written when the request arrived. No server's limit for a
/// request is that short, and no round trip, with a segment lost, is longer.
pub const IDLE_LIMIT_TOLD_WITHIN: Duration = Duration::from_secs(1);

/// Closes of idle connections by the upstream are remembered for so long. Long enough to keep
/// below its limit, short enough that a restart of it is not taken for one for ever.
pub const CLOSING_AGE_REMEMBERED: Duration = Duration::from_secs(3600);
/// An idle connection closed sooner than this tells of a restart, not of an idle limit.
pub const CLOSING_AGE_MIN: Duration = Duration::from_secs(2);
/// Two closes at ages no further apart than this are one limit of the upstream's, and not the
/// restart of a server that happens to close whatever is open.
pub const CLOSING_AGES_APART_MAX: Duration = Duration::from_millis(500);
/// Lines are kept warm for so long after an upstream's last use, or after the start.
pub const WARM_FOR: Duration = Duration::from_secs(600);
/// No lines are kept warm for an upstream that closes unused ones sooner than this: they would be
/// opened all day long, and be of little use.
pub const WARM_LIFE_MIN: Duration = Duration::from_secs(3);
/// A warm line with less than this to live is replaced before it ends.
pub const WARM_RENEWAL: Duration = Duration::from_millis(500);
/// First pause after a connection that nobody has asked for could not be opened, or was ended by
/// the upstream before a request came; it doubles with each further one.
pub const UNASKED_PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest such pause.
pub const UNASKED_PAUSE_MAX: Duration = Duration::from_secs(60);
/// Most connections that all workers together open to an upstream unasked and without a use for
/// them, beside its `warm`: one that a request is sent on makes room for another. A client that has
/// connected asks within 0.1 s, so that 160 new clients a second find theirs ready.
pub const UNASKED_MAX: usize = 16;
/// One of these is forgiven in this time, for each of `warm`, so that lines which live for no
/// longer than [`WARM_LIFE_MIN`] can be replaced.
pub const UNASKED_FORGIVEN_AFTER: Duration = Duration::from_secs(2);
/// Most connections that one worker opens at one time to an upstream for clients that have not
/// asked for anything yet: a flood of clients must not become a flood of dials.
pub const SPECULATIVE_DIALS_MAX: usize = 8;
/// Between two lines of the log about the same trouble with an upstream.
pub const TROUBLE_TOLD_EVERY: Duration = Duration::from_secs(60);
/// Between two lines about different ones, of which some upstreams have two in turns.
pub const TROUBLE_CHANGES_TOLD_EVERY: Duration = Duration::from_secs(10);
/// A worker whose share of `warm` stands ready at another one does not look again for so long.
pub const WARM_LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Age at which the addresses of a name in use are looked up again, behind the data path.
pub const NAME_REFRESH: Duration = Duration::from_secs(30);
/// Age beyond which they are not relied on before another lookup was tried.
pub const NAME_STALE: Duration = Duration::from_secs(300);
/// Pauses before a refused connection is tried again: a server that restarts refuses for a moment.
/// Nothing of a request was sent by then, so any may wait; no client is less patient than 0.7 s.
pub const REFUSED_PAUSES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(200), Duration::from_millis(400)];
/// Most threads of the process for the system's resolver, which blocks, and which nothing can stop.
/// One lookup at a time runs for each name and family, so that only so many names whose lookup
/// hangs can keep the others waiting. A thread in a lookup takes some 100 KiB.
pub const RESOLVER_THREADS_MAX: usize = 64;
/// Most addresses of a name that one dial tries.
pub const ADDRESSES_MAX: usize = 8;
/// Between the starts of two attempts of one dial (RFC 8305, section 5).
pub const ATTEMPT_STAGGER: Duration = Duration::from_millis(250);

/// Between two looks at whether a client has left whose bytes cannot be read now: its end stands
/// behind them, and only the kernel's state of the connection tells.
pub const DEPARTURE_LOOK: Duration = Duration::from_secs(1);

/// How long a connection is read on in all, and the bytes thrown away, for a client that goes on
/// sending behind its last answer: HTTP libraries that write all of a body before they read get to
/// the answer of a 30 MB upload at 1 MB/s. nginx takes the same 30 s (`lingering_time`); the place
/// that it costs is no other than that of a slow upload which somebody wants.
pub const LINGER_MAX: Duration = Duration::from_secs(30);

/// First pause between two looks at whether the peer's kernel has acknowledged everything; it
/// doubles from look to look.
pub const DELIVERY_LOOK_MIN: Duration = Duration::from_millis(1);
/// Longest such pause. The end that waits for it is that of a message which is not complete.
pub const DELIVERY_LOOK_MAX: Duration = Duration::from_millis(64);

/// How long running exchanges may go on after the first SIGTERM or SIGINT.
pub const DRAIN_MAX: Duration = Duration::from_secs(30);

/// How long what had come of exchanges may take to arrive that a stop has cut then. With
/// [`DRAIN_MAX`] below the 90 s after which systemd kills.
pub const DRAIN_CUT_MAX: Duration = Duration::from_secs(30);

/// How long workers may take to cut what is left after a second signal: a moment's work.
pub const STOP_AT_ONCE_MAX: Duration = Duration::from_secs(1);

/// How long a client that connected just before we are asked to stop has to send its request.
pub const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// Pause after an accept that failed for want of descriptors or memory: retrying at once would
/// spin, because the connection stays in the queue.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Length of a listener's queue of connections not yet accepted; the kernel caps it at
/// `net.core.somaxconn`.
pub const LISTEN_BACKLOG: i32 = 4096;

/// Idle time before the first TCP keepalive probe, and between probes. Below every NAT timeout
/// that users reported (home routers 60-300 s, GCP 120 s).
pub const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
/// Unanswered probes after which the kernel gives the connection up.
pub const TCP_KEEPALIVE_PROBES: u32 = 3;
/// A request that has sent more than this may find the upstream's window shut without any fault:
/// from then on its silence is under `to_upstream.write` alone.
pub const DEFAULT_USER_TIMEOUT_BYTES_MAX: u64 = 64 * 1024;
/// Between two looks at whether a peer of a tunnel acknowledges what is on its way to it. The
/// kernel itself is told to be as patient as `timeouts.tunnel`.
pub const VANISHED_LOOK: Duration = Duration::from_secs(30);
/// At so many looks in a row it has acknowledged nothing: 60 to 90 s.
pub const VANISHED_LOOKS: u8 = 3;
/// Unacknowledged data older than this ends the connection (`TCP_USER_TIMEOUT`): a peer that
/// vanished without FIN is noticed while we write to it, too. It also takes the place of
/// [`TCP_KEEPALIVE_PROBES`]: a silent peer is given up by the first probe that finds it this old.
pub const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Descriptors beside those of connections: listeners, the runtimes' own, pooled connections of a
/// quiet moment, a name being looked up.
pub const DESCRIPTORS_RESERVED: u64 = 64;

/// Between two times at which the log says what is wrong with our certificates.
pub const CERTIFICATES_TOLD_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Between two log lines about a limit that stays reached.
pub const LIMIT_TOLD_EVERY: Duration = Duration::from_secs(60);

/// Lines of the log about what one client address (of IPv6, one /64) was refused: so many at once,
/// which is a person who tries this and that.
pub const REFUSAL_LINES_AT_ONCE: u32 = 20;
/// And then one in so long, which is enough to see that it goes on. A pipelined request of 16
/// bytes, refused, would be 200 bytes of log otherwise.
pub const REFUSAL_LINE_EVERY: Duration = Duration::from_secs(1);
/// Such lines of all addresses together, for each worker: so many at once.
pub const REFUSAL_LINES_OF_WORKER_AT_ONCE: u32 = 100;
/// And then one in so long: 200 MB of log a day and worker, under an attack that goes on all day.
pub const REFUSAL_LINE_OF_WORKER_EVERY: Duration = Duration::from_millis(100);
/// Most addresses that a worker remembers for this. One is forgotten when it may have
/// [`REFUSAL_LINES_AT_ONCE`] again, and only a line that is written makes another one remembered,
/// so that there are never more.
pub const REFUSED_ADDRESSES_MAX: usize = 512;
/// Between two lines that say how many were left out.
pub const LEFT_OUT_TOLD_EVERY: Duration = Duration::from_secs(10);

/// Most connections over `limits.connections` that are being told so at one time; the others are
/// closed without a word.
pub const REFUSALS_MAX: usize = 64;

const _: () = assert!(CHUNK_LINE_BYTES_MAX + TRAILER_BYTES_MAX <= SCRATCH_BYTES);
// Openings are looked at in a slice of the scratch buffer.
const _: () = assert!(CLIENT_HELLO_BYTES_MAX <= SCRATCH_BYTES);
const _: () = assert!(PROXY_HEADER_BYTES_MAX <= SCRATCH_BYTES);
const _: () = assert!(BUFFER_BYTES <= BUFFER_KEPT_BYTES_MAX);
// The lines that a worker can write while an address is remembered.
const _: () = assert!(
    REFUSAL_LINES_OF_WORKER_AT_ONCE as u128
        + REFUSAL_LINE_EVERY.as_millis() * REFUSAL_LINES_AT_ONCE as u128
            / REFUSAL_LINE_OF_WORKER_EVERY.as_millis()
        < REFUSED_ADDRESSES_MAX as u128
);
