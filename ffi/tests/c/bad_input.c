/* What C can do wrong: each with its own status, and nothing breaks. The argument is an address. */
#include "check.h"

static void nulls(const char *address)
{
    slipring_bus_t *bus = NULL;
    slipring_lease_t *lease;
    uint32_t id;
    SAYS(SLIPRING_INVALID_ARGUMENT, "address is null", slipring_bus_connect(NULL, NULL, 0, &bus));
    SAYS(SLIPRING_INVALID_ARGUMENT, "place for the answer", slipring_bus_connect(address, NULL, 0, NULL));
    SAYS(SLIPRING_INVALID_ARGUMENT, "bus is null", slipring_bus_send(NULL, 1, "x", 1, 0));
    SAYS(SLIPRING_INVALID_ARGUMENT, "bus is null", slipring_bus_recv(NULL, 0, &lease));
    SAYS(SLIPRING_INVALID_ARGUMENT, "rpc is null", slipring_rpc_call(NULL, 1, "x", 1, 0, &id));
    SAYS(SLIPRING_INVALID_ARGUMENT, "claim is null", slipring_claim_commit(NULL, 1, 0));
    SAYS(SLIPRING_INVALID_ARGUMENT, "lease is null", slipring_lease_keep(NULL));
    CHECK(slipring_lease_data(NULL) == NULL && slipring_lease_len(NULL) == 0 && slipring_claim_data(NULL) == NULL);
    OK(slipring_bus_free(NULL));
    OK(slipring_rpc_free(NULL));
    OK(slipring_lease_release(NULL));
    OK(slipring_claim_abort(NULL));
    OK(slipring_listener_free(NULL));
    OK(slipring_poller_free(NULL));
    OK(slipring_server_free(NULL));
    OK(slipring_shared_free(NULL));
    OK(slipring_builder_free(NULL));
    CHECK(slipring_last_error(NULL, 0) > 0);
}

static void names(const char *address)
{
    slipring_bus_t *bus = NULL;
    char text[8];
    char *endless = (char *)malloc(5000);
    CHECK(endless != NULL);
    memset(endless, 'a', 5000);
    SAYS(SLIPRING_INVALID_ARGUMENT, "4095", slipring_bus_connect(endless, NULL, 0, &bus));
    endless[300] = 0;
    ANSWERS(SLIPRING_INVALID_ARGUMENT, slipring_bus_connect(endless, NULL, 0, &bus));
    free(endless);
    ANSWERS(SLIPRING_INVALID_ARGUMENT, slipring_bus_connect("", NULL, 0, &bus));
    ANSWERS(SLIPRING_INVALID_ARGUMENT, slipring_bus_connect("two words", NULL, 0, &bus));
    SAYS(SLIPRING_INVALID_ARGUMENT, "UTF-8", slipring_bus_connect("\xff\xfe", NULL, 0, &bus));
    SAYS(SLIPRING_NOT_FOUND, address, slipring_bus_connect(address, NULL, 0, &bus));
    CHECK(slipring_last_error(text, sizeof text) >= sizeof text && strlen(text) == sizeof text - 1);
    CHECK(bus == NULL);
    SAYS(SLIPRING_INVALID_ARGUMENT, "timeout", slipring_bus_connect(address, NULL, -2, &bus));
    SAYS(SLIPRING_INVALID_ARGUMENT, "timeout", slipring_bus_listen(address, NULL, INT64_MIN, &bus));
}

static void configs(const char *address)
{
    slipring_bus_t *bus = NULL;
    slipring_config_t config;
    struct {
        slipring_config_t known;
        uint64_t newer[2];
    } larger;
    OK(slipring_config_init(&config));
    CHECK(config.size == sizeof config);
    ANSWERS(SLIPRING_NOT_FOUND, slipring_bus_connect(address, &config, 0, &bus));
    config.wait = 17;
    SAYS(SLIPRING_INVALID_ARGUMENT, "wait", slipring_bus_connect(address, &config, 0, &bus));
    config.wait = SLIPRING_WAIT_PARK;
    config.trust = 99;
    SAYS(SLIPRING_INVALID_ARGUMENT, "trust", slipring_bus_connect(address, &config, 0, &bus));
    config.trust = SLIPRING_UNSET;
    config.backend = 2;
    SAYS(SLIPRING_INVALID_ARGUMENT, "backend", slipring_bus_connect(address, &config, 0, &bus));
    config.backend = SLIPRING_UNSET;
    config.capacity = 1000;
    SAYS(SLIPRING_INVALID_ARGUMENT, "power of two", slipring_bus_connect(address, &config, 0, &bus));
    config.capacity = SLIPRING_DEFAULT;
    config.spill_dir = "/no/such/directory";
    SAYS(SLIPRING_CONFIG, "/no/such/directory", slipring_bus_connect(address, &config, 0, &bus));
    config.spill_dir = NULL;
    config.size = 7;
    SAYS(SLIPRING_STRUCT_SIZE, "slipring_config_init", slipring_bus_connect(address, &config, 0, &bus));
    config.size = 0;
    ANSWERS(SLIPRING_STRUCT_SIZE, slipring_bus_connect(address, &config, 0, &bus));
    ANSWERS(SLIPRING_STRUCT_SIZE, slipring_config_init_sized(&config, 3));
    ANSWERS(SLIPRING_INVALID_ARGUMENT, slipring_config_init(NULL));
    /* A header that is newer than the library. */
    OK(slipring_config_init_sized(&larger.known, sizeof larger));
    ANSWERS(SLIPRING_NOT_FOUND, slipring_bus_connect(address, &larger.known, 0, &bus));
    larger.newer[1] = 1;
    SAYS(SLIPRING_STRUCT_SIZE, "newer", slipring_bus_connect(address, &larger.known, 0, &bus));
    CHECK(bus == NULL);
}

