/* Handlers, notes, errors, shared objects, a poller and a server, all used as they should be: `more ADDRESS`. */
#include "check.h"
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static void answer(void *user, uint64_t session, slipring_rpc_t *rpc, slipring_lease_t *request)
{
    uint32_t id = (uint32_t)slipring_lease_correlation_id(request);
    int *seen = (int *)user;
    (void)session;
    (*seen)++;
    switch (slipring_lease_type_id(request)) {
    case 1: /* echo */
        OK(slipring_rpc_reply(rpc, id, 2, slipring_lease_data(request), slipring_lease_len(request), 0));
        CHECK(slipring_lease_data(request) == NULL);
        break;
    case 2: /* an error */
        SAYS(SLIPRING_INVALID_ARGUMENT, "code", slipring_rpc_reply_error(rpc, id, 0x80000000u, "no"));
        OK(slipring_rpc_reply_error(rpc, id, 42, "no such question"));
        break;
    case 3: /* nothing at all */
        break;
    case 4: /* released early, and replied to by its number */
        OK(slipring_lease_release(request));
        OK(slipring_rpc_reply(rpc, id, 4, "late", 4, 0));
        break;
    default: /* kept; and the handle that was lent cannot be freed */
        CHECK(slipring_lease_is_note(request) == 1);
        SAYS(SLIPRING_INVALID_ARGUMENT, "lent", slipring_rpc_free(rpc));
        SAYS(SLIPRING_INVALID_ARGUMENT, "lent", slipring_rpc_close(rpc, 0));
        OK(slipring_lease_keep(request));
        CHECK(memcmp(slipring_lease_data(request), "note", 4) == 0);
        OK(slipring_lease_release(request));
    }
}

static void *serve_by_handler(void *argument)
{
    int seen = 0;
    slipring_rpc_t *rpc = (slipring_rpc_t *)argument;
    ANSWERS(SLIPRING_INVALID_ARGUMENT, slipring_rpc_run(rpc, SOON));
    OK(slipring_rpc_on_request(rpc, answer, &seen));
    ANSWERS(SLIPRING_CLOSED, slipring_rpc_run(rpc, SOON));
    CHECK(seen == 5);
    OK(slipring_rpc_free(rpc));
    return NULL;
}

static void handlers(const char *address)
{
    slipring_rpc_t *calls, *serves;
    slipring_lease_t *reply;
    pthread_t thread;
    uint32_t in_flight;
    rpc_pair(address, &calls, &serves);
    CHECK(pthread_create(&thread, NULL, serve_by_handler, serves) == 0);
    OK(slipring_rpc_request(calls, 1, "echo", 4, SOON, &reply));
    CHECK(slipring_lease_len(reply) == 4 && memcmp(slipring_lease_data(reply), "echo", 4) == 0);
    OK(slipring_rpc_cancel(calls, (uint32_t)slipring_lease_correlation_id(reply)));
    CHECK(slipring_lease_data(reply) == NULL);
    OK(slipring_lease_release(reply));
    SAYS(SLIPRING_REMOTE, "no such question", slipring_rpc_request(calls, 2, NULL, 0, SOON, &reply));
    CHECK(slipring_remote_code() == 42);
    SAYS(SLIPRING_REMOTE, "without a reply", slipring_rpc_request(calls, 3, NULL, 0, SOON, &reply));
    CHECK(slipring_remote_code() >= 0x80000000u);
    OK(slipring_rpc_request(calls, 4, NULL, 0, SOON, &reply));
    CHECK(memcmp(slipring_lease_data(reply), "late", 4) == 0);
    OK(slipring_rpc_note(calls, 5, "note", 4, SOON));
    OK(slipring_rpc_in_flight(calls, &in_flight));
    CHECK(in_flight <= 2);
    OK(slipring_rpc_close(calls, SOON));
    CHECK(slipring_lease_data(reply) == NULL);
    OK(slipring_lease_release(reply));
    CHECK(pthread_join(thread, NULL) == 0);
    OK(slipring_rpc_free(calls));
}

