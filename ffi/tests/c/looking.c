/* What can be looked at and asked for: counters of both ends, sessions from outside, where memory is, how an end waits. And every way to
   ask wrongly. Words: an address. */
#define _GNU_SOURCE
#include "check.h"
#include <sched.h>

static void counters(const char *address)
{
    slipring_bus_t *sends, *receives;
    slipring_lease_t *lease;
    slipring_stats_t ours, shown;
    bus_pair(address, &sends, &receives);
    OK(slipring_stats_init(&ours));
    OK(slipring_stats_init(&shown));
    for (int number = 0; number < 7; number++) {
        OK(slipring_bus_send(sends, 1, "counted", 7, SOON));
        OK(slipring_bus_recv(receives, SOON, &lease));
        OK(slipring_lease_release(lease));
    }
    OK(slipring_bus_stats(sends, &ours));
    CHECK(ours.frames_sent == 7 && ours.bytes_sent == 49);
    /* To be asked is a calm moment. */
    OK(slipring_bus_peer_stats(receives, &shown));
    CHECK(shown.size == sizeof shown && shown.frames_sent == 7 && shown.bytes_sent == 49);
    OK(slipring_bus_stats(receives, &ours));
    CHECK(ours.frames_received == 7);
    /* A program of an older header has room for less, and nothing is written behind that. */
    unsigned char old[sizeof shown];
    memset(old, 0xaa, sizeof old);
    OK(slipring_stats_init_sized((slipring_stats_t *)(void *)old, 24));
    OK(slipring_bus_stats(sends, (slipring_stats_t *)(void *)old));
    CHECK(((slipring_stats_t *)(void *)old)->bytes_sent == 49 && old[24] == 0xaa);
    SAYS(SLIPRING_INVALID_ARGUMENT, "stats is null", slipring_bus_peer_stats(sends, NULL));
    SAYS(SLIPRING_INVALID_ARGUMENT, "bus is null", slipring_bus_peer_stats(NULL, &shown));
    shown.size = 3;
    SAYS(SLIPRING_STRUCT_SIZE, "slipring_stats_init", slipring_bus_peer_stats(sends, &shown));
    OK(slipring_bus_free(sends));
    OK(slipring_bus_free(receives));
}

/* Takes a listener's next session, and lets it have a look at what it gets. */
struct listening {
    slipring_listener_t *listener;
    slipring_rpc_t *rpc;
};

static void *accept_rpc(void *argument)
{
    struct listening *listening = (struct listening *)argument;
    slipring_rpc_t *none;
    OK(slipring_listener_accept_rpc(listening->listener, SOON, &listening->rpc));
    /* An observer is answered in an accepting call. */
    ANSWERS(SLIPRING_TIMEOUT, slipring_listener_accept_rpc(listening->listener, SECOND / 2, &none));
    return NULL;
}

