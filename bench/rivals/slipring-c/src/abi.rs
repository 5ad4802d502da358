//! What `slipring.h` declares, as far as it is used here.
//!
//! Every call goes through the shared library, by its table of symbols, as one that a C compiler made: nothing of the library is
//! known to this program but this page.

use std::ffi::{c_char, c_int, c_void};

/// `slipring_config_t`, with room for any version's: who begins it knows its length.
#[repr(C, align(8))]
pub(crate) struct Config {
    pub(crate) size: usize,
    pub(crate) capacity: u64,
    pub(crate) capacity_reverse: u64,
    limits: [u64; 3],
    in_flight: u32,
    pub(crate) wait: i32,
    rest: [u64; 12],
}

/// `slipring_message_t`.
#[repr(C)]
pub(crate) struct Message {
    pub(crate) data: *const c_void,
    pub(crate) len: usize,
    pub(crate) type_id: u32,
}

/// `slipring_frame_t`.
#[repr(C)]
pub(crate) struct Frame {
    pub(crate) data: *const c_void,
    pub(crate) len: usize,
    correlation_id: u64,
    type_id: u32,
    shared_count: u32,
    shared: *const c_void,
}

/// Handles, each of its own type in C.
pub(crate) type Handle = *mut c_void;

pub(crate) const OK: c_int = 0;
pub(crate) const EMPTY: c_int = 2;
pub(crate) const WAIT_ADAPTIVE: i32 = 0;
pub(crate) const WAIT_SPIN: i32 = 1;
pub(crate) const WAIT_PARK: i32 = 2;
/// A timeout: as long as it takes.
pub(crate) const FOREVER: i64 = -1;

pub(crate) type OnFrame = unsafe extern "C" fn(user: *mut c_void, frame: *const Frame);

unsafe extern "C" {
    pub(crate) fn slipring_version() -> *const c_char;
    pub(crate) fn slipring_last_error(text: *mut c_char, capacity: usize) -> usize;
    pub(crate) fn slipring_config_init_sized(config: *mut Config, size: usize) -> c_int;

    pub(crate) fn slipring_bus_listen(name: *const c_char, config: *const Config, ns: i64, bus: *mut Handle) -> c_int;
    pub(crate) fn slipring_bus_connect(name: *const c_char, config: *const Config, ns: i64, bus: *mut Handle) -> c_int;
    pub(crate) fn slipring_bus_send(bus: Handle, type_id: u32, data: *const c_void, len: usize, ns: i64) -> c_int;
    pub(crate) fn slipring_bus_send_batch(
        bus: Handle,
        messages: *const Message,
        count: usize,
        ns: i64,
        sent: *mut usize,
    ) -> c_int;
    pub(crate) fn slipring_bus_claim(bus: Handle, len: usize, ns: i64, claim: *mut Handle) -> c_int;
    pub(crate) fn slipring_claim_data(claim: Handle) -> *mut c_void;
    pub(crate) fn slipring_claim_commit(claim: Handle, type_id: u32, used: usize) -> c_int;
    pub(crate) fn slipring_claim_commit_call(claim: Handle, type_id: u32, used: usize, id: *mut u32) -> c_int;
    pub(crate) fn slipring_bus_recv_frame(bus: Handle, ns: i64, frame: *mut Frame) -> c_int;
    pub(crate) fn slipring_bus_poll(
        bus: Handle,
        limit: usize,
        ns: i64,
        on_frame: OnFrame,
        user: *mut c_void,
        count: *mut usize,
    ) -> c_int;
    pub(crate) fn slipring_bus_free(bus: Handle) -> c_int;

    pub(crate) fn slipring_lease_data(lease: Handle) -> *const c_void;
    pub(crate) fn slipring_lease_len(lease: Handle) -> usize;
    pub(crate) fn slipring_lease_correlation_id(lease: Handle) -> u64;
    pub(crate) fn slipring_lease_release(lease: Handle) -> c_int;

    pub(crate) fn slipring_rpc_listen(name: *const c_char, config: *const Config, ns: i64, rpc: *mut Handle) -> c_int;
    pub(crate) fn slipring_rpc_connect(name: *const c_char, config: *const Config, ns: i64, rpc: *mut Handle) -> c_int;
    pub(crate) fn slipring_rpc_call(
        rpc: Handle,
        type_id: u32,
        data: *const c_void,
        len: usize,
        ns: i64,
        id: *mut u32,
    ) -> c_int;
    pub(crate) fn slipring_rpc_wait(rpc: Handle, id: u32, ns: i64, reply: *mut Handle) -> c_int;
    pub(crate) fn slipring_rpc_serve(rpc: Handle, ns: i64, request: *mut Handle) -> c_int;
    pub(crate) fn slipring_rpc_reply(
        rpc: Handle,
        id: u32,
        type_id: u32,
        data: *const c_void,
        len: usize,
        ns: i64,
    ) -> c_int;
    pub(crate) fn slipring_rpc_claim_request(rpc: Handle, len: usize, ns: i64, claim: *mut Handle) -> c_int;
    pub(crate) fn slipring_rpc_claim_reply(rpc: Handle, id: u32, len: usize, claim: *mut Handle) -> c_int;
    pub(crate) fn slipring_rpc_free(rpc: Handle) -> c_int;

    pub(crate) fn slipring_raise_descriptor_limit(limit: *mut u64) -> c_int;
    pub(crate) fn slipring_listener_bind(name: *const c_char, config: *const Config, listener: *mut Handle) -> c_int;
    pub(crate) fn slipring_listener_accept_rpc(listener: Handle, ns: i64, rpc: *mut Handle) -> c_int;
    pub(crate) fn slipring_listener_free(listener: Handle) -> c_int;
    pub(crate) fn slipring_poller_new(config: *const Config, poller: *mut Handle) -> c_int;
    pub(crate) fn slipring_poller_add_rpc(poller: Handle, rpc: Handle, token: u64) -> c_int;
    pub(crate) fn slipring_poller_wait(
        poller: Handle,
        ns: i64,
        tokens: *mut u64,
        capacity: usize,
        count: *mut usize,
    ) -> c_int;
    pub(crate) fn slipring_poller_free(poller: Handle) -> c_int;
}
