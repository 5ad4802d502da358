// slipring: messages and calls between two processes of one host, through shared memory that each side alone writes.
//
// This header is the manual, and all of the interface: what does not stand here can change. It is made of the library's
// source (make header); do not edit it.
//
//     #include <slipring/slipring.h>                      // one program receives
//
//     slipring_bus_t *bus;
//     slipring_lease_t *lease;
//     if (slipring_bus_listen("greetings", NULL, -1, &bus) != SLIPRING_OK) { ... }
//     while (slipring_bus_recv(bus, -1, &lease) == SLIPRING_OK) {
//         fwrite(slipring_lease_data(lease), 1, slipring_lease_len(lease), stdout);
//         slipring_lease_release(lease);
//     }
//     slipring_bus_free(bus);
//
//     slipring_bus_connect("greetings", NULL, 5000000000, &bus);     // another sends
//     slipring_bus_send(bus, 1, "hello", 5, -1);
//     slipring_bus_close(bus, 5000000000);                           // after all was read
//     slipring_bus_free(bus);
//
// CONVENTIONS
//
// Names. A function is slipring_<type>_<verb>; its first argument is the object, then come inputs, and outputs last. No argument
// is both.
//
// Statuses. Functions answer a slipring_status_t: SLIPRING_OK is 0, and each cause has its own number for ever. A call that fails has
// changed nothing, and outputs are written only on success, unless its comment says otherwise. What functions may answer
// is listed behind what they do; SLIPRING_INVALID_ARGUMENT, SLIPRING_WRONG_THREAD, SLIPRING_USE_AFTER_CLOSE, SLIPRING_FORKED and
// SLIPRING_PANIC may come from any. slipring_last_error says in words what happened.
//
// Pointers. A pointer is null, or leads to what its type says, for as long as the call takes; memory that is given with a length
// may be anything where the length is 0. The library checks what can be checked: null, alignment, sizes, freed handles. It
// keeps no pointer to the caller's memory after a call, but for callbacks and their `user`.
//
// Handles. What a function gives by its last argument is the caller's, who frees it by slipring_<type>_free, or, of a lease
// and a claim, by slipring_lease_release and slipring_claim_commit or _abort. Freeing NULL is fine. Memory of a handle that was freed
// is used for the next of its type and for nothing else, so that using one after it was freed is an error, and no undefined
// behaviour: SLIPRING_INVALID_ARGUMENT, unless it has been given out again.
//
// Timeouts are in nanoseconds. 0 tries: SLIPRING_EMPTY or SLIPRING_FULL at once. A positive one that passes is SLIPRING_TIMEOUT. -1 is
// for ever. Every wait ends when the peer closes, dies or breaks the protocol, and with SLIPRING_INTERRUPTED when a signal handler ran.
//
// Threads. A handle belongs to one thread at a time, with its leases and claims, and may move between threads between calls. Where
// the pointer is const, any number of threads may be in the function at once. SLIPRING_WRONG_THREAD tells of a handle that
// is in use, mostly: it is no lock. What is the holder's own (slipring_lease_keep, slipring_bus_claim_owned) goes by itself. The
// library has no thread, timer or signal handler of its own; slipring_server_workers alone makes threads.
//
// Fork. A child owns none of its parent's handles: they answer SLIPRING_FORKED, freeing them does nothing to the parent's sessions, and
// their descriptors are closed in it. It may open its own.
//
// Callbacks must return: an exception or longjmp out of one is undefined.
//
// Structs with a `size` begin with their _init function. They grow at their end: a program runs with a library that is older or newer
// than its header, and is told (SLIPRING_STRUCT_SIZE) where it asks for what an older library does not have.
//
// Where to read on: simple use is first (Bus: send, receive), then what saves copies (claims, keeping, shared objects), then calls,
// then many clients, and what one can ask. The package's README tells what all this is for, docs/SECURITY.md whom it guards
// against.


#ifndef SLIPRING_H
#define SLIPRING_H

#include <stddef.h>
#include <stdint.h>

// The version of this header: major.
#define SLIPRING_VERSION_MAJOR 0

// The version of this header: minor.
#define SLIPRING_VERSION_MINOR 1

// The version of this header: patch.
#define SLIPRING_VERSION_PATCH 0

// The ABI of this header. A program runs with every library that has the same, whichever is newer; it is the number behind
// libslipring.so.
#define SLIPRING_ABI_VERSION 0

// In a number of slipring_config_t: what the environment says, or else the default.
#define SLIPRING_DEFAULT UINT64_MAX

// In a choice of slipring_config_t: what the environment says, or else the default.
#define SLIPRING_UNSET -1

// Spins for some 40 us and then sleeps, and learns when spinning does not pay. The default.
#define SLIPRING_WAIT_ADAPTIVE 0

// Spins, and takes a whole processor.
#define SLIPRING_WAIT_SPIN 1

// Sleeps at once.
#define SLIPRING_WAIT_PARK 2

// Only processes of this user may be peers; payloads are read where they stand. The default.
#define SLIPRING_TRUST_SAME_USER 0

// The peer may be hostile: payloads are copied before anyone sees them.
#define SLIPRING_TRUST_UNTRUSTED 1

// Memory in sealed anonymous files. The default.
#define SLIPRING_BACKEND_MEMFD 0

// POSIX shared memory, which has no seals: only between ends of the same user.
#define SLIPRING_BACKEND_POSIX 1

// This end of an RpcBus answers no calls: each gets SLIPRING_NOT_FOUND.
#define SLIPRING_SERVES_NO 0

// This end of an RpcBus answers calls.
#define SLIPRING_SERVES_YES 1

// No fences where the kernel has membarrier. The default.
#define SLIPRING_FENCE_AUTO 0

// Fences, as without membarrier.
#define SLIPRING_FENCE_ALWAYS 1

// Of slipring_bus_state: both sides are there.
#define SLIPRING_STATE_OPEN 0

// The peer has closed. What it sent before can still be received.
#define SLIPRING_STATE_CLOSED 1

// The peer died. What it sent before can still be received.
#define SLIPRING_STATE_PEER_DIED 2

// The peer broke the protocol; the session is over.
#define SLIPRING_STATE_CORRUPT 3

// Of slipring_bus_capabilities: this end's memory is sealed.
#define SLIPRING_CAN_SEALED 1

// The peer's memory is sealed: reading it cannot fail, whatever the peer does.
#define SLIPRING_CAN_PEER_SEALED 2

// This end can have payloads in files (spill_dir).
#define SLIPRING_CAN_SPILL 4

// This end's memory is POSIX shared memory.
#define SLIPRING_CAN_POSIX 8

// Of slipring_observed_t: messages from the connecting to the listening end.
#define SLIPRING_KIND_BUS 1

// Of slipring_observed_t: calls both ways.
#define SLIPRING_KIND_RPC 2

// Of slipring_asked_t: nobody asked.
#define SLIPRING_ASKED_NO 0

// It is so for all of the memory.
#define SLIPRING_ASKED_GOT 1

// It is so for some of the memory; `why` says why not for the others.
#define SLIPRING_ASKED_PARTLY 2

// It is so for none of it; `why` says why not.
#define SLIPRING_ASKED_REFUSED 3

// Bytes of slipring_asked_t's `why`.
#define SLIPRING_WHY_CAPACITY 232