static void observers(const char *address)
{
    slipring_config_t config;
    struct listening listening = {NULL, NULL};
    slipring_observer_t *observer, *none = NULL;
    slipring_observation_t *seen;
    slipring_observed_t session;
    slipring_totals_t totals;
    slipring_stats_t stats;
    slipring_rpc_t *calls;
    pthread_t thread;
    ANSWERS(SLIPRING_NOT_FOUND, slipring_observer_connect(address, 0, &none));
    SAYS(SLIPRING_INVALID_ARGUMENT, "address is null", slipring_observer_connect(NULL, 0, &none));
    SAYS(SLIPRING_INVALID_ARGUMENT, "answer is null", slipring_observer_connect(address, 0, NULL));
    SAYS(SLIPRING_INVALID_ARGUMENT, "timeout", slipring_observer_connect(address, -2, &none));
    CHECK(none == NULL);
    OK(slipring_listener_bind(address, NULL, &listening.listener));
    CHECK(pthread_create(&thread, NULL, accept_rpc, &listening) == 0);
    OK(slipring_config_init(&config));
    config.counters = 0;
    OK(slipring_rpc_connect(address, &config, SOON, &calls));
    OK(slipring_observer_connect(address, SOON, &observer));
    CHECK(pthread_join(thread, NULL) == 0);
    OK(slipring_observer_look(observer, &seen));
    CHECK(slipring_observation_count(seen) == 1 && slipring_observation_count(NULL) == 0);
    OK(slipring_observed_init(&session));
    OK(slipring_totals_init(&totals));
    OK(slipring_stats_init(&stats));
    OK(slipring_observation_totals(seen, &totals));
    CHECK(totals.opened == 1 && totals.open == 1 && totals.unshown == 0 && totals.torn == 0);
    OK(slipring_observation_session(seen, 0, &session));
    CHECK(session.session == 1 && session.kind == SLIPRING_KIND_RPC && !session.peer_shows);
    CHECK(session.pid == (uint32_t)getpid() && session.uid == (uint32_t)getuid());
    OK(slipring_observation_stats(seen, 0, &stats));
    CHECK(stats.frames_sent == 0);
    SAYS(SLIPRING_UNSUPPORTED, "no counters", slipring_observation_peer_stats(seen, 0, &stats));
    SAYS(SLIPRING_UNSUPPORTED, "no counters", slipring_rpc_peer_stats(listening.rpc, &stats));
    SAYS(SLIPRING_INVALID_ARGUMENT, "so many sessions", slipring_observation_session(seen, 1, &session));
    SAYS(SLIPRING_INVALID_ARGUMENT, "observed is null", slipring_observation_session(seen, 0, NULL));
    session.size = 4097;
    SAYS(SLIPRING_STRUCT_SIZE, "slipring_observed_init", slipring_observation_session(seen, 0, &session));
    SAYS(SLIPRING_INVALID_ARGUMENT, "observer is null", slipring_observer_look(NULL, &seen));
    /* A look outlives whoever looked. */
    OK(slipring_observer_free(observer));
    OK(slipring_observation_totals(seen, &totals));
    SAYS(SLIPRING_INVALID_ARGUMENT, "freed", slipring_observer_look(observer, &seen));
    OK(slipring_observation_free(seen));
    SAYS(SLIPRING_INVALID_ARGUMENT, "freed", slipring_observation_totals(seen, &totals));
    OK(slipring_observation_free(NULL));
    OK(slipring_observer_free(NULL));
    OK(slipring_rpc_free(calls));
    OK(slipring_rpc_free(listening.rpc));
    OK(slipring_listener_free(listening.listener));
}

static int is_told(const slipring_asked_t *asked)
{
    int has_words = asked->why[0] != '\0';
    return memchr(asked->why, '\0', sizeof asked->why) != NULL &&
           has_words == (asked->outcome == SLIPRING_ASKED_PARTLY || asked->outcome == SLIPRING_ASKED_REFUSED);
}

struct placed {
    const char *address;
    const slipring_config_t *config;
    slipring_bus_t *bus;
};

static void *connect_placed(void *argument)
{
    struct placed *placed = (struct placed *)argument;
    OK(slipring_bus_connect(placed->address, placed->config, SOON, &placed->bus));
    return NULL;
}

