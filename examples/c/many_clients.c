/* One thread serves many clients, by a callback. make -C examples/c run-many_clients */
#include "example.h"

enum { CLIENTS = 20, CALLS = 100 };

struct shop {
    slipring_stopper_t *stopper;
    uint64_t served;
    int gone;
};

static void on_request(void *user, uint64_t session, slipring_rpc_t *rpc, slipring_lease_t *request)
{
    struct shop *shop = (struct shop *)user;
    (void)session;
    shop->served++;
    /* A client that is gone needs no reply. */
    slipring_rpc_reply(rpc, (uint32_t)slipring_lease_correlation_id(request), 0, slipring_lease_data(request),
                       slipring_lease_len(request), 0);
}

static void on_end(void *user, uint64_t session, slipring_status_t why)
{
    struct shop *shop = (struct shop *)user;
    (void)session;
    (void)why;
    if (++shop->gone == CLIENTS) {
        must(slipring_stopper_stop(shop->stopper));
    }
}

static void buy(const char *name)
{
    slipring_rpc_t *rpc;
    slipring_lease_t *reply;
    must(slipring_rpc_connect(name, NULL, 5 * SECOND, &rpc));
    for (int call = 0; call < CALLS; call++) {
        must(slipring_rpc_request(rpc, 1, &call, sizeof call, 5 * SECOND, &reply));
        must(slipring_lease_release(reply));
    }
    must(slipring_rpc_free(rpc));
}

int main(void)
{
    const char *name = own_name("many-clients");
    pid_t clients[CLIENTS];
    slipring_server_t *server;
    struct shop shop = {NULL, 0, 0};
    int well = 1;
    for (int client = 0; client < CLIENTS; client++) {
        clients[client] = start(buy, name);
    }
    must(slipring_server_bind(name, NULL, &server));
    must(slipring_server_on_request(server, on_request, &shop));
    must(slipring_server_on_end(server, on_end, &shop));
    must(slipring_server_stopper(server, &shop.stopper));
    must(slipring_server_run(server, 30 * SECOND));
    for (int client = 0; client < CLIENTS; client++) {
        well &= ended_well(clients[client]);
    }
    printf("%llu calls of %d clients served by one thread\n", (unsigned long long)shop.served, shop.gone);
    must(slipring_stopper_free(shop.stopper));
    must(slipring_server_free(server));
    return well && shop.served == CLIENTS * CALLS ? 0 : 1;
}