// What a function answers. A number keeps its meaning for ever; new ones are added behind the last of their range. 1 to 63 are
// causes that every language of slipring has; from 64 on they are what only a C program can meet. Take an unknown number for
// SLIPRING_SYSTEM.
enum slipring_status_t
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // All went well.
    SLIPRING_OK = 0,
    // No room has been seen free. Only where the timeout is 0.
    SLIPRING_FULL = 1,
    // Nothing has arrived yet. Only where the timeout is 0.
    SLIPRING_EMPTY = 2,
    // The timeout passed.
    SLIPRING_TIMEOUT = 3,
    // The peer said goodbye, and everything that it had sent was delivered.
    SLIPRING_CLOSED = 4,
    // The peer ended without a goodbye; everything that it had sent was delivered.
    SLIPRING_PEER_DIED = 5,
    // The peer broke the protocol. The session is over; this process was not touched.
    SLIPRING_CORRUPT = 6,
    // The payload is longer than what fits; the text says both numbers.
    SLIPRING_TOO_LARGE = 7,
    // The listener turned the connection down; the text says why.
    SLIPRING_REFUSED = 8,
    // The two sides have different versions of the memory's layout.
    SLIPRING_VERSION_MISMATCH = 9,
    // Nobody listens there; of a call: the peer serves no calls.
    SLIPRING_NOT_FOUND = 10,
    // A living listener has the address.
    SLIPRING_ADDRESS_IN_USE = 11,
    // Memory, or a descriptor, could not be had.
    SLIPRING_OUT_OF_MEMORY = 12,
    // A signal handler ran during the wait. Call again to go on waiting.
    SLIPRING_INTERRUPTED = 13,
    // The peer has more to do than it takes on: calls are nested too deeply.
    SLIPRING_OVERLOADED = 14,
    // The call was given up before it was served.
    SLIPRING_CANCELLED = 15,
    // The peer answered the call with an error: see slipring_remote_code, and slipring_last_error for its text.
    SLIPRING_REMOTE = 16,
    // An argument can never be right: null where null may not be, a freed handle, a number out of range. The text says which.
    SLIPRING_INVALID_ARGUMENT = 17,
    // The platform, or the peer, cannot do this.
    SLIPRING_UNSUPPORTED = 18,
    // A setting, from the environment or from the config, is not usable.
    SLIPRING_CONFIG = 19,
    // The handle belongs to the process that forked this one.
    SLIPRING_FORKED = 20,
    // The operating system refused, for a reason that the text says.
    SLIPRING_SYSTEM = 21,
    // The handle is in use by another thread, or by the call out of which this one is made.
    SLIPRING_WRONG_THREAD = 64,
    // A fault of the library's own, caught at its door. Nothing more is known of the handle: free it.
    SLIPRING_PANIC = 65,
    // The lease or claim is over: its bus received again, was closed or freed; or its request was replied to.
    SLIPRING_OVER = 66,
    // The size of a struct is none that this library knows; or the header is newer, and asks for something in a part that this
    // library does not have.
    SLIPRING_STRUCT_SIZE = 67,
    // This end was closed here.
    SLIPRING_USE_AFTER_CLOSE = 68,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum slipring_status_t slipring_status_t;
#else
typedef int32_t slipring_status_t;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A shared object that is being written.
typedef struct slipring_builder_t slipring_builder_t;

// One end of a one-way stream of messages: the end that listens receives, the end that connects sends.
typedef struct slipring_bus_t slipring_bus_t;

// Room for a payload, to be written in place.
typedef struct slipring_claim_t slipring_claim_t;

// Something that was received: a message, a request or a reply.
typedef struct slipring_lease_t slipring_lease_t;

// A name at which any number of peers can connect.
typedef struct slipring_listener_t slipring_listener_t;

// Wakes a poller from any thread. It may be used by any number of threads at once, but for its freeing.
typedef struct slipring_notifier_t slipring_notifier_t;

// What an observer saw at one look. It never changes, and may be used by any number of threads at once, but for its freeing.
typedef struct slipring_observation_t slipring_observation_t;

// Sees what the sessions of a listener or server count, without their doing anything for it. It may be used by any number of threads at
// once, but for its freeing, and in a child of fork.
typedef struct slipring_observer_t slipring_observer_t;

// Waits for any number of sessions and listeners at once.
typedef struct slipring_poller_t slipring_poller_t;

// One end of a session for calls: both ends may call, and both may serve.
typedef struct slipring_rpc_t slipring_rpc_t;

// Serves any number of clients at one name.
typedef struct slipring_server_t slipring_server_t;

// Memory that never changes. It may be used by any number of threads at once, but for its freeing.
typedef struct slipring_shared_t slipring_shared_t;

// Stops a server from any thread. It may be used by any number of threads at once, but for its freeing.
typedef struct slipring_stopper_t slipring_stopper_t;

// How an end is to be opened. Always begin with slipring_config_init. Where a function takes a config it may be NULL: all defaults.
// The function copies what it needs; the config and its texts remain the caller's.
typedef struct {
    // Bytes of this struct, as slipring_config_init sets it.
    size_t size;
    // The ring from the connecting to the listening end, in bytes: a power of two from 256 (1024 for calls) to 2^30. The listening
    // end decides. Default 1 MiB; 256 KiB for calls.
    uint64_t capacity;
    // For calls: the ring from the listening to the connecting end. Default 256 KiB.
    uint64_t capacity_reverse;
    // The longest payload that goes into the ring itself, in bytes. Default 1024.
    uint64_t inline_limit;
    // The longest payload that this end sends or takes, in bytes. The smaller of both ends' counts. Default 16 GiB.
    uint64_t max_message;
    // Bytes of memory for long payloads of one direction, all together. Default half of what there is.
    uint64_t memory_limit;
    // For calls: how many may be in flight each way, 1 to 4096. UINT32_MAX: the default, 64.
    uint32_t in_flight;
    // SLIPRING_WAIT_...
    int32_t wait;
    // SLIPRING_TRUST_...
    int32_t trust;
    // SLIPRING_BACKEND_...
    int32_t backend;
    // SLIPRING_SERVES_... Default: the listening end does.
    int32_t serves;
    // SLIPRING_FENCE_...
    int32_t fence;
    // A directory for payloads that memory has no room for. NULL: none, or what the environment says.
    const char *spill_dir;
    // Bytes of shared objects of the peer's that stay mapped while nobody looks at them. Default half of the memory there is.
    uint64_t shared_limit;
    // How many handshakes a listener has under way at once. Default 64.
    uint64_t pending_limit;
    // How long a handshake may take. -1: the default, 5 s.
    int64_t handshake_timeout_ns;
    // The NUMA node on which this end's memory should be. Default: where the kernel puts it. Of this and the next two,
    // slipring_bus_placement says what was got.
    int32_t numa_node;
    // Whether this end's memory should be in huge pages: 1, or 0, the default.
    int32_t huge_pages;
    // Whether this end's memory should be locked, so that it is never written to swap: 1, or 0, the default.
    int32_t lock_memory;
    // Whether this end shows its counters, to its peer and to observers: 1, the default, or 0.
    int32_t counters;
} slipring_config_t;

// A piece of memory.
typedef struct {
    // Where it begins; anything if `len` is 0.
    const void *data;
    // Its length in bytes.
    size_t len;
} slipring_slice_t;

// One message of several.
typedef struct {
    // The payload; anything if `len` is 0.
    const void *data;
    // Its length in bytes.
    size_t len;
    // The type id.
    uint32_t type_id;
} slipring_message_t;

// A message in place. What it leads to is gone when the callback returns that was given it; from slipring_bus_recv_frame, with the
// next call that receives on the bus, and with its close.
typedef struct {
    // The payload.
    const void *data;
    // Its length in bytes.
    size_t len;
    // The correlation id; 0 on a Bus.
    uint64_t correlation_id;
    // The sender's type id.
    uint32_t type_id;
    // How many shared objects came with it: see slipring_frame_shared.
    uint32_t shared_count;
    // The library's.
    const void *shared;
} slipring_frame_t;

// Is given a message. It must not use the bus that the message came by, and must return: no exception, no longjmp.
typedef void (*slipring_on_frame_t)(void *user, const slipring_frame_t *frame);

// Is given messages that came together, in their order. Rules as for slipring_on_frame_t.
typedef void (*slipring_on_frames_t)(void *user, const slipring_frame_t *frames, size_t count);

// Serves a request. `rpc` and `request` are lent to it until it returns: `rpc` is for replying, and for calling out, by which it may
// be called again, up to 8 deep. It replies by slipring_rpc_reply and the like; if it does not, the caller gets SLIPRING_REMOTE. It may
// make the request its own by slipring_lease_keep, and then releases it itself. `session` says which client of a server it is;
// 0 if there is no server. It must return: no exception, no longjmp.
typedef void (*slipring_on_request_t)(void *user,
                                      uint64_t session,
                                      slipring_rpc_t *rpc,
                                      slipring_lease_t *request);

// Is given a message of session `session`. It must return: no exception, no longjmp.
typedef void (*slipring_on_session_frame_t)(void *user, uint64_t session, const slipring_frame_t *frame);

// Is told that session `session` ended, and why: SLIPRING_CLOSED, SLIPRING_PEER_DIED or SLIPRING_CORRUPT. Numbers of sessions are not
// used again. It must return.
typedef void (*slipring_on_end_t)(void *user, uint64_t session, slipring_status_t why);