static void placements(const char *address)
{
    slipring_config_t config;
    slipring_placement_t found;
    slipring_node_t nodes[4];
    slipring_bus_t *receives, *none;
    struct placed placed = {address, &config, NULL};
    pthread_t thread;
    size_t count;
    OK(slipring_config_init(&config));
    CHECK(config.numa_node == SLIPRING_UNSET && config.counters == SLIPRING_UNSET);
    config.numa_node = -7;
    SAYS(SLIPRING_INVALID_ARGUMENT, "numa_node", slipring_bus_connect(address, &config, 0, &none));
    config.numa_node = 999;
    ANSWERS(SLIPRING_INVALID_ARGUMENT, slipring_bus_connect(address, &config, 0, &none));
    config.numa_node = SLIPRING_UNSET;
    config.huge_pages = 2;
    SAYS(SLIPRING_INVALID_ARGUMENT, "huge_pages", slipring_bus_connect(address, &config, 0, &none));
    config.huge_pages = 1;
    config.lock_memory = -3;
    SAYS(SLIPRING_INVALID_ARGUMENT, "lock_memory", slipring_bus_connect(address, &config, 0, &none));
    config.lock_memory = 1;
    config.counters = 7;
    SAYS(SLIPRING_INVALID_ARGUMENT, "counters", slipring_bus_connect(address, &config, 0, &none));
    config.counters = 1;
    CHECK(pthread_create(&thread, NULL, connect_placed, &placed) == 0);
    OK(slipring_bus_listen(address, NULL, SOON, &receives));
    CHECK(pthread_join(thread, NULL) == 0);
    OK(slipring_placement_init(&found));
    OK(slipring_bus_placement(placed.bus, &found, nodes, 4, &count));
    CHECK(found.bytes > 0 && is_told(&found.numa_node) && is_told(&found.huge_pages) && is_told(&found.lock_memory));
    CHECK(found.numa_node.outcome == SLIPRING_ASKED_NO && found.huge_pages.outcome != SLIPRING_ASKED_NO);
    CHECK(found.lock_memory.outcome != SLIPRING_ASKED_NO && found.locked_bytes <= found.bytes);
    CHECK(count == 0 || count > 4 || nodes[0].bytes > 0);
    OK(slipring_bus_placement(receives, &found, NULL, 0, &count));
    CHECK(found.lock_memory.outcome == SLIPRING_ASKED_NO);
    SAYS(SLIPRING_INVALID_ARGUMENT, "nodes", slipring_bus_placement(receives, &found, NULL, 1, &count));
    SAYS(SLIPRING_INVALID_ARGUMENT, "answer is null", slipring_bus_placement(receives, &found, NULL, 0, NULL));
    SAYS(SLIPRING_INVALID_ARGUMENT, "placement is null", slipring_bus_placement(receives, NULL, NULL, 0, &count));
    found.size = 0;
    SAYS(SLIPRING_STRUCT_SIZE, "slipring_placement_init",
         slipring_bus_placement(receives, &found, NULL, 0, &count));
    ANSWERS(SLIPRING_INVALID_ARGUMENT, slipring_bus_set_numa_node(receives, 999));
    OK(slipring_bus_free(placed.bus));
    OK(slipring_bus_free(receives));
}

static void *pin(void *argument)
{
    cpu_set_t may;
    uint32_t cpu = 0, absent = 100000;
    (void)argument;
    CHECK(sched_getaffinity(0, sizeof may, &may) == 0);
    while (!CPU_ISSET(cpu, &may)) {
        cpu++;
    }
    SAYS(SLIPRING_INVALID_ARGUMENT, "at least one", slipring_pin_thread(NULL, 0));
    SAYS(SLIPRING_INVALID_ARGUMENT, "array is null", slipring_pin_thread(NULL, 1));
    SAYS(SLIPRING_INVALID_ARGUMENT, "no such processor", slipring_pin_thread(&absent, 1));
    OK(slipring_pin_thread(&cpu, 1));
    CHECK(sched_getaffinity(0, sizeof may, &may) == 0 && CPU_COUNT(&may) == 1 && CPU_ISSET(cpu, &may));
    return NULL;
}