static void deadlines(const char *address)
{
    slipring_rpc_t *calls, *serves;
    slipring_lease_t *request, *reply;
    uint32_t id;
    int64_t left;
    int32_t cancelled;
    rpc_pair(address, &calls, &serves);
    OK(slipring_rpc_call(calls, 1, "a", 1, SOON, &id));
    OK(slipring_rpc_serve(serves, SOON, &request));
    OK(slipring_lease_deadline(request, &left, &cancelled));
    CHECK(left > 0 && left <= SOON && !cancelled);
    OK(slipring_rpc_cancel(calls, id));
    ANSWERS(SLIPRING_EMPTY, slipring_rpc_serve(serves, 0, &reply));
    OK(slipring_lease_deadline(request, &left, &cancelled));
    CHECK(cancelled == 1);
    SAYS(SLIPRING_INVALID_ARGUMENT, "in flight", slipring_rpc_wait(calls, id, 0, &reply));
    OK(slipring_rpc_reply(serves, (uint32_t)slipring_lease_correlation_id(request), 0, NULL, 0, 0));
    SAYS(SLIPRING_OVER, "replied", slipring_lease_deadline(request, &left, &cancelled));
    OK(slipring_lease_release(request));
    OK(slipring_rpc_free(calls));
    OK(slipring_rpc_free(serves));
}

static void objects(const char *address)
{
    slipring_bus_t *sends, *receives;
    slipring_builder_t *builder;
    slipring_shared_t *table, *same, *clone, *none = NULL;
    slipring_lease_t *lease;
    size_t count;
    int fd;
    bus_pair(address, &sends, &receives);
    OK(slipring_shared_build(100000, SOON, &builder));
    fill(slipring_builder_data(builder), 100000);
    OK(slipring_builder_seal(builder, &table));
    SAYS(SLIPRING_INVALID_ARGUMENT, "freed", slipring_builder_seal(builder, &none));
    const slipring_shared_t *both[9] = {table, table, table, table, table, table, table, table, table};
    SAYS(SLIPRING_INVALID_ARGUMENT, "at most 8", slipring_bus_send_shared(sends, 1, "x", 1, both, 9, 0));
    OK(slipring_bus_send_shared(sends, 1, "x", 1, both, 2, SOON));
    OK(slipring_bus_recv(receives, SOON, &lease));
    OK(slipring_lease_shared_count(lease, &count));
    CHECK(count == 2 && slipring_lease_len(lease) == 1);
    SAYS(SLIPRING_INVALID_ARGUMENT, "so many", slipring_lease_shared(lease, 2, &none));
    OK(slipring_lease_shared(lease, 1, &same));
    OK(slipring_lease_release(lease));
    CHECK(slipring_shared_id(same) == slipring_shared_id(table) && slipring_shared_len(same) == 100000);
    CHECK(is_whole(slipring_shared_data(same), 100000));
    OK(slipring_shared_clone(same, &clone));
    OK(slipring_shared_fd(clone, &fd));
    OK(slipring_shared_free(same));
    OK(slipring_shared_attach(fd, 100000, &same));
    CHECK(is_whole(slipring_shared_data(same), 100000));
    ANSWERS(SLIPRING_CORRUPT, slipring_shared_attach(fd, 1000000, &none));
    ANSWERS(SLIPRING_INVALID_ARGUMENT, slipring_shared_attach(-1, 1, &none));
    ANSWERS(SLIPRING_SYSTEM, slipring_shared_attach(1000000, 1, &none));
    CHECK(none == NULL);
    OK(slipring_shared_free(same));
    OK(slipring_shared_free(clone));
    OK(slipring_shared_free(table));
    OK(slipring_bus_free(sends));
    OK(slipring_bus_free(receives));
}