// What an end has done since it was opened, and has now. Begin with slipring_stats_init: what this library does not know of it stays
// zero.
typedef struct {
    // Bytes of this struct, as slipring_stats_init sets it.
    size_t size;
    // Messages sent by this end.
    uint64_t frames_sent;
    // Payload bytes in them.
    uint64_t bytes_sent;
    // Messages received by the user of this end.
    uint64_t frames_received;
    // Payload bytes in them.
    uint64_t bytes_received;
    // How often a call found the ring full.
    uint64_t waits_for_room;
    // How often a wait went to sleep.
    uint64_t parks;
    // Short sleeps that ended without anything to hear.
    uint64_t naps;
    // Bells rung to wake the peer.
    uint64_t bells_rung;
    // Bells heard from the peer.
    uint64_t bells_heard;
    // Regions of memory that this end has for long payloads now.
    uint64_t regions;
    // All their bytes.
    uint64_t region_bytes;
    // Blocks of them that are claimed, or that the peer has not yet given back.
    uint64_t blocks_out;
    // All their bytes, rounded up as blocks are.
    uint64_t block_bytes_out;
    // The most that this ever was.
    uint64_t block_bytes_high;
    // Blocks of the peer's that are held here.
    uint64_t held_blocks;
    // Their payload bytes.
    uint64_t held_bytes;
    // Shared objects of which the peer was told, less those that were taken back.
    uint64_t shared_told;
    // Shared objects of the peer's that this end knows. Each has a descriptor.
    uint64_t shared_known;
    // Bytes of them that are kept mapped for the next message that names them.
    uint64_t shared_mapped;
    // Replies that came when nobody waited for them any more.
    uint64_t late_replies;
} slipring_stats_t;

// What a poller, or a server, has done since it was made. Begin with slipring_poller_stats_init.
typedef struct {
    // Bytes of this struct, as slipring_poller_stats_init sets it.
    size_t size;
    // Waits begun.
    uint64_t waits;
    // How often a wait went to sleep.
    uint64_t sleeps;
    // Naps of many sessions together that ended without anything to hear from any of them.
    uint64_t naps;
    // Barriers issued: one for all sessions that go to sleep together.
    uint64_t barriers;
    // How often a descriptor had something to hear, or was at its end.
    uint64_t events;
} slipring_poller_stats_t;

// What the listener says of all its sessions. Begin with slipring_totals_init.
typedef struct {
    // Bytes of this struct, as slipring_totals_init sets it.
    size_t size;
    // Sessions that were opened so far.
    uint64_t opened;
    // Sessions that are open. May be out of step with those that are shown while some come or go.
    uint64_t open;
    // How many of them are not shown: there are 1023 places, and memory for them may be short.
    uint64_t unshown;
    // Entries that were being written whenever they were looked at, by a process that was stopped, or killed, in the middle of one.
    uint64_t torn;
} slipring_totals_t;

// A session, as the listening process last showed it. Begin with slipring_observed_init.
typedef struct {
    // Bytes of this struct, as slipring_observed_init sets it.
    size_t size;
    // Its number among the listener's sessions, from 1.
    uint64_t session;
    // How long ago this was written, in nanoseconds: about every millisecond while the listening process is at work on the session,
    // and before it sleeps for it.
    uint64_t age_ns;
    // What it is for: SLIPRING_KIND_... A newer listener may have others.
    int32_t kind;
    // Whether the connecting end shows its counters: 1, else 0.
    int32_t peer_shows;
    // The process that connected; 0 for one of another pid namespace. For people: it may be gone.
    uint32_t pid;
    // Its user.
    uint32_t uid;
} slipring_observed_t;

// What became of a wish.
typedef struct {
    // SLIPRING_ASKED_...
    int32_t outcome;
    // The number of the operating system's error (errno), if it was one that stood in the way; else 0.
    int32_t os_error;
    // For SLIPRING_ASKED_PARTLY: for how many bytes it is so.
    uint64_t bytes;
    // For SLIPRING_ASKED_PARTLY: of how many.
    uint64_t of;
    // For people, ended by a NUL: empty, or what stood in the way.
    char why[SLIPRING_WHY_CAPACITY];
} slipring_asked_t;

// Where the memory of an end is: its outbox, and the regions that it made for long payloads, without those in a spill directory. Begin
// with slipring_placement_init.
typedef struct {
    // Bytes of this struct, as slipring_placement_init sets it.
    size_t size;
    // All bytes of that memory.
    uint64_t bytes;
    // How many of them are in huge pages, whether or not anybody asked.
    uint64_t huge_bytes;
    // How many of them are locked.
    uint64_t locked_bytes;
    // What became of `numa_node` in the config, or of the last slipring_bus_set_numa_node.
    slipring_asked_t numa_node;
    // What became of `huge_pages`, of as much memory as there is room in for whole huge pages.
    slipring_asked_t huge_pages;
    // What became of `lock_memory`.
    slipring_asked_t lock_memory;
} slipring_placement_t;

// A NUMA node, and how many bytes of an end's memory are there.
typedef struct {
    // Its number.
    uint64_t node;
    // The bytes.
    uint64_t bytes;
} slipring_node_t;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// ---- VERSIONS ----

// The version of the library that runs, as a text: "0.1.0".
const char *slipring_version(void);

// The ABI of the library that runs. A program may compare it with SLIPRING_ABI_VERSION.
uint32_t slipring_abi_version(void);

// The layout of shared memory that the library that runs speaks. Two processes can join only if theirs are the same.
uint32_t slipring_layout_version(void);

// ---- ERRORS ----

// A short text for a status, of any number. It lives for ever. What happened in particular: slipring_last_error.
const char *slipring_strerror(int32_t status);

// Why the last function that failed in this thread did: the whole cause, with names, numbers and what the operating system
// said. Writes as much as fits into `text`, always ended by a NUL where `capacity` is not 0, and answers the length of the whole,
// without the NUL: an answer of `capacity` or more says that the text was cut. Empty if nothing failed yet. Functions that succeed
// leave it alone, so ask only after a failure.
size_t slipring_last_error(char *text,
                           size_t capacity);

// The number that the peer gave with its error, if the last failure of this thread was SLIPRING_REMOTE; else 0. From 2147483648
// on it is the peer's library that says it: its handler failed, or ended without a reply.
uint32_t slipring_remote_code(void);

// ---- CONFIG ----

// Fills a config of `size` bytes with the defaults. Call it as slipring_config_init(&config), which gives the size that the
// program was built with.
slipring_status_t slipring_config_init_sized(slipring_config_t *config,
                                             size_t size);

// ---- BUS: OPENING AND CLOSING ----

// Listens at `address` for one peer, and receives from it. An address is a bare name (letters, digits, '.', '_' and '-', at most 64)
// in the user's runtime directory, or a path: anything with a '/'. Waits for the peer until the timeout; the name is given back as
// soon as the session stands. For any number of peers: slipring_listener_bind. The bus is the caller's, to be freed by
// slipring_bus_free.
//
// SLIPRING_ADDRESS_IN_USE, SLIPRING_TIMEOUT, SLIPRING_CONFIG, SLIPRING_OUT_OF_MEMORY, SLIPRING_INTERRUPTED.
slipring_status_t slipring_bus_listen(const char *address,
                                      const slipring_config_t *config,
                                      int64_t timeout_ns,
                                      slipring_bus_t **bus);

// Connects to the listener at `address`, to send to it. The timeout is for the listener to appear: with 0 it must be there. The bus
// is the caller's, to be freed by slipring_bus_free.
//
// SLIPRING_NOT_FOUND (the text says where was looked), SLIPRING_REFUSED, SLIPRING_VERSION_MISMATCH, SLIPRING_TIMEOUT, SLIPRING_CONFIG,
// SLIPRING_OUT_OF_MEMORY, SLIPRING_INTERRUPTED.
slipring_status_t slipring_bus_connect(const char *address,
                                       const slipring_config_t *config,
                                       int64_t timeout_ns,
                                       slipring_bus_t **bus);

// Says goodbye and ends the session, after waiting at most `linger_ns` until the peer has read everything. What was sent before
// can be read by the peer either way. Afterwards the handle can only be freed; leases and claims of it are over.
//
// SLIPRING_TIMEOUT if the time passed before everything was read; the peer's end if that came first. It is closed all the same.
slipring_status_t slipring_bus_close(slipring_bus_t *bus,
                                     int64_t linger_ns);

// Closes the bus without waiting, if it is open, and frees the handle. NULL is fine. Leases and claims of it are over, but for those
// that are the caller's own (slipring_lease_keep, slipring_bus_claim_owned); their handles are still to be released.
slipring_status_t slipring_bus_free(slipring_bus_t *bus);

// ---- BUS: SENDING A COPY ----

// Copies a message and sends it. The low 16 bits of `type_id` are the user's; the high 16 are 0, unless a protocol built on top says
// otherwise. Waits for room until the timeout.
//
// SLIPRING_FULL, SLIPRING_TIMEOUT, SLIPRING_TOO_LARGE, SLIPRING_OUT_OF_MEMORY, SLIPRING_INTERRUPTED; SLIPRING_CLOSED, SLIPRING_PEER_DIED
// and SLIPRING_CORRUPT when the session is over; SLIPRING_INVALID_ARGUMENT on the receiving end, and while a claim is open.
slipring_status_t slipring_bus_send(slipring_bus_t *bus,
                                    uint32_t type_id,
                                    const void *data,
                                    size_t len,
                                    int64_t timeout_ns);