static void waits_and_limits(const char *address)
{
    slipring_bus_t *sends, *receives;
    slipring_rpc_t *calls, *serves;
    slipring_lease_t *lease;
    uint64_t most;
    size_t inline_limit;
    bus_pair(address, &sends, &receives);
    OK(slipring_bus_payload_max(sends, &most));
    OK(slipring_bus_inline_limit(sends, &inline_limit));
    CHECK(most > inline_limit && inline_limit == 1024);
    SAYS(SLIPRING_INVALID_ARGUMENT, "answer is null", slipring_bus_payload_max(sends, NULL));
    SAYS(SLIPRING_INVALID_ARGUMENT, "bus is null", slipring_bus_inline_limit(NULL, &inline_limit));
    SAYS(SLIPRING_INVALID_ARGUMENT, "wait must be", slipring_bus_set_wait(receives, 3));
    SAYS(SLIPRING_INVALID_ARGUMENT, "wait must be", slipring_bus_set_wait(receives, SLIPRING_UNSET));
    for (int wait = SLIPRING_WAIT_ADAPTIVE; wait <= SLIPRING_WAIT_PARK; wait++) {
        OK(slipring_bus_set_wait(receives, wait));
        ANSWERS(SLIPRING_TIMEOUT, slipring_bus_recv(receives, 1000000, &lease));
    }
    OK(slipring_bus_free(sends));
    OK(slipring_bus_free(receives));
    rpc_pair(address, &calls, &serves);
    OK(slipring_rpc_request_max(calls, &most));
    OK(slipring_rpc_inline_limit(calls, &inline_limit));
    CHECK(most > inline_limit);
    OK(slipring_rpc_set_wait(serves, SLIPRING_WAIT_PARK));
    SAYS(SLIPRING_INVALID_ARGUMENT, "wait must be", slipring_rpc_set_wait(serves, 9));
    ANSWERS(SLIPRING_TIMEOUT, slipring_rpc_serve(serves, 1000000, &lease));
    OK(slipring_rpc_free(calls));
    OK(slipring_rpc_free(serves));
}

static void either(const char *address)
{
    slipring_rpc_t *calls, *serves;
    slipring_lease_t *request, *reply;
    uint32_t id, other;
    rpc_pair(address, &calls, &serves);
    OK(slipring_rpc_call(calls, 1, "a", 1, SOON, &id));
    ANSWERS(SLIPRING_TIMEOUT, slipring_rpc_await_either(calls, id, 0));
    ANSWERS(SLIPRING_TIMEOUT, slipring_rpc_await_either(calls, id, 1000000));
    OK(slipring_rpc_serve(serves, SOON, &request));
    OK(slipring_rpc_reply(serves, (uint32_t)slipring_lease_correlation_id(request), 2, "b", 1, 0));
    OK(slipring_lease_release(request));
    OK(slipring_rpc_await_either(calls, id, SOON));
    OK(slipring_rpc_wait(calls, id, 0, &reply));
    OK(slipring_lease_release(reply));
    SAYS(SLIPRING_INVALID_ARGUMENT, "in flight", slipring_rpc_await_either(calls, id, SOON));
    SAYS(SLIPRING_INVALID_ARGUMENT, "rpc is null", slipring_rpc_await_either(NULL, id, SOON));
    /* A request of the other end's is as good. */
    OK(slipring_rpc_call(serves, 1, "c", 1, SOON, &other));
    OK(slipring_rpc_call(calls, 1, "d", 1, SOON, &id));
    OK(slipring_rpc_serve(serves, SOON, &request));
    OK(slipring_lease_release(request));
    OK(slipring_rpc_free(serves));
    ANSWERS(SLIPRING_CLOSED, slipring_rpc_await_either(calls, id, SOON));
    OK(slipring_rpc_free(calls));
}

/* Takes one request, and replies with the length of what came with it. */
static void *measure(void *argument)
{
    slipring_rpc_t *rpc = (slipring_rpc_t *)argument;
    slipring_lease_t *request;
    slipring_shared_t *table;
    OK(slipring_rpc_serve(rpc, SOON, &request));
    OK(slipring_lease_shared(request, 0, &table));
    size_t len = slipring_shared_len(table);
    OK(slipring_rpc_reply(rpc, (uint32_t)slipring_lease_correlation_id(request), 0, &len, sizeof len, 0));
    OK(slipring_shared_free(table));
    OK(slipring_lease_release(request));
    return NULL;
}