static void leases(const char *address)
{
    slipring_bus_t *sends, *receives;
    slipring_lease_t *first, *second, *none = NULL;
    slipring_stats_t stats;
    bus_pair(address, &sends, &receives);
    ANSWERS(SLIPRING_EMPTY, slipring_bus_recv(receives, 0, &none));
    ANSWERS(SLIPRING_TIMEOUT, slipring_bus_recv(receives, 1000000, &none));
    CHECK(none == NULL);
    SAYS(SLIPRING_INVALID_ARGUMENT, "receives", slipring_bus_send(receives, 1, "x", 1, 0));
    SAYS(SLIPRING_INVALID_ARGUMENT, "sends", slipring_bus_recv(sends, 0, &none));
    SAYS(SLIPRING_INVALID_ARGUMENT, "data is null", slipring_bus_send(sends, 1, NULL, 1, 0));
    SAYS(SLIPRING_INVALID_ARGUMENT, "more than", slipring_bus_send(sends, 1, "x", SIZE_MAX, 0));
    OK(slipring_bus_send(sends, 1, NULL, 0, 0));
    OK(slipring_bus_send(sends, 2, "two", 3, SOON));
    OK(slipring_bus_recv(receives, SOON, &first));
    CHECK(slipring_lease_len(first) == 0 && slipring_lease_data(first) != NULL);
    OK(slipring_bus_recv(receives, -1, &second));
    /* A later receive ends a lease that was not kept. */
    CHECK(slipring_lease_data(first) == NULL);
    SAYS(SLIPRING_OVER, "over", slipring_lease_keep(first));
    OK(slipring_lease_release(first));
    SAYS(SLIPRING_INVALID_ARGUMENT, "freed", slipring_lease_release(first));
    CHECK(slipring_lease_type_id(second) == 2 && memcmp(slipring_lease_data(second), "two", 3) == 0);
    OK(slipring_lease_keep(second));
    stats.size = 3;
    ANSWERS(SLIPRING_STRUCT_SIZE, slipring_bus_stats(receives, &stats));
    OK(slipring_stats_init(&stats));
    OK(slipring_bus_stats(receives, &stats));
    CHECK(stats.frames_received == 2 && stats.bytes_received == 3 && stats.size == sizeof stats);
    /* What is kept outlives the bus; what is not says that it is over. */
    OK(slipring_bus_send(sends, 3, "three", 5, 0));
    OK(slipring_bus_recv(receives, SOON, &first));
    OK(slipring_bus_free(receives));
    SAYS(SLIPRING_INVALID_ARGUMENT, "freed", slipring_bus_recv(receives, 0, &none));
    SAYS(SLIPRING_INVALID_ARGUMENT, "freed", slipring_bus_free(receives));
    SAYS(SLIPRING_INVALID_ARGUMENT, "another type", slipring_rpc_free((slipring_rpc_t *)sends));
    CHECK(slipring_lease_data(first) == NULL);
    OK(slipring_lease_release(first));
    CHECK(memcmp(slipring_lease_data(second), "two", 3) == 0);
    OK(slipring_lease_release(second));
    OK(slipring_bus_free(sends));
}