// As slipring_bus_send, but the message stays hidden until slipring_bus_flush, the next slipring_bus_send, a wait, or the close
// shows it together with those before it. Messages that have not been shown die with this process.
slipring_status_t slipring_bus_send_later(slipring_bus_t *bus,
                                          uint32_t type_id,
                                          const void *data,
                                          size_t len,
                                          int64_t timeout_ns);

// Shows the messages of slipring_bus_send_later and slipring_claim_commit_later. Never waits.
slipring_status_t slipring_bus_flush(slipring_bus_t *bus);

// As slipring_bus_send, of one message whose payload is all of `parts`, one behind the other.
slipring_status_t slipring_bus_sendv(slipring_bus_t *bus,
                                     uint32_t type_id,
                                     const slipring_slice_t *parts,
                                     size_t count,
                                     int64_t timeout_ns);

// Sends `count` messages, in groups as large as there is room for: they may be more than the ring holds. `sent` is how many went out,
// which is fewer than all only where the timeout passed (0: where there was no more room), the session ended, or a payload was too
// large on the way. If not even the first went out, the answer is why.
//
// As for slipring_bus_send.
slipring_status_t slipring_bus_send_batch(slipring_bus_t *bus,
                                          const slipring_message_t *messages,
                                          size_t count,
                                          int64_t timeout_ns,
                                          size_t *sent);

// ---- WHAT WAS RECEIVED ----

// Where the payload is: readable until the lease is released or over. NULL for a lease that is over, or NULL: then
// slipring_last_error says why. Not NULL for an empty payload.
const void *slipring_lease_data(slipring_lease_t *lease);

// How long the payload is, in bytes; 0 for a lease that is over, or NULL.
size_t slipring_lease_len(slipring_lease_t *lease);

// The sender's type id; 0 for NULL. Lives as long as the handle.
uint32_t slipring_lease_type_id(slipring_lease_t *lease);

// The correlation id: of a request, what slipring_rpc_reply is to be given; of a reply, the call that it answers; 0 on a Bus.
// Lives as long as the handle.
uint64_t slipring_lease_correlation_id(slipring_lease_t *lease);

// Makes it the holder's own, for as long as it likes: from here on it may be used and released on any thread, by one at a time, and
// outlives the bus, and the peer. A payload of more than the inline limit stays where it is; a shorter one is copied, so ask for
// slipring_lease_data again. A request stays open, and is still to be replied to.
//
// SLIPRING_OVER.
slipring_status_t slipring_lease_keep(slipring_lease_t *lease);

// One more handle of a lease that is the holder's own (slipring_lease_keep), of the very same bytes: each belongs to whoever has it,
// on whatever thread, and what is kept goes back with the last.
//
// SLIPRING_INVALID_ARGUMENT for a lease that was not kept; SLIPRING_OVER.
slipring_status_t slipring_lease_clone(slipring_lease_t *lease,
                                       slipring_lease_t **clone);

// Gives back what was received, and frees the handle. NULL is fine, and so is a lease that is over. A request that was not replied
// to stays open.
//
// SLIPRING_WRONG_THREAD: the bus of the lease is in use; the lease is still there.
slipring_status_t slipring_lease_release(slipring_lease_t *lease);

// How many shared objects came with it.
slipring_status_t slipring_lease_shared_count(slipring_lease_t *lease, size_t *count);

// The shared object number `index` of those that came with it, to be freed by slipring_shared_free. It outlives the lease.
//
// SLIPRING_OVER; SLIPRING_INVALID_ARGUMENT if there are not so many.
slipring_status_t slipring_lease_shared(slipring_lease_t *lease,
                                        size_t index,
                                        slipring_shared_t **shared);

// Whether it is a request that nobody awaits a reply to: 1, else 0.
int32_t slipring_lease_is_note(slipring_lease_t *lease);

// Of a request: how much time is left before its caller gives up, in nanoseconds, 0 if it has, -1 if it never does; and whether it
// is known to have given up: 1, else 0. The reply is due all the same.
//
// SLIPRING_OVER; SLIPRING_INVALID_ARGUMENT for what is no open request.
slipring_status_t slipring_lease_deadline(slipring_lease_t *lease,
                                          int64_t *left_ns,
                                          int32_t *cancelled);

// ---- BUS: RECEIVING ----

// Receives the next message, waiting for it until the timeout. It is read where it is, by slipring_lease_data and the like, until
// slipring_lease_release gives it back to the sender; slipring_lease_keep makes it the caller's own. The next call that receives on
// this bus, successful or not, ends a lease that was not kept: its functions answer SLIPRING_OVER then, and its handle is still to
// be released.
//
// SLIPRING_EMPTY, SLIPRING_TIMEOUT, SLIPRING_INTERRUPTED; SLIPRING_CLOSED or SLIPRING_PEER_DIED after everything that the peer sent;
// SLIPRING_CORRUPT; SLIPRING_OUT_OF_MEMORY; SLIPRING_INVALID_ARGUMENT on the sending end.
slipring_status_t slipring_bus_recv(slipring_bus_t *bus,
                                    int64_t timeout_ns,
                                    slipring_lease_t **lease);

// Receives the next message as slipring_bus_recv, without a handle: `frame` is where it is, to be read until the next call that
// receives on this bus, which gives it back, as the close does. For programs that look at each message once, this is the shortest way.
//
// As for slipring_bus_recv.
slipring_status_t slipring_bus_recv_frame(slipring_bus_t *bus,
                                          int64_t timeout_ns,
                                          slipring_frame_t *frame);

// Hands up to `limit` messages that are there to `on_frame`, waiting for the first until the timeout, and says how many. Each is
// given back when its callback returns.
//
// As for slipring_bus_recv.
slipring_status_t slipring_bus_poll(slipring_bus_t *bus,
                                    size_t limit,
                                    int64_t timeout_ns,
                                    slipring_on_frame_t on_frame,
                                    void *user,
                                    size_t *count);

// Takes up to `limit` messages that are there, waiting for the first until the timeout, hands them to `on_frames` all together, and
// says how many. They are given back together when it returns.
//
// As for slipring_bus_recv.
slipring_status_t slipring_bus_drain(slipring_bus_t *bus,
                                     size_t limit,
                                     int64_t timeout_ns,
                                     slipring_on_frames_t on_frames,
                                     void *user,
                                     size_t *count);

// The shared object number `index` of those that came with `frame`, while that is good, to be freed by slipring_shared_free. It
// outlives the frame.
slipring_status_t slipring_frame_shared(const slipring_frame_t *frame,
                                        size_t index,
                                        slipring_shared_t **shared);

// ---- BUS: WRITING IN PLACE ----

// Claims room for a message of `len` bytes, to be written in place (slipring_claim_data) and then committed or aborted. Waits for
// the room until the timeout. While it is open nothing else can be sent on this bus.
//
// As for slipring_bus_send.
slipring_status_t slipring_bus_claim(slipring_bus_t *bus,
                                     size_t len,
                                     int64_t timeout_ns,
                                     slipring_claim_t **claim);

// Claims a block for a message of `len` bytes that is the caller's own until it is sent by slipring_bus_send_owned or given up by
// slipring_claim_abort: any number may be open beside all other traffic, and be written on any thread, by one at a time. Waits
// for a block until the timeout.
//
// As for slipring_bus_send; SLIPRING_INVALID_ARGUMENT if as many are open as the ring keeps lines for: a quarter of its lines.
slipring_status_t slipring_bus_claim_owned(slipring_bus_t *bus,
                                           size_t len,
                                           int64_t timeout_ns,
                                           slipring_claim_t **claim);

// Sends the first `used` bytes of a claim of slipring_bus_claim_owned, and frees its handle. Never waits. Where it fails the claim
// is still there.
//
// SLIPRING_INVALID_ARGUMENT if `used` is more than was claimed, or the claim is another bus's; what ends the session.
slipring_status_t slipring_bus_send_owned(slipring_bus_t *bus,
                                          uint32_t type_id,
                                          slipring_claim_t *claim,
                                          size_t used);

// ---- WHAT IS WRITTEN IN PLACE ----

// Where to write: as many bytes as were claimed, with old bytes of this side's in them. Everything up to what is committed is said
// to the peer. NULL for a claim that is over, or NULL: then slipring_last_error says why.
void *slipring_claim_data(slipring_claim_t *claim);

// How many bytes were claimed; 0 for NULL.
size_t slipring_claim_len(slipring_claim_t *claim);

// Sends the first `used` bytes of a claim of slipring_bus_claim or slipring_rpc_claim_reply, and frees its handle. Where it fails
// the claim is still open.
//
// SLIPRING_INVALID_ARGUMENT if `used` is more than was claimed; SLIPRING_OVER; what ends the session.
slipring_status_t slipring_claim_commit(slipring_claim_t *claim,
                                        uint32_t type_id,
                                        size_t used);

