/* Calls that are given up: by slipring_rpc_cancel, which the handler can see, and by a timeout, which travels with the call. Either
   way a reply still comes; where nobody waits for it any more it is counted and dropped. make -C examples/c run-cancel */
#include "example.h"

enum { SEARCH = 1, PING = 2, STOPPED = 1 };

/* Looks for something in many small steps, and for news of its caller between two. */
static void search(slipring_rpc_t *rpc, slipring_lease_t *request)
{
    uint32_t id = (uint32_t)slipring_lease_correlation_id(request);
    int64_t left;
    int32_t cancelled;
    for (int step = 0; step < 5000; step++) {
        usleep(1000);
        /* Takes in what has come, and serves it by the same handler: that is how a cancel is seen. */
        slipring_status_t ran = slipring_rpc_run(rpc, 0);
        if (ran != SLIPRING_OK && ran != SLIPRING_TIMEOUT) {
            return;
        }
        must(slipring_lease_deadline(request, &left, &cancelled));
        if (cancelled || left == 0) {
            const char *why = left == 0 ? "too late" : "cancelled";
            printf("server: %s; it stops the search for \"%.*s\"\n", why, (int)slipring_lease_len(request),
                   (const char *)slipring_lease_data(request));
            /* The one reply that is due, though nobody waits for it. */
            slipring_rpc_reply_error(rpc, id, STOPPED, why);
            return;
        }
    }
    slipring_rpc_reply(rpc, id, SEARCH, "found", 5, 0);
}

static void handle(void *user, uint64_t session, slipring_rpc_t *rpc, slipring_lease_t *request)
{
    (void)user;
    (void)session;
    if (slipring_lease_type_id(request) == SEARCH) {
        search(rpc, request);
    } else {
        slipring_rpc_reply(rpc, (uint32_t)slipring_lease_correlation_id(request), PING, NULL, 0, 0);
    }
}

static void serve(const char *name)
{
    slipring_rpc_t *rpc;
    must(slipring_rpc_listen(name, NULL, 5 * SECOND, &rpc));
    must(slipring_rpc_on_request(rpc, handle, NULL));
    if (slipring_rpc_run(rpc, 20 * SECOND) != SLIPRING_CLOSED) {
        exit(1);
    }
    must(slipring_rpc_free(rpc));
}

/* Other calls go on meanwhile. A call that was given up keeps its place until its reply has come. */
static void until_all_have_answered(slipring_rpc_t *rpc)
{
    slipring_lease_t *reply;
    uint32_t calls;
    must(slipring_rpc_in_flight(rpc, &calls));
    while (calls > 0) {
        must(slipring_rpc_request(rpc, PING, NULL, 0, 10 * SECOND, &reply));
        must(slipring_lease_release(reply));
        must(slipring_rpc_in_flight(rpc, &calls));
    }
}

int main(void)
{
    const char *name = own_name("cancel");
    pid_t server = start(serve, name);
    slipring_rpc_t *rpc;
    slipring_lease_t *reply;
    slipring_stats_t stats;
    slipring_status_t gone;
    uint32_t call;
    must(slipring_rpc_connect(name, NULL, 5 * SECOND, &rpc));

    /* A wait that ends leaves the call in flight; it can be waited for again, or cancelled. */
    must(slipring_rpc_call(rpc, SEARCH, "a needle", 8, -1, &call));
    if (slipring_rpc_wait(rpc, call, SECOND / 20, &reply) != SLIPRING_TIMEOUT) {
        return 1;
    }
    printf("client: no reply yet; cancels the search\n");
    must(slipring_rpc_cancel(rpc, call));
    until_all_have_answered(rpc);

    /* With a timeout the server need not be told: it knows, and may even say so before we notice. */
    gone = slipring_rpc_request(rpc, SEARCH, "a pin", 5, SECOND / 20, &reply);
    printf("client: %s\n", slipring_strerror(gone));
    until_all_have_answered(rpc);

    must(slipring_stats_init(&stats));
    must(slipring_rpc_stats(rpc, &stats));
    printf("client: no call is left in flight; a reply came too late: %s\n", stats.late_replies > 0 ? "yes" : "no");
    must(slipring_rpc_close(rpc, 5 * SECOND));
    must(slipring_rpc_free(rpc));
    return (gone == SLIPRING_TIMEOUT || gone == SLIPRING_REMOTE) && stats.late_replies > 0 && ended_well(server) ? 0 : 1;
}