static void requests_with_objects(const char *address)
{
    slipring_rpc_t *calls, *serves;
    slipring_builder_t *builder;
    slipring_shared_t *table;
    slipring_lease_t *reply = NULL;
    pthread_t thread;
    size_t len;
    rpc_pair(address, &calls, &serves);
    OK(slipring_shared_build(5000, SOON, &builder));
    OK(slipring_builder_seal(builder, &table));
    const slipring_shared_t *one[1] = {table};
    ANSWERS(SLIPRING_TIMEOUT, slipring_rpc_request_shared(calls, 1, NULL, 0, one, 1, 0, &reply));
    SAYS(SLIPRING_INVALID_ARGUMENT, "array is null",
         slipring_rpc_request_shared(calls, 1, NULL, 0, NULL, 1, SOON, &reply));
    CHECK(reply == NULL);
    CHECK(pthread_create(&thread, NULL, measure, serves) == 0);
    OK(slipring_rpc_request_shared(calls, 1, NULL, 0, one, 1, SOON, &reply));
    memcpy(&len, slipring_lease_data(reply), sizeof len);
    CHECK(len == 5000);
    OK(slipring_lease_release(reply));
    CHECK(pthread_join(thread, NULL) == 0);
    OK(slipring_shared_free(table));
    OK(slipring_rpc_free(calls));
    OK(slipring_rpc_free(serves));
}

static void batches_and_clones(const char *address)
{
    slipring_bus_t *sends, *receives;
    slipring_lease_t *lease, *clone, *none = NULL;
    slipring_message_t messages[3] = {{"one", 3, 1}, {NULL, 0, 2}, {NULL, 100000, 3}};
    void *block = malloc(100000);
    size_t sent = 99;
    CHECK(block != NULL);
    fill(block, 100000);
    bus_pair(address, &sends, &receives);
    SAYS(SLIPRING_INVALID_ARGUMENT, "data is null", slipring_bus_send_batch(sends, messages, 3, 0, &sent));
    SAYS(SLIPRING_INVALID_ARGUMENT, "array is null", slipring_bus_send_batch(sends, NULL, 3, 0, &sent));
    SAYS(SLIPRING_INVALID_ARGUMENT, "answer is null", slipring_bus_send_batch(sends, messages, 2, 0, NULL));
    ANSWERS(SLIPRING_INVALID_ARGUMENT, slipring_bus_send_batch(receives, messages, 2, 0, &sent));
    CHECK(sent == 99);
    messages[2].data = block;
    OK(slipring_bus_send_batch(sends, messages, 3, SOON, &sent));
    CHECK(sent == 3);
    OK(slipring_bus_recv(receives, SOON, &lease));
    CHECK(slipring_lease_len(lease) == 3 && slipring_lease_type_id(lease) == 1);
    SAYS(SLIPRING_INVALID_ARGUMENT, "slipring_lease_keep", slipring_lease_clone(lease, &none));
    OK(slipring_bus_recv(receives, SOON, &none));
    SAYS(SLIPRING_OVER, "over", slipring_lease_clone(lease, &clone));
    CHECK(slipring_lease_len(none) == 0 && slipring_lease_type_id(none) == 2);
    OK(slipring_lease_release(none));
    OK(slipring_lease_release(lease));
    OK(slipring_bus_recv(receives, SOON, &lease));
    OK(slipring_lease_keep(lease));
    OK(slipring_lease_clone(lease, &clone));
    /* The same bytes, and not a copy. */
    CHECK(slipring_lease_data(lease) == slipring_lease_data(clone));
    OK(slipring_lease_release(lease));
    OK(slipring_bus_free(sends));
    OK(slipring_bus_free(receives));
    CHECK(slipring_lease_type_id(clone) == 3 && slipring_lease_len(clone) == 100000);
    CHECK(is_whole(slipring_lease_data(clone), 100000));
    OK(slipring_lease_release(clone));
    free(block);
}