// As slipring_claim_commit, of a claim of slipring_bus_claim; hidden until slipring_bus_flush, as with slipring_bus_send_later.
slipring_status_t slipring_claim_commit_later(slipring_claim_t *claim,
                                              uint32_t type_id,
                                              size_t used);

// As slipring_claim_commit, of a claim of slipring_rpc_claim_request: gives the id by which slipring_rpc_wait finds the reply.
slipring_status_t slipring_claim_commit_call(slipring_claim_t *claim,
                                             uint32_t type_id,
                                             size_t used,
                                             uint32_t *id);

// Gives a claim of any kind up, and frees its handle. Nobody ever learns of it. NULL is fine, and so is a claim that is over.
slipring_status_t slipring_claim_abort(slipring_claim_t *claim);

// ---- CALLS: OPENING AND CLOSING ----

// Listens at `address` for one peer. As slipring_bus_listen. This end answers calls, unless the config says otherwise.
slipring_status_t slipring_rpc_listen(const char *address,
                                      const slipring_config_t *config,
                                      int64_t timeout_ns,
                                      slipring_rpc_t **rpc);

// Connects to the listener at `address`. As slipring_bus_connect. This end answers calls only if the config says so, or it has a
// handler.
slipring_status_t slipring_rpc_connect(const char *address,
                                       const slipring_config_t *config,
                                       int64_t timeout_ns,
                                       slipring_rpc_t **rpc);

// Says goodbye and ends the session, as slipring_bus_close.
slipring_status_t slipring_rpc_close(slipring_rpc_t *rpc, int64_t linger_ns);

// Closes without waiting, if it is open, and frees the handle, as slipring_bus_free. NULL is fine.
slipring_status_t slipring_rpc_free(slipring_rpc_t *rpc);

// How many calls of this end are in flight: made, and their replies not yet taken.
slipring_status_t slipring_rpc_in_flight(slipring_rpc_t *rpc, uint32_t *calls);

// ---- CALLS: CALLING ----

// Sends a request and gives its id at once; slipring_rpc_wait finds the reply by it. Waits for room, and for a place among the calls in
// flight, until the timeout; meanwhile it goes on reading, and serves calls that arrive if there is a handler. A positive timeout
// travels with the call, as its deadline.
//
// SLIPRING_FULL, SLIPRING_TIMEOUT, SLIPRING_TOO_LARGE, SLIPRING_OUT_OF_MEMORY, SLIPRING_INTERRUPTED; what ends the session.
slipring_status_t slipring_rpc_call(slipring_rpc_t *rpc,
                                    uint32_t type_id,
                                    const void *data,
                                    size_t len,
                                    int64_t timeout_ns,
                                    uint32_t *id);

// Sends a request of which nobody awaits a reply. It takes a place among the calls in flight until the peer has taken it.
//
// As for slipring_rpc_call.
slipring_status_t slipring_rpc_note(slipring_rpc_t *rpc,
                                    uint32_t type_id,
                                    const void *data,
                                    size_t len,
                                    int64_t timeout_ns);

// Waits for the reply to call `id` until the timeout. The reply is read by slipring_lease_data and the like until it is released.
// After SLIPRING_TIMEOUT and SLIPRING_EMPTY the call is still in flight, and can be waited for again or cancelled, unless the text
// says that the peer answered so.
//
// SLIPRING_EMPTY, SLIPRING_TIMEOUT, SLIPRING_INTERRUPTED; SLIPRING_REMOTE where the peer answered with an error; SLIPRING_NOT_FOUND,
// SLIPRING_OVERLOADED, SLIPRING_CANCELLED and SLIPRING_OUT_OF_MEMORY where its library did; SLIPRING_INVALID_ARGUMENT if no such call is
// in flight, or its reply is held by a lease; what ends the session.
slipring_status_t slipring_rpc_wait(slipring_rpc_t *rpc,
                                    uint32_t id,
                                    int64_t timeout_ns,
                                    slipring_lease_t **reply);

// Waits until the reply to call `id` is there, or a request to be served, whichever comes first: then slipring_rpc_wait or
// slipring_rpc_serve with a timeout of 0 has it. For ends that serve while they wait, and do so by no handler.
//
// SLIPRING_TIMEOUT, SLIPRING_INTERRUPTED; SLIPRING_INVALID_ARGUMENT if no such call is in flight; what ends the session.
slipring_status_t slipring_rpc_await_either(slipring_rpc_t *rpc,
                                            uint32_t id,
                                            int64_t timeout_ns);

// A call and the wait for its reply. When the timeout has passed the call is cancelled. The timeout travels with it. With 0 there
// is no time for a reply: it answers SLIPRING_TIMEOUT.
//
// As for slipring_rpc_call and slipring_rpc_wait.
slipring_status_t slipring_rpc_request(slipring_rpc_t *rpc,
                                       uint32_t type_id,
                                       const void *data,
                                       size_t len,
                                       int64_t timeout_ns,
                                       slipring_lease_t **reply);

// Gives up call `id`: nobody waits for its reply any more, and the peer is told. Its place stays taken until the reply comes, which
// is dropped. A call that is not in flight is no error. Never waits.
slipring_status_t slipring_rpc_cancel(slipring_rpc_t *rpc,
                                      uint32_t id);

// ---- CALLS: SERVING ----

// Receives the next request, waiting for it until the timeout. It is read by slipring_lease_data and the like, until it is replied
// to: by slipring_rpc_reply and the like, with its slipring_lease_correlation_id, at once or later, in any order. Its handle is to be
// released, before or after. A note (slipring_lease_is_note) needs no reply.
//
// SLIPRING_EMPTY, SLIPRING_TIMEOUT, SLIPRING_INTERRUPTED, SLIPRING_OUT_OF_MEMORY; what ends the session, after every request that
// had come.
slipring_status_t slipring_rpc_serve(slipring_rpc_t *rpc,
                                     int64_t timeout_ns,
                                     slipring_lease_t **request);

// Replies to the open request `id` (slipring_lease_correlation_id) with a copy of `data`, which may be the request's own payload; leases
// of the request are over then. Never waits for room, which the peer keeps free. The timeout is for a block of memory, where a
// long reply needs one: with 0 it does not wait.
//
// SLIPRING_INVALID_ARGUMENT if no such request is open; SLIPRING_TOO_LARGE: it stays open; SLIPRING_OUT_OF_MEMORY: the caller is told so;
// what ends the session.
slipring_status_t slipring_rpc_reply(slipring_rpc_t *rpc,
                                     uint32_t id,
                                     uint32_t type_id,
                                     const void *data,
                                     size_t len,
                                     int64_t timeout_ns);

// Replies to the open request `id` with an error: a number below 2147483648, and a text, cut at the inline limit, which is UTF-8 and
// ends with a NUL. The caller gets SLIPRING_REMOTE, and finds them by slipring_remote_code and slipring_last_error.
//
// As for slipring_rpc_reply.
slipring_status_t slipring_rpc_reply_error(slipring_rpc_t *rpc,
                                           uint32_t id,
                                           uint32_t code,
                                           const char *message);

// ---- CALLS: WRITING IN PLACE ----

// Claims room for a request of `len` bytes, to be written in place and committed by slipring_claim_commit_call. Waits, and its
// timeout travels, as with slipring_rpc_call. While it is open nothing else can be sent or waited for on this end.
//
// As for slipring_rpc_call.
slipring_status_t slipring_rpc_claim_request(slipring_rpc_t *rpc,
                                             size_t len,
                                             int64_t timeout_ns,
                                             slipring_claim_t **claim);

// Claims room for the reply to the open request `id`, to be written in place and committed by slipring_claim_commit. Never waits.
// While it is open nothing else can be sent or waited for on this end.
//
// SLIPRING_INVALID_ARGUMENT if no such request is open; SLIPRING_TOO_LARGE; SLIPRING_OUT_OF_MEMORY leaves the request open; what ends the
// session.
slipring_status_t slipring_rpc_claim_reply(slipring_rpc_t *rpc,
                                           uint32_t id,
                                           size_t len,
                                           slipring_claim_t **claim);

// Claims a block that is the caller's own, as slipring_bus_claim_owned, to be sent by slipring_rpc_call_owned or
// slipring_rpc_reply_owned. Waits as slipring_rpc_call does.
slipring_status_t slipring_rpc_claim_owned(slipring_rpc_t *rpc,
                                           size_t len,
                                           int64_t timeout_ns,
                                           slipring_claim_t **claim);

// Sends the first `used` bytes of a claim of slipring_rpc_claim_owned as a request, frees its handle, and gives the call's id. Waits
// for a place among the calls in flight. Where it fails the claim is still there.
//
// As for slipring_rpc_call, and slipring_bus_send_owned.
slipring_status_t slipring_rpc_call_owned(slipring_rpc_t *rpc,
                                          uint32_t type_id,
                                          slipring_claim_t *claim,
                                          size_t used,
                                          int64_t timeout_ns,
                                          uint32_t *id);