static void pollers(const char *address)
{
    slipring_listener_t *listener;
    slipring_poller_t *poller;
    slipring_notifier_t *notifier;
    slipring_bus_t *receives = NULL;
    slipring_lease_t *lease;
    struct joining joining = {address, NULL, NULL};
    pthread_t thread;
    uint64_t token;
    size_t count;
    int ended = 0;
    OK(slipring_listener_bind(address, NULL, &listener));
    OK(slipring_poller_new(NULL, &poller));
    OK(slipring_poller_add_listener(poller, listener, 7));
    SAYS(SLIPRING_INVALID_ARGUMENT, "in a poller", slipring_poller_add_listener(poller, listener, 8));
    SAYS(SLIPRING_INVALID_ARGUMENT, "in a poller", slipring_listener_free(listener));
    OK(slipring_poller_notifier(poller, &notifier));
    OK(slipring_notifier_notify(notifier));
    OK(slipring_poller_wait(poller, SOON, &token, 1, &count));
    SAYS(SLIPRING_INVALID_ARGUMENT, "capacity", slipring_poller_wait(poller, SOON, &token, 0, &count));
    CHECK(pthread_create(&thread, NULL, join_bus, &joining) == 0);
    while (receives == NULL) {
        OK(slipring_poller_wait(poller, SOON, &token, 1, &count));
        if (count == 1 && token == 7 && slipring_listener_accept_bus(listener, 0, &receives) == SLIPRING_OK) {
            OK(slipring_poller_add_bus(poller, receives, 9));
        }
    }
    CHECK(pthread_join(thread, NULL) == 0);
    OK(slipring_bus_send(joining.bus, 1, "polled", 6, 0));
    OK(slipring_bus_free(joining.bus));
    for (int received = 0; !ended;) {
        OK(slipring_poller_wait(poller, SOON, &token, 1, &count));
        if (count == 0 || token != 9) {
            continue;
        }
        slipring_status_t answer = slipring_bus_recv(receives, 0, &lease);
        if (answer == SLIPRING_OK) {
            /* The lease is good wherever the bus goes. */
            OK(slipring_poller_remove_bus(poller, receives));
            CHECK(memcmp(slipring_lease_data(lease), "polled", 6) == 0);
            OK(slipring_poller_add_bus(poller, receives, 9));
            OK(slipring_lease_release(lease));
            received++;
        } else if (answer != SLIPRING_EMPTY) {
            CHECK(answer == SLIPRING_CLOSED && received == 1);
            ended = 1;
        }
    }
    OK(slipring_poller_remove_listener(poller, listener));
    SAYS(SLIPRING_INVALID_ARGUMENT, "not in this poller", slipring_poller_remove_listener(poller, listener));
    OK(slipring_listener_free(listener));
    OK(slipring_notifier_free(notifier));
    /* Freed with a bus in it. */
    OK(slipring_poller_free(poller));
    SAYS(SLIPRING_USE_AFTER_CLOSE, "poller", slipring_bus_recv(receives, 0, &lease));
    OK(slipring_bus_free(receives));
}

struct served {
    slipring_stopper_t *stopper;
    int seen;
    int ended;
};

static void on_end(void *user, uint64_t session, slipring_status_t why)
{
    struct served *served = (struct served *)user;
    (void)session;
    CHECK(why == SLIPRING_CLOSED);
    if (++served->ended == 2) {
        OK(slipring_stopper_stop(served->stopper));
    }
}

static void *two_clients(void *argument)
{
    for (int client = 0; client < 2; client++) {
        struct joining joining = {(const char *)argument, NULL, NULL};
        slipring_lease_t *reply;
        join_rpc(&joining);
        OK(slipring_rpc_request(joining.rpc, 1, "served", 6, SOON, &reply));
        CHECK(memcmp(slipring_lease_data(reply), "served", 6) == 0);
        OK(slipring_lease_release(reply));
        OK(slipring_rpc_free(joining.rpc));
    }
    return NULL;
}

