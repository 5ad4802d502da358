/* One end of a session whose other end is another program, of whatever language: `pair send|receive|call|serve ADDRESS [BYTES]`. Payloads
   of all lengths, at most BYTES long, are sent and checked byte by byte. */
#include "check.h"

static size_t most = SIZE_MAX;

static void send_all(const char *address)
{
    slipring_bus_t *bus;
    OK(slipring_bus_connect(address, NULL, SOON, &bus));
    for (size_t index = 0; index < COUNT && LENGTHS[index] <= most; index++) {
        size_t len = LENGTHS[index];
        slipring_claim_t *claim;
        void *copy = malloc(len + 1);
        CHECK(copy != NULL);
        fill(copy, len);
        slipring_slice_t parts[2] = {{copy, len / 3}, {(char *)copy + len / 3, len - len / 3}};
        OK(slipring_bus_send(bus, (uint32_t)index, copy, len, SOON));
        OK(slipring_bus_sendv(bus, (uint32_t)index, parts, 2, SOON));
        OK(slipring_bus_claim(bus, len, SOON, &claim));
        fill(slipring_claim_data(claim), len);
        OK(slipring_claim_commit(claim, (uint32_t)index, len));
        free(copy);
    }
    OK(slipring_bus_close(bus, SOON));
    OK(slipring_bus_free(bus));
}

static void receive_all(const char *address)
{
    slipring_bus_t *bus;
    slipring_lease_t *lease;
    OK(slipring_bus_listen(address, NULL, SOON, &bus));
    for (size_t index = 0; index < COUNT && LENGTHS[index] <= most; index++) {
        for (int kind = 0; kind < 3; kind++) {
            OK(slipring_bus_recv(bus, SOON, &lease));
            CHECK(slipring_lease_type_id(lease) == index && slipring_lease_len(lease) == LENGTHS[index]);
            if (kind == 1) {
                OK(slipring_lease_keep(lease));
            }
            CHECK(is_whole(slipring_lease_data(lease), LENGTHS[index]));
            OK(slipring_lease_release(lease));
        }
    }
    ANSWERS(SLIPRING_CLOSED, slipring_bus_recv(bus, SOON, &lease));
    OK(slipring_bus_free(bus));
}

static void call_all(const char *address)
{
    slipring_rpc_t *rpc;
    OK(slipring_rpc_connect(address, NULL, SOON, &rpc));
    for (size_t index = 0; index < COUNT && LENGTHS[index] <= most; index++) {
        size_t len = LENGTHS[index];
        slipring_lease_t *reply;
        slipring_claim_t *claim;
        uint32_t id;
        void *copy = malloc(len + 1);
        CHECK(copy != NULL);
        fill(copy, len);
        OK(slipring_rpc_request(rpc, (uint32_t)index, copy, len, SOON, &reply));
        CHECK(slipring_lease_len(reply) == len && is_whole(slipring_lease_data(reply), len));
        CHECK(slipring_lease_type_id(reply) == index + 1);
        OK(slipring_lease_release(reply));
        OK(slipring_rpc_claim_request(rpc, len, SOON, &claim));
        fill(slipring_claim_data(claim), len);
        OK(slipring_claim_commit_call(claim, (uint32_t)index, len, &id));
        OK(slipring_rpc_wait(rpc, id, SOON, &reply));
        CHECK(slipring_lease_correlation_id(reply) == id);
        SAYS(SLIPRING_INVALID_ARGUMENT, "held by a lease", slipring_rpc_wait(rpc, id, 0, &reply));
        OK(slipring_lease_keep(reply));
        CHECK(slipring_lease_len(reply) == len && is_whole(slipring_lease_data(reply), len));
        OK(slipring_lease_release(reply));
        free(copy);
    }
    OK(slipring_rpc_close(rpc, SOON));
    OK(slipring_rpc_free(rpc));
}

static void serve_all(const char *address)
{
    slipring_rpc_t *rpc;
    slipring_lease_t *request;
    slipring_status_t answer;
    int claims = 0;
    OK(slipring_rpc_listen(address, NULL, SOON, &rpc));
    while ((answer = slipring_rpc_serve(rpc, SOON, &request)) == SLIPRING_OK) {
        uint32_t id = (uint32_t)slipring_lease_correlation_id(request);
        uint32_t type_id = slipring_lease_type_id(request) + 1;
        size_t len = slipring_lease_len(request);
        const void *data = slipring_lease_data(request);
        CHECK(is_whole(data, len));
        if (claims) {
            slipring_claim_t *claim;
            OK(slipring_rpc_claim_reply(rpc, id, len, &claim));
            memcpy(slipring_claim_data(claim), data, len);
            OK(slipring_claim_commit(claim, type_id, len));
        } else {
            OK(slipring_rpc_reply(rpc, id, type_id, data, len, SOON));
        }
        CHECK(slipring_lease_data(request) == NULL);
        SAYS(SLIPRING_INVALID_ARGUMENT, "no request", slipring_rpc_reply(rpc, id, 0, NULL, 0, 0));
        OK(slipring_lease_release(request));
        claims = !claims;
    }
    ANSWERS(SLIPRING_CLOSED, answer);
    OK(slipring_rpc_free(rpc));
}

int main(int count, char **words)
{
    CHECK(count >= 3);
    if (count > 3) {
        most = (size_t)strtoull(words[3], NULL, 10);
    }
    switch (words[1][0]) {
    case 's': words[1][2] == 'n' ? send_all(words[2]) : serve_all(words[2]); break;
    case 'r': receive_all(words[2]); break;
    default: call_all(words[2]);
    }
    puts("done");
    return 0;
}
