/* Prints the sessions of a name, as any process of the same user can. Nobody who is watched notices.
   make -C examples/c run-watch, or, to look at any name, watch NAME. Without one it has something to watch. */
#include "example.h"

enum { CALLS = 10 };

/* What can be seen at one look; answers with how many sessions there were. */
static size_t print(const slipring_observer_t *observer)
{
    slipring_observation_t *seen;
    slipring_totals_t totals;
    slipring_observed_t one;
    slipring_stats_t stats;
    must(slipring_totals_init(&totals));
    must(slipring_observed_init(&one));
    must(slipring_stats_init(&stats));
    must(slipring_observer_look(observer, &seen));
    must(slipring_observation_totals(seen, &totals));
    size_t count = slipring_observation_count(seen);
    printf("%llu sessions, %llu since the listener began\n", (unsigned long long)totals.open,
           (unsigned long long)totals.opened);
    for (size_t index = 0; index < count; index++) {
        must(slipring_observation_session(seen, index, &one));
        must(slipring_observation_stats(seen, index, &stats));
        printf("  session %llu of process %u: %s, %llu frames in, %llu out, asleep %llu times\n",
               (unsigned long long)one.session, one.pid, one.kind == SLIPRING_KIND_RPC ? "calls" : "messages",
               (unsigned long long)stats.frames_received, (unsigned long long)stats.frames_sent,
               (unsigned long long)stats.parks);
        if (one.peer_shows) {
            must(slipring_observation_peer_stats(seen, index, &stats));
            printf("    the client's: %llu frames in, %llu out\n", (unsigned long long)stats.frames_received,
                   (unsigned long long)stats.frames_sent);
        }
    }
    must(slipring_observation_free(seen));
    return count;
}

struct shop {
    slipring_stopper_t *stopper;
    int gone;
};

static void on_request(void *user, uint64_t session, slipring_rpc_t *rpc, slipring_lease_t *request)
{
    (void)user;
    (void)session;
    /* A client that is gone needs no reply. */
    slipring_rpc_reply(rpc, (uint32_t)slipring_lease_correlation_id(request), 0, "!", 1, 0);
}

static void on_end(void *user, uint64_t session, slipring_status_t why)
{
    struct shop *shop = (struct shop *)user;
    (void)session;
    (void)why;
    if (++shop->gone == 2) {
        must(slipring_stopper_stop(shop->stopper));
    }
}

static void serve(const char *name)
{
    slipring_server_t *server;
    struct shop shop = {NULL, 0};
    must(slipring_server_bind(name, NULL, &server));
    must(slipring_server_on_request(server, on_request, NULL));
    must(slipring_server_on_end(server, on_end, &shop));
    must(slipring_server_stopper(server, &shop.stopper));
    must(slipring_server_run(server, 30 * SECOND));
    must(slipring_stopper_free(shop.stopper));
    must(slipring_server_free(server));
}

static int demonstrate(void)
{
    const char *name = own_name("watch");
    pid_t server = start(serve, name);
    slipring_rpc_t *clients[2];
    slipring_observer_t *observer;
    slipring_lease_t *reply;
    for (int client = 0; client < 2; client++) {
        must(slipring_rpc_connect(name, NULL, 5 * SECOND, &clients[client]));
        for (int call = 0; call < CALLS; call++) {
            must(slipring_rpc_request(clients[client], 1, "?", 1, 5 * SECOND, &reply));
            must(slipring_lease_release(reply));
        }
    }
    must(slipring_observer_connect(name, 5 * SECOND, &observer));
    usleep(100000); /* what is seen is what each side wrote down last: it does so before it sleeps */
    size_t seen = print(observer);
    must(slipring_observer_free(observer));
    for (int client = 0; client < 2; client++) {
        must(slipring_rpc_close(clients[client], 5 * SECOND));
        must(slipring_rpc_free(clients[client]));
    }
    return seen == 2 && ended_well(server) ? 0 : 1;
}

int main(int count, char **words)
{
    slipring_observer_t *observer;
    if (count < 2) {
        return demonstrate();
    }
    must(slipring_observer_connect(words[1], 5 * SECOND, &observer));
    print(observer);
    must(slipring_observer_free(observer));
    return 0;
}