// Sends the first `used` bytes of a claim of slipring_rpc_claim_owned as the reply to the open request `id`, and frees its handle.
// Never waits. Where it fails the claim is still there.
//
// As for slipring_rpc_reply, and slipring_bus_send_owned.
slipring_status_t slipring_rpc_reply_owned(slipring_rpc_t *rpc,
                                           uint32_t id,
                                           uint32_t type_id,
                                           slipring_claim_t *claim,
                                           size_t used);

// From now on `on_request` serves the calls that arrive while this end waits for anything: for a reply, for room, or in
// slipring_rpc_run. It runs in the thread that waits.
slipring_status_t slipring_rpc_on_request(slipring_rpc_t *rpc,
                                          slipring_on_request_t on_request,
                                          void *user);

// Serves by the handler until the timeout has passed (SLIPRING_TIMEOUT) or the session ends.
//
// SLIPRING_TIMEOUT, SLIPRING_INTERRUPTED; what ends the session; SLIPRING_INVALID_ARGUMENT if there is no handler.
slipring_status_t slipring_rpc_run(slipring_rpc_t *rpc,
                                   int64_t timeout_ns);

// Serves at most `limit` requests by the handler, without waiting for them, and says how many.
//
// SLIPRING_EMPTY if none was there; what ends the session; SLIPRING_INVALID_ARGUMENT if there is no handler.
slipring_status_t slipring_rpc_run_some(slipring_rpc_t *rpc, size_t limit, size_t *count);

// ---- SHARED OBJECTS ----

// Begins a shared object of `len` bytes, all zero, to be written in place (slipring_builder_data) and then sealed. All its memory is
// reserved now, so that writing cannot fail; that takes some 0.7 s a GiB, at most until the timeout. 0 is no time.
//
// SLIPRING_OUT_OF_MEMORY (the text has the numbers), SLIPRING_TIMEOUT, SLIPRING_INTERRUPTED, SLIPRING_UNSUPPORTED.
slipring_status_t slipring_shared_build(size_t len,
                                        int64_t timeout_ns,
                                        slipring_builder_t **builder);

// Where to write; NULL for NULL.
void *slipring_builder_data(slipring_builder_t *builder);

// Ends the writing, for good, and frees the builder, whatever the answer. The object is the caller's, to be freed by
// slipring_shared_free.
//
// SLIPRING_SYSTEM if another process of this user has the memory mapped for writing; SLIPRING_UNSUPPORTED; SLIPRING_OUT_OF_MEMORY;
// SLIPRING_FORKED. What was written is lost then.
slipring_status_t slipring_builder_seal(slipring_builder_t *builder,
                                        slipring_shared_t **shared);

// Gives up what was not sealed. NULL is fine.
slipring_status_t slipring_builder_free(slipring_builder_t *builder);

// The bytes, to be read until the handle is freed; NULL for NULL.
const void *slipring_shared_data(const slipring_shared_t *shared);

// How many bytes there are; 0 for NULL.
size_t slipring_shared_len(const slipring_shared_t *shared);

// The number by which the kernel knows the memory, the same in every process; 0 for NULL.
uint64_t slipring_shared_id(const slipring_shared_t *shared);

// One more handle of the same memory.
slipring_status_t slipring_shared_clone(const slipring_shared_t *shared, slipring_shared_t **clone);

// The descriptor of the memory, to be handed to another process by whatever way. It is the library's: it ends with the last handle.
slipring_status_t slipring_shared_fd(const slipring_shared_t *shared,
                                     int32_t *fd);

// The object of `len` bytes behind a descriptor that came by another way than a message of this library's. The descriptor remains the
// caller's.
//
// SLIPRING_CORRUPT for what is no sealed object of that length; SLIPRING_OUT_OF_MEMORY; SLIPRING_SYSTEM for no descriptor.
slipring_status_t slipring_shared_attach(int32_t fd,
                                         size_t len,
                                         slipring_shared_t **shared);

// Frees the handle. The memory lives as long as anybody, in whatever process, has it. NULL is fine.
slipring_status_t slipring_shared_free(slipring_shared_t *shared);

// As slipring_bus_send, and with the message go `count` shared objects, at most 8. The receiver finds them by slipring_lease_shared in
// this order. The caller's handles remain the caller's.
slipring_status_t slipring_bus_send_shared(slipring_bus_t *bus,
                                           uint32_t type_id,
                                           const void *data,
                                           size_t len,
                                           const slipring_shared_t *const *shared,
                                           size_t count,
                                           int64_t timeout_ns);

// As slipring_rpc_call, and with the request go `count` shared objects, at most 8.
slipring_status_t slipring_rpc_call_shared(slipring_rpc_t *rpc,
                                           uint32_t type_id,
                                           const void *data,
                                           size_t len,
                                           const slipring_shared_t *const *shared,
                                           size_t count,
                                           int64_t timeout_ns,
                                           uint32_t *id);

// As slipring_rpc_request, and with the request go `count` shared objects, at most 8.
slipring_status_t slipring_rpc_request_shared(slipring_rpc_t *rpc,
                                              uint32_t type_id,
                                              const void *data,
                                              size_t len,
                                              const slipring_shared_t *const *shared,
                                              size_t count,
                                              int64_t timeout_ns,
                                              slipring_lease_t **reply);

// As slipring_rpc_reply, and with the reply go `count` shared objects, at most 8; 3 where an inline limit of at most 48 bytes was
// agreed. With a timeout of 0 it does not wait for the caller to take objects that were handed over before: SLIPRING_FULL.
slipring_status_t slipring_rpc_reply_shared(slipring_rpc_t *rpc,
                                            uint32_t id,
                                            uint32_t type_id,
                                            const void *data,
                                            size_t len,
                                            const slipring_shared_t *const *shared,
                                            size_t count,
                                            int64_t timeout_ns);

// ---- MANY CLIENTS: LISTENER, POLLER, SERVER ----

// Takes `address`. It works only inside its accepting calls; clients that send garbage or nothing cost the others nothing. The
// listener is the caller's, to be freed by slipring_listener_free.
//
// As for slipring_bus_listen.
slipring_status_t slipring_listener_bind(const char *address,
                                         const slipring_config_t *config,
                                         slipring_listener_t **listener);

// The next session, waiting for it until the timeout: its receiving end, which is the caller's.
//
// SLIPRING_EMPTY, SLIPRING_TIMEOUT, SLIPRING_INTERRUPTED, SLIPRING_OUT_OF_MEMORY. What single clients do wrong is told to them.
slipring_status_t slipring_listener_accept_bus(slipring_listener_t *listener,
                                               int64_t timeout_ns,
                                               slipring_bus_t **bus);

// The next session for calls, as slipring_listener_accept_bus. A client that asks for the other kind is refused.
slipring_status_t slipring_listener_accept_rpc(slipring_listener_t *listener,
                                               int64_t timeout_ns,
                                               slipring_rpc_t **rpc);

// The address, as clients can be given it: as much as fits into `address`, ended by a NUL; `len` is the length of the whole.
slipring_status_t slipring_listener_address(slipring_listener_t *listener,
                                            char *address,
                                            size_t capacity,
                                            size_t *len);

// How many clients were turned down, or gave up in mid-handshake, so far.
slipring_status_t slipring_listener_refused(slipring_listener_t *listener, uint64_t *count);

// A descriptor for an event loop: readable when accepting with a timeout of 0 has something to do. It remains the library's.
slipring_status_t slipring_listener_fd(slipring_listener_t *listener,
                                       int32_t *fd);

// Gives the name back and frees the handle. The sessions that came to it live on. NULL is fine.
slipring_status_t slipring_listener_free(slipring_listener_t *listener);

// A poller that waits for nothing yet. Of the config only the wait strategy counts. It is the caller's, to be freed by
// slipring_poller_free. It belongs to one thread at a time, with all that is in it.
//
// SLIPRING_CONFIG, SLIPRING_OUT_OF_MEMORY, SLIPRING_SYSTEM.
slipring_status_t slipring_poller_new(const slipring_config_t *config,
                                      slipring_poller_t **poller);

// Takes a bus in. Its handle stays good, and every function of it works as before, but for closing and freeing: it is removed
// first. `token` is what slipring_poller_wait says when the bus has something to do: a frame, or its end; or, after SLIPRING_FULL on a
// sending end, that it may be worth trying again.
//
// SLIPRING_OUT_OF_MEMORY, SLIPRING_FORKED.
slipring_status_t slipring_poller_add_bus(slipring_poller_t *poller,
                                          slipring_bus_t *bus,
                                          uint64_t token);

