/* Calls: one after the other, many under way, and one that is answered with an error. make -C examples/c run-request_reply */
#include "example.h"

enum { SQUARE = 1, MANY = 20 };

static void serve(const char *name)
{
    slipring_rpc_t *rpc;
    slipring_lease_t *request;
    must(slipring_rpc_listen(name, NULL, 5 * SECOND, &rpc));
    while (slipring_rpc_serve(rpc, 5 * SECOND, &request) == SLIPRING_OK) {
        uint32_t id = (uint32_t)slipring_lease_correlation_id(request);
        int64_t number;
        if (slipring_lease_type_id(request) == SQUARE && slipring_lease_len(request) == sizeof number) {
            memcpy(&number, slipring_lease_data(request), sizeof number);
            number *= number;
            must(slipring_rpc_reply(rpc, id, SQUARE, &number, sizeof number, 0));
        } else {
            must(slipring_rpc_reply_error(rpc, id, 404, "no such question"));
        }
        must(slipring_lease_release(request));
    }
    must(slipring_rpc_free(rpc));
}

static int64_t number_of(slipring_lease_t *reply)
{
    int64_t number;
    memcpy(&number, slipring_lease_data(reply), sizeof number);
    must(slipring_lease_release(reply));
    return number;
}

int main(void)
{
    const char *name = own_name("request-reply");
    pid_t server = start(serve, name);
    slipring_rpc_t *rpc;
    slipring_lease_t *reply;
    uint32_t calls[MANY];
    int64_t number = 12, sum = 0;
    char why[256];
    must(slipring_rpc_connect(name, NULL, 5 * SECOND, &rpc));
    must(slipring_rpc_request(rpc, SQUARE, &number, sizeof number, 5 * SECOND, &reply));
    printf("the square of 12 is %lld\n", (long long)number_of(reply));

    for (number = 0; number < MANY; number++) { /* all under way before the first reply is taken */
        must(slipring_rpc_call(rpc, SQUARE, &number, sizeof number, 5 * SECOND, &calls[number]));
    }
    for (int call = MANY; call-- > 0;) { /* and taken in any order */
        must(slipring_rpc_wait(rpc, calls[call], 5 * SECOND, &reply));
        sum += number_of(reply);
    }
    printf("the sum of the first %d squares is %lld\n", MANY, (long long)sum);

    if (slipring_rpc_request(rpc, 7, NULL, 0, 5 * SECOND, &reply) != SLIPRING_REMOTE) {
        return 1;
    }
    slipring_last_error(why, sizeof why);
    printf("%s\n", why);
    must(slipring_rpc_close(rpc, 5 * SECOND));
    must(slipring_rpc_free(rpc));
    return sum == 2470 && ended_well(server) ? 0 : 1;
}