static void servers(char *address, size_t workers)
{
    slipring_server_t *server;
    struct served served = {NULL, 0, 0};
    pthread_t thread;
    size_t len, sessions;
    char told[200];
    OK(slipring_server_bind(address, NULL, &server));
    SAYS(SLIPRING_INVALID_ARGUMENT, "handler", slipring_server_run(server, SOON));
    OK(slipring_server_on_request(server, answer, &served.seen));
    OK(slipring_server_on_end(server, on_end, &served));
    OK(slipring_server_workers(server, workers));
    OK(slipring_server_stopper(server, &served.stopper));
    OK(slipring_server_address(server, told, sizeof told, &len));
    CHECK(len == strlen(told) && strcmp(told, address) == 0);
    CHECK(pthread_create(&thread, NULL, two_clients, address) == 0);
    OK(slipring_server_run(server, SOON));
    CHECK(pthread_join(thread, NULL) == 0);
    OK(slipring_server_sessions(server, &sessions));
    CHECK(served.seen == 2 && served.ended == 2 && sessions == 0);
    ANSWERS(SLIPRING_TIMEOUT, slipring_server_run(server, 1000000));
    OK(slipring_stopper_free(served.stopper));
    OK(slipring_server_free(server));
}

static void sum(void *user, const slipring_frame_t *frames, size_t count)
{
    size_t *sum = (size_t *)user;
    for (size_t index = 0; index < count; index++) {
        CHECK(is_whole(frames[index].data, frames[index].len));
        *sum += frames[index].len;
    }
}

static void batches(const char *address)
{
    slipring_bus_t *sends, *receives;
    unsigned char bytes[64];
    size_t count, all = 0;
    uint32_t can;
    int32_t state;
    int fd;
    uint64_t taken;
    bus_pair(address, &sends, &receives);
    for (size_t len = 0; len < 10; len++) {
        fill(bytes, len);
        OK(slipring_bus_send_later(sends, 1, bytes, len, 0));
    }
    ANSWERS(SLIPRING_EMPTY, slipring_bus_drain(receives, 20, 0, sum, &all, &count));
    OK(slipring_bus_flush(sends));
    OK(slipring_bus_drain(receives, 20, SOON, sum, &all, &count));
    CHECK(count == 10 && all == 45);
    OK(slipring_bus_capabilities(receives, &can));
    OK(slipring_bus_state(receives, &state));
    CHECK(state == SLIPRING_STATE_OPEN);
    OK(slipring_bus_fd(receives, &fd));
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    OK(slipring_memory_taken(&taken));
    CHECK(taken > 0);
    CHECK(slipring_abi_version() == SLIPRING_ABI_VERSION && slipring_layout_version() > 0);
    OK(slipring_bus_free(sends));
    ANSWERS(SLIPRING_CLOSED, slipring_bus_drain(receives, 20, SOON, sum, &all, &count));
    OK(slipring_bus_free(receives));
}

/* A child of fork owns nothing of its parent's, and the parent does not notice it. */
static void forks(const char *address)
{
    slipring_bus_t *sends, *receives;
    slipring_lease_t *lease;
    int ended;
    bus_pair(address, &sends, &receives);
    OK(slipring_bus_send(sends, 1, "before", 6, 0));
    pid_t child = fork();
    if (child == 0) {
        ANSWERS(SLIPRING_FORKED, slipring_bus_send(sends, 1, "x", 1, 0));
        ANSWERS(SLIPRING_FORKED, slipring_bus_recv(receives, SOON, &lease));
        OK(slipring_bus_free(sends));
        OK(slipring_bus_free(receives));
        _exit(0);
    }
    CHECK(child > 0 && waitpid(child, &ended, 0) == child && WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
    OK(slipring_bus_recv(receives, SOON, &lease));
    CHECK(memcmp(slipring_lease_data(lease), "before", 6) == 0);
    OK(slipring_lease_release(lease));
    OK(slipring_bus_close(sends, 0)); /* waiting for the other end, which is this thread's, would be in vain */
    ANSWERS(SLIPRING_CLOSED, slipring_bus_recv(receives, SOON, &lease));
    OK(slipring_bus_free(sends));
    OK(slipring_bus_free(receives));
}

int main(int count, char **words)
{
    CHECK(count == 2);
    forks(words[1]);
    handlers(words[1]);
    deadlines(words[1]);
    objects(words[1]);
    pollers(words[1]);
    servers(words[1], 0);
    servers(words[1], 2);
    batches(words[1]);
    puts("done");
    return 0;
}