// Takes an RpcBus in, as slipring_poller_add_bus: it has something to do when a request or a reply is there, or its end.
slipring_status_t slipring_poller_add_rpc(slipring_poller_t *poller,
                                          slipring_rpc_t *rpc,
                                          uint64_t token);

// Takes a listener in, as slipring_poller_add_bus: it has something to do when a client may have come, or has to be given up.
slipring_status_t slipring_poller_add_listener(slipring_poller_t *poller,
                                               slipring_listener_t *listener,
                                               uint64_t token);

// Lets a bus go, open as it is.
//
// SLIPRING_INVALID_ARGUMENT if it is not in this poller.
slipring_status_t slipring_poller_remove_bus(slipring_poller_t *poller, slipring_bus_t *bus);

// Lets an RpcBus go, as slipring_poller_remove_bus.
slipring_status_t slipring_poller_remove_rpc(slipring_poller_t *poller, slipring_rpc_t *rpc);

// Lets a listener go, as slipring_poller_remove_bus.
slipring_status_t slipring_poller_remove_listener(slipring_poller_t *poller, slipring_listener_t *listener);

// Waits until something is ready, and writes the tokens of what is to `tokens`, at most `capacity`; `count` is how many. More are
// told by the next call. Use the functions of what is ready with a timeout of 0; what is left there is told again. A session that
// is over is told until it is removed. Now and then something is told for nothing. `count` is 0 if a notifier ended the wait.
//
// SLIPRING_EMPTY, SLIPRING_TIMEOUT, SLIPRING_INTERRUPTED, SLIPRING_FORKED, SLIPRING_SYSTEM.
slipring_status_t slipring_poller_wait(slipring_poller_t *poller,
                                       int64_t timeout_ns,
                                       uint64_t *tokens,
                                       size_t capacity,
                                       size_t *count);

// One descriptor for an event loop, in the place of those of all sessions. Call slipring_poller_wait with a timeout of 0 right after
// adding it, and whenever it is readable, until it answers SLIPRING_EMPTY: that arms it. It remains the library's.
slipring_status_t slipring_poller_fd(slipring_poller_t *poller,
                                     int32_t *fd);

// What wakes this poller from other threads, for as long as it lives; the caller's, to be freed by slipring_notifier_free.
slipring_status_t slipring_poller_notifier(slipring_poller_t *poller,
                                           slipring_notifier_t **notifier);

// Ends the poller's wait, or the next one if there is none. From any thread.
slipring_status_t slipring_notifier_notify(const slipring_notifier_t *notifier);

// Frees a notifier. NULL is fine.
slipring_status_t slipring_notifier_free(slipring_notifier_t *notifier);

// Frees the poller, and closes what is still in it: those handles can then only be freed. NULL is fine.
slipring_status_t slipring_poller_free(slipring_poller_t *poller);

// Takes `address`. Clients can connect from here on; they are accepted when the server runs. Where the config names no capacity, rings
// have 64 KiB. The server is the caller's, to be freed by slipring_server_free.
//
// As for slipring_listener_bind.
slipring_status_t slipring_server_bind(const char *address,
                                       const slipring_config_t *config,
                                       slipring_server_t **server);

// Serves calls by `on_request`. With workers it is called in several threads at once, for different sessions: `user` must be fit for
// that.
slipring_status_t slipring_server_on_request(slipring_server_t *server,
                                             slipring_on_request_t on_request,
                                             void *user);

// Receives messages by `on_frame`, instead of serving calls. Threads as for slipring_server_on_request.
slipring_status_t slipring_server_on_frame(slipring_server_t *server,
                                           slipring_on_session_frame_t on_frame,
                                           void *user);

// Tells `on_end` of every session that ended, after everything that the client had sent was served.
slipring_status_t slipring_server_on_end(slipring_server_t *server, slipring_on_end_t on_end, void *user);

// Serves in `threads` threads of their own while the server runs; with 0, the default, in the thread that runs it.
slipring_status_t slipring_server_workers(slipring_server_t *server,
                                          size_t threads);

// Serves until a stopper stops it (SLIPRING_OK) or the timeout has passed (SLIPRING_TIMEOUT). The sessions stay open, and a later run
// goes on with them.
//
// SLIPRING_TIMEOUT, SLIPRING_INTERRUPTED, SLIPRING_OUT_OF_MEMORY, SLIPRING_FORKED; SLIPRING_INVALID_ARGUMENT if there is no handler. What
// happens to single clients is no error here.
slipring_status_t slipring_server_run(slipring_server_t *server,
                                      int64_t timeout_ns);

// How many clients have a session now.
slipring_status_t slipring_server_sessions(slipring_server_t *server, size_t *count);

// The address, as slipring_listener_address.
slipring_status_t slipring_server_address(slipring_server_t *server,
                                          char *address,
                                          size_t capacity,
                                          size_t *len);

// What stops this server from other threads; the caller's, to be freed by slipring_stopper_free.
slipring_status_t slipring_server_stopper(slipring_server_t *server, slipring_stopper_t **stopper);

// Ends the server's run, or the next one if there is none. From any thread, and from callbacks.
slipring_status_t slipring_stopper_stop(const slipring_stopper_t *stopper);

// Frees a stopper. NULL is fine.
slipring_status_t slipring_stopper_free(slipring_stopper_t *stopper);

// Closes all sessions and frees the server. NULL is fine.
slipring_status_t slipring_server_free(slipring_server_t *server);

// ---- LOOKING: EVENT LOOPS, STATE, WAITS ----

// A descriptor for an event loop, level-triggered; it remains the library's, and only the library reads from it. Call
// slipring_bus_recv with a timeout of 0 (on the sending end what answered SLIPRING_FULL) right after
// adding it, and whenever it is readable, until the answer is SLIPRING_EMPTY (SLIPRING_FULL): that answer arms it. From the
// first call on the peer's messages cost a fence each.
slipring_status_t slipring_bus_fd(slipring_bus_t *bus,
                                  int32_t *fd);

// How the session stands: SLIPRING_STATE_... Looks at the socket, so it may be the first to find that the peer is gone.
slipring_status_t slipring_bus_state(slipring_bus_t *bus,
                                     int32_t *state);

// What this session can promise beyond what every one does: a sum of SLIPRING_CAN_... Unknown bits are to be ignored.
slipring_status_t slipring_bus_capabilities(slipring_bus_t *bus,
                                            uint32_t *capabilities);

// A descriptor for an event loop, level-triggered; it remains the library's, and only the library reads from it. Call
// slipring_rpc_serve or slipring_rpc_wait with a timeout of 0 right after
// adding it, and whenever it is readable, until the answer is SLIPRING_EMPTY (SLIPRING_FULL): that answer arms it. From the
// first call on the peer's messages cost a fence each.
slipring_status_t slipring_rpc_fd(slipring_rpc_t *rpc,
                                  int32_t *fd);

// How the session stands: SLIPRING_STATE_... Looks at the socket, so it may be the first to find that the peer is gone.
slipring_status_t slipring_rpc_state(slipring_rpc_t *rpc,
                                     int32_t *state);

// What this session can promise beyond what every one does: a sum of SLIPRING_CAN_... Unknown bits are to be ignored.
slipring_status_t slipring_rpc_capabilities(slipring_rpc_t *rpc,
                                            uint32_t *capabilities);

// The longest payload that this end can send, in bytes: what both ends allow (`max_message`, and without a spill_dir `memory_limit`).
slipring_status_t slipring_bus_payload_max(slipring_bus_t *bus,
                                           uint64_t *bytes);

// The longest payload that this end puts into the ring itself, in bytes. Longer ones go into blocks of shared memory.
slipring_status_t slipring_bus_inline_limit(slipring_bus_t *bus,
                                            size_t *bytes);

// Waits by SLIPRING_WAIT_... from now on.
slipring_status_t slipring_bus_set_wait(slipring_bus_t *bus, int32_t wait);

// The longest request that this end can make, in bytes. Without a spill_dir requests leave an eighth of `memory_limit` to replies.
slipring_status_t slipring_rpc_request_max(slipring_rpc_t *rpc,
                                           uint64_t *bytes);

// The longest payload that goes into the ring itself, in bytes, as both ends agreed.
slipring_status_t slipring_rpc_inline_limit(slipring_rpc_t *rpc, size_t *bytes);

// Waits by SLIPRING_WAIT_... from now on.
slipring_status_t slipring_rpc_set_wait(slipring_rpc_t *rpc, int32_t wait);

// ---- LOOKING: COUNTERS ----

// Fills counters of `size` bytes with zeros. Call it as slipring_stats_init(&stats), which gives the size that the program was built
// with.
slipring_status_t slipring_stats_init_sized(slipring_stats_t *stats,
                                            size_t size);