static void claims(const char *address)
{
    slipring_bus_t *sends, *receives;
    slipring_claim_t *claim, *own, *none = NULL;
    slipring_lease_t *lease;
    bus_pair(address, &sends, &receives);
    OK(slipring_bus_claim(sends, 8, 0, &claim));
    CHECK(slipring_claim_len(claim) == 8);
    ANSWERS(SLIPRING_INVALID_ARGUMENT, slipring_bus_send(sends, 1, "x", 1, 0));
    ANSWERS(SLIPRING_INVALID_ARGUMENT, slipring_bus_claim(sends, 8, 0, &none));
    SAYS(SLIPRING_INVALID_ARGUMENT, "used", slipring_claim_commit(claim, 1, 9));
    /* It is still open. */
    memcpy(slipring_claim_data(claim), "claimed!", 8);
    OK(slipring_claim_commit(claim, 5, 7));
    SAYS(SLIPRING_INVALID_ARGUMENT, "freed", slipring_claim_commit(claim, 5, 7));
    OK(slipring_bus_recv(receives, SOON, &lease));
    CHECK(slipring_lease_len(lease) == 7 && memcmp(slipring_lease_data(lease), "claimed", 7) == 0);
    OK(slipring_lease_release(lease));
    OK(slipring_bus_claim_owned(sends, 3000, SOON, &own));
    SAYS(SLIPRING_INVALID_ARGUMENT, "one's own", slipring_claim_commit(own, 1, 1));
    SAYS(SLIPRING_INVALID_ARGUMENT, "used", slipring_bus_send_owned(sends, 1, own, 3001));
    fill(slipring_claim_data(own), 3000);
    OK(slipring_bus_send_owned(sends, 1, own, 3000));
    OK(slipring_bus_recv(receives, SOON, &lease));
    CHECK(slipring_lease_len(lease) == 3000 && is_whole(slipring_lease_data(lease), 3000));
    OK(slipring_lease_release(lease));
    /* Its bus ends before it. */
    OK(slipring_bus_claim(sends, 8, 0, &claim));
    OK(slipring_bus_close(sends, 0));
    SAYS(SLIPRING_OVER, "over", slipring_claim_commit(claim, 1, 1));
    CHECK(slipring_claim_data(claim) == NULL);
    OK(slipring_claim_abort(claim));
    SAYS(SLIPRING_USE_AFTER_CLOSE, "closed here", slipring_bus_send(sends, 1, "x", 1, 0));
    SAYS(SLIPRING_USE_AFTER_CLOSE, "closed here", slipring_bus_close(sends, 0));
    ANSWERS(SLIPRING_CLOSED, slipring_bus_recv(receives, SOON, &lease));
    OK(slipring_bus_free(sends));
    OK(slipring_bus_free(receives));
}

/* Two threads meet inside a bus: one is in a callback of it and stays there until the other has tried. */
struct meeting {
    slipring_bus_t *bus;
    pthread_barrier_t inside, tried;
};

static void meet(void *user, const slipring_frame_t *frame)
{
    struct meeting *meeting = (struct meeting *)user;
    (void)frame;
    pthread_barrier_wait(&meeting->inside);
    pthread_barrier_wait(&meeting->tried);
}

static void *receive_one(void *argument)
{
    struct meeting *meeting = (struct meeting *)argument;
    size_t count;
    OK(slipring_bus_poll(meeting->bus, 1, SOON, meet, meeting, &count));
    return NULL;
}

static void threads(const char *address)
{
    slipring_bus_t *sends, *receives;
    slipring_lease_t *lease;
    slipring_stats_t stats;
    struct meeting meeting;
    pthread_t thread;
    bus_pair(address, &sends, &receives);
    meeting.bus = receives;
    CHECK(pthread_barrier_init(&meeting.inside, NULL, 2) == 0 && pthread_barrier_init(&meeting.tried, NULL, 2) == 0);
    OK(slipring_stats_init(&stats));
    OK(slipring_bus_send(sends, 1, "x", 1, 0));
    CHECK(pthread_create(&thread, NULL, receive_one, &meeting) == 0);
    pthread_barrier_wait(&meeting.inside);
    SAYS(SLIPRING_WRONG_THREAD, "in use", slipring_bus_recv(receives, 0, &lease));
    ANSWERS(SLIPRING_WRONG_THREAD, slipring_bus_stats(receives, &stats));
    ANSWERS(SLIPRING_WRONG_THREAD, slipring_bus_close(receives, 0));
    ANSWERS(SLIPRING_WRONG_THREAD, slipring_bus_free(receives));
    pthread_barrier_wait(&meeting.tried);
    CHECK(pthread_join(thread, NULL) == 0);
    OK(slipring_bus_stats(receives, &stats));
    CHECK(stats.frames_received == 1);
    OK(slipring_bus_free(sends));
    OK(slipring_bus_free(receives));
}

static void use_again(void *user, const slipring_frame_t *frame)
{
    slipring_lease_t *lease;
    CHECK(frame->len == 1);
    ANSWERS(SLIPRING_WRONG_THREAD, slipring_bus_recv((slipring_bus_t *)user, 0, &lease));
}

static void callbacks(const char *address)
{
    slipring_bus_t *sends, *receives;
    size_t count = 0;
    bus_pair(address, &sends, &receives);
    OK(slipring_bus_send(sends, 1, "x", 1, 0));
    SAYS(SLIPRING_INVALID_ARGUMENT, "on_frame is null", slipring_bus_poll(receives, 1, SOON, NULL, NULL, &count));
    SAYS(SLIPRING_INVALID_ARGUMENT, "limit", slipring_bus_poll(receives, 0, SOON, use_again, receives, &count));
    OK(slipring_bus_poll(receives, 9, SOON, use_again, receives, &count));
    CHECK(count == 1);
    OK(slipring_bus_free(sends));
    OK(slipring_bus_free(receives));
}

int main(int count, char **words)
{
    CHECK(count == 2);
    nulls(words[1]);
    names(words[1]);
    configs(words[1]);
    leases(words[1]);
    claims(words[1]);
    threads(words[1]);
    callbacks(words[1]);
    puts("done");
    return 0;
}