static void frames(const char *address)
{
    slipring_bus_t *sends, *receives;
    slipring_frame_t frame = {NULL, 0, 0, 0, 0, NULL};
    slipring_lease_t *lease;
    slipring_shared_t *none = NULL;
    char bytes[5000];
    bus_pair(address, &sends, &receives);
    SAYS(SLIPRING_INVALID_ARGUMENT, "bus is null", slipring_bus_recv_frame(NULL, 0, &frame));
    SAYS(SLIPRING_INVALID_ARGUMENT, "answer is null", slipring_bus_recv_frame(receives, 0, NULL));
    ANSWERS(SLIPRING_EMPTY, slipring_bus_recv_frame(receives, 0, &frame));
    ANSWERS(SLIPRING_TIMEOUT, slipring_bus_recv_frame(receives, 1000000, &frame));
    ANSWERS(SLIPRING_INVALID_ARGUMENT, slipring_bus_recv_frame(sends, 0, &frame));
    CHECK(frame.data == NULL);
    for (size_t len = 0; len <= sizeof bytes; len += 1000) {
        fill(bytes, len);
        OK(slipring_bus_send(sends, (uint32_t)len, bytes, len, SOON));
    }
    for (size_t len = 0; len <= sizeof bytes; len += 2000) {
        OK(slipring_bus_recv_frame(receives, SOON, &frame));
        CHECK(frame.len == len && frame.type_id == len && is_whole(frame.data, len));
        SAYS(SLIPRING_INVALID_ARGUMENT, "so many", slipring_frame_shared(&frame, 0, &none));
        /* A lease and a frame are the same turn: the one ends the other. */
        OK(slipring_bus_recv(receives, SOON, &lease));
        CHECK(slipring_lease_len(lease) == len + 1000);
        ANSWERS(SLIPRING_EMPTY, len == 4000 ? slipring_bus_recv_frame(receives, 0, &frame) : SLIPRING_EMPTY);
        OK(slipring_lease_release(lease));
    }
    OK(slipring_bus_free(sends));
    ANSWERS(SLIPRING_CLOSED, slipring_bus_recv_frame(receives, SOON, &frame));
    OK(slipring_bus_free(receives));
    CHECK(none == NULL);
}

static void servers_and_pollers(const char *address)
{
    slipring_server_t *server;
    slipring_poller_t *poller;
    slipring_poller_stats_t stats;
    uint64_t refused, token;
    size_t count;
    OK(slipring_server_bind(address, NULL, &server));
    OK(slipring_poller_stats_init(&stats));
    OK(slipring_server_stats(server, &stats));
    OK(slipring_server_refused(server, &refused));
    CHECK(refused == 0 && stats.sleeps == 0);
    SAYS(SLIPRING_INVALID_ARGUMENT, "answer is null", slipring_server_refused(server, NULL));
    OK(slipring_server_free(server));
    OK(slipring_poller_new(NULL, &poller));
    ANSWERS(SLIPRING_TIMEOUT, slipring_poller_wait(poller, 1000000, &token, 1, &count));
    OK(slipring_poller_stats(poller, &stats));
    CHECK(stats.waits >= 1 && stats.size == sizeof stats);
    SAYS(SLIPRING_INVALID_ARGUMENT, "poller_stats is null", slipring_poller_stats(poller, NULL));
    stats.size = 12;
    SAYS(SLIPRING_STRUCT_SIZE, "poller_stats_init", slipring_poller_stats(poller, &stats));
    OK(slipring_poller_free(poller));
}

int main(int count, char **words)
{
    pthread_t thread;
    CHECK(count == 2);
    counters(words[1]);
    observers(words[1]);
    placements(words[1]);
    waits_and_limits(words[1]);
    either(words[1]);
    requests_with_objects(words[1]);
    batches_and_clones(words[1]);
    frames(words[1]);
    servers_and_pollers(words[1]);
    CHECK(pthread_create(&thread, NULL, pin, NULL) == 0 && pthread_join(thread, NULL) == 0);
    puts("done");
    return 0;
}