// The same for counters of a poller: call it as slipring_poller_stats_init(&stats).
slipring_status_t slipring_poller_stats_init_sized(slipring_poller_stats_t *stats, size_t size);

// What this end has done so far. Begin with slipring_stats_init(&stats).
//
// SLIPRING_STRUCT_SIZE if that was forgotten.
slipring_status_t slipring_bus_stats(slipring_bus_t *bus, slipring_stats_t *stats);

// What the peer has done so far, as it shows it: at calm moments, so it lags, and its numbers may not fit each other. It never shows
// fewer messages and bytes sent than were received here. It is the peer's claim: one that is faulty may say any number. When the
// peer has closed they are final; when it died, as they last were. Begin with slipring_stats_init(&stats).
//
// SLIPRING_UNSUPPORTED if the peer shows none (`counters` in its config); SLIPRING_STRUCT_SIZE.
slipring_status_t slipring_bus_peer_stats(slipring_bus_t *bus,
                                          slipring_stats_t *stats);

// What this end has done so far, as slipring_bus_stats.
slipring_status_t slipring_rpc_stats(slipring_rpc_t *rpc, slipring_stats_t *stats);

// What the peer has done so far, as slipring_bus_peer_stats.
slipring_status_t slipring_rpc_peer_stats(slipring_rpc_t *rpc, slipring_stats_t *stats);

// What this poller's waiting has cost so far. Begin with slipring_poller_stats_init(&stats).
//
// SLIPRING_STRUCT_SIZE if that was forgotten.
slipring_status_t slipring_poller_stats(slipring_poller_t *poller, slipring_poller_stats_t *stats);

// What this server's waiting has cost so far, as slipring_poller_stats.
slipring_status_t slipring_server_stats(slipring_server_t *server, slipring_poller_stats_t *stats);

// How many clients the server has turned down, or gave up in mid-handshake, so far.
slipring_status_t slipring_server_refused(slipring_server_t *server, uint64_t *count);

// ---- LOOKING: FROM ANOTHER PROCESS ----

// Fills totals of `size` bytes with zeros. Call it as slipring_totals_init(&totals).
slipring_status_t slipring_totals_init_sized(slipring_totals_t *totals, size_t size);

// Fills what is to be told of a session, of `size` bytes, with zeros. Call it as slipring_observed_init(&observed).
slipring_status_t slipring_observed_init_sized(slipring_observed_t *observed,
                                               size_t size);

// Asks the listener at `address`, which answers once, in an accepting call, if it is of this user. From then on neither knows of the
// other: a listener that is stopped, or busy, or dead, is read as it last was. The timeout is for the listener to appear, as with
// slipring_bus_connect; for its answer it has 5 s more. Sessions of slipring_bus_listen and slipring_rpc_listen cannot be observed:
// their name is gone when they stand. The observer is the caller's, to be freed by slipring_observer_free.
//
// SLIPRING_NOT_FOUND, SLIPRING_REFUSED, SLIPRING_VERSION_MISMATCH, SLIPRING_TIMEOUT, SLIPRING_CORRUPT, SLIPRING_PEER_DIED if the listener
// hung up, SLIPRING_OUT_OF_MEMORY, SLIPRING_INTERRUPTED.
slipring_status_t slipring_observer_connect(const char *address,
                                            int64_t timeout_ns,
                                            slipring_observer_t **observer);

// Looks at every open session that is shown: each as it was at one moment, each at its own. Never waits. The observation is the
// caller's, to be freed by slipring_observation_free; it outlives the observer.
slipring_status_t slipring_observer_look(const slipring_observer_t *observer,
                                         slipring_observation_t **observation);

// Frees an observer. NULL is fine.
slipring_status_t slipring_observer_free(slipring_observer_t *observer);

// How many sessions were seen; 0 for NULL.
size_t slipring_observation_count(const slipring_observation_t *observation);

// What the listener said of all its sessions, if it is to be believed. Begin with slipring_totals_init(&totals).
//
// SLIPRING_STRUCT_SIZE if that was forgotten.
slipring_status_t slipring_observation_totals(const slipring_observation_t *observation,
                                              slipring_totals_t *totals);

// The session number `index` of those that were seen, in the order of their numbers. Begin with slipring_observed_init(&observed).
//
// SLIPRING_INVALID_ARGUMENT if there are not so many; SLIPRING_STRUCT_SIZE.
slipring_status_t slipring_observation_session(const slipring_observation_t *observation,
                                               size_t index,
                                               slipring_observed_t *observed);

// What the listening end of session number `index` has counted. Begin with slipring_stats_init(&stats).
//
// As for slipring_observation_session.
slipring_status_t slipring_observation_stats(const slipring_observation_t *observation,
                                             size_t index,
                                             slipring_stats_t *stats);

// What the connecting end of session number `index` showed, as the listening end read it then.
//
// SLIPRING_UNSUPPORTED if it shows none; else as for slipring_observation_session.
slipring_status_t slipring_observation_peer_stats(const slipring_observation_t *observation,
                                                  size_t index,
                                                  slipring_stats_t *stats);

// Frees an observation. NULL is fine.
slipring_status_t slipring_observation_free(slipring_observation_t *observation);

// ---- MEMORY AND PROCESSORS ----

// Fills what is to be told of memory, of `size` bytes, with zeros. Call it as slipring_placement_init(&placement).
slipring_status_t slipring_placement_init_sized(slipring_placement_t *placement,
                                                size_t size);

// Where this end's memory is, beside where it was asked to be, looked up in the pages: this takes milliseconds where a process has
// thousands of maps. Writes at most `capacity` of the NUMA nodes that have pages of it to `nodes`, which may be NULL with 0; `count` is
// how many there are, 0 where the kernel knows no nodes. Begin with slipring_placement_init(&placement).
//
// SLIPRING_STRUCT_SIZE if that was forgotten.
slipring_status_t slipring_bus_placement(slipring_bus_t *bus,
                                         slipring_placement_t *placement,
                                         slipring_node_t *nodes,
                                         size_t capacity,
                                         size_t *count);

// Where this end's memory is, as slipring_bus_placement.
slipring_status_t slipring_rpc_placement(slipring_rpc_t *rpc,
                                         slipring_placement_t *placement,
                                         slipring_node_t *nodes,
                                         size_t capacity,
                                         size_t *count);

// Has this end's memory come to a NUMA node, as far as the kernel moves it, and what is made later be made there. `numa_node` in the
// config does so from the first byte on, which is better: pages that the peer has mapped are moved only for processes with
// CAP_SYS_NICE. slipring_bus_placement says what was got.
//
// SLIPRING_INVALID_ARGUMENT for a node that this machine does not have; the text has those that it has.
slipring_status_t slipring_bus_set_numa_node(slipring_bus_t *bus,
                                             uint32_t node);

// The same for an RpcBus.
slipring_status_t slipring_rpc_set_numa_node(slipring_rpc_t *rpc, uint32_t node);

// Has the calling thread run on `count` processors alone, by their numbers, and threads that it makes later too. Do so before you
// open an end: two ends whose threads are pinned to the same single processor tell each other at the handshake, and then neither
// spins. sched_getaffinity, asked before, says what undoes it.
//
// SLIPRING_INVALID_ARGUMENT for none, for a processor that is not switched on, and for one that a control group keeps from this process:
// the text has those that there are; SLIPRING_SYSTEM. The thread is then as it was.
slipring_status_t slipring_pin_thread(const uint32_t *cpus,
                                      size_t count);

// ---- LIMITS OF THE PROCESS ----

// The most bytes of shared memory that this process may have made at once: rings and regions of all its sessions, and shared objects
// that it built. Default half of what there is. What exists already stays. From any thread.
slipring_status_t slipring_limit_memory(uint64_t bytes);

// How many bytes of that this process has now. From any thread.
slipring_status_t slipring_memory_taken(uint64_t *bytes);

// Raises the number of descriptors that this process may have open to the most that it may allow itself, and says how many that is. A
// session takes one.
//
// SLIPRING_SYSTEM if the kernel refuses.
slipring_status_t slipring_raise_descriptor_limit(uint64_t *limit);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SLIPRING_H */

// Begins a config, or a struct for an answer: gives the library the size that this program was built with.
#define slipring_config_init(config) slipring_config_init_sized((config), sizeof(slipring_config_t))
#define slipring_stats_init(stats) slipring_stats_init_sized((stats), sizeof(slipring_stats_t))
#define slipring_poller_stats_init(stats) slipring_poller_stats_init_sized((stats), sizeof(slipring_poller_stats_t))
#define slipring_totals_init(totals) slipring_totals_init_sized((totals), sizeof(slipring_totals_t))
#define slipring_observed_init(observed) slipring_observed_init_sized((observed), sizeof(slipring_observed_t))
#define slipring_placement_init(placement) slipring_placement_init_sized((placement), sizeof(slipring_placement_t))
