//! The sizes of what a connection holds for as long as it lasts. None of these numbers is a limit
//! in itself: one that no longer holds is a finding, and changes only with a reason.
//!
//! A task of the runtime is its future and about a hundred bytes, rounded up to the next 128.

use super::bench::run;
use crate::net::write_buffer::WriteBuffer;
use crate::proxy::Session;
use crate::proxy::connection::Connection;
use crate::proxy::tcp::Passthrough;
use std::mem::{size_of, size_of_val};

/// What the runtime adds to a future: the task's head, its place in lists, its scheduler.
const TASK_BYTES: usize = 104;
/// What the worker adds to a session: the connection's place.
const GUARD_BYTES: usize = 32;
/// What the worker adds to a connection of a tcp listener: its place, and the way to the relay.
const HAND_OVER_BYTES: usize = 56;

#[test]
fn the_state_of_a_connection_stays_small() {
    assert!(size_of::<WriteBuffer>() <= 32, "{}", size_of::<WriteBuffer>());
    // In tests a transport in memory makes it larger.
    assert!(size_of::<Connection>() <= 64, "{}", size_of::<Connection>());
    assert!(size_of::<Session>() <= 104, "{}", size_of::<Session>());
    assert!(size_of::<Passthrough>() <= 32, "{}", size_of::<Passthrough>());
}

#[test]
fn the_task_of_an_http_connection_fits_into_five_steps_of_128_bytes() {
    run(async |bench| {
        let (_client, mut session) = bench.idle_client(1);
        let state = size_of::<Session>() + GUARD_BYTES;
        let all = state + size_of_val(&session.run()) + TASK_BYTES;
        assert!(all <= 640, "{all}");
    });
}

#[test]
fn the_task_of_a_tunnel_fits_into_three_steps_of_128_bytes() {
    run(async |bench| {
        let _client = bench.tcp_client(&[]);
        let all = bench.tcp_bytes() + HAND_OVER_BYTES + TASK_BYTES;
        assert!(all <= 384, "{all}");
    });
}
