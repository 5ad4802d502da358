/* Two processes that call each other out of each other's handlers: a factorial of which each computes every second step. While a
   side waits for a reply it serves the calls that arrive, so nobody locks anybody up; and how deep that goes is bounded, so nobody
   runs out of stack. make -C examples/c run-both_sides_call */
#include "example.h"

enum { FACTORIAL = 1, TOO_DEEP = 1 };

static slipring_status_t ask(slipring_rpc_t *rpc, uint64_t n, uint64_t *factorial)
{
    slipring_lease_t *reply;
    slipring_status_t status = slipring_rpc_request(rpc, FACTORIAL, &n, sizeof n, 5 * SECOND, &reply);
    if (status == SLIPRING_OK) {
        memcpy(factorial, slipring_lease_data(reply), sizeof *factorial);
        must(slipring_lease_release(reply));
    }
    return status;
}

/* The handler of both sides: asks the other for the factorial of one less. */
static void serve(void *user, uint64_t session, slipring_rpc_t *rpc, slipring_lease_t *request)
{
    uint32_t id = (uint32_t)slipring_lease_correlation_id(request);
    uint64_t n, below = 1;
    (void)user;
    (void)session;
    memcpy(&n, slipring_lease_data(request), sizeof n);
    if (n > 1 && ask(rpc, n - 1, &below) != SLIPRING_OK) {
        must(slipring_rpc_reply_error(rpc, id, TOO_DEEP, "calls are nested too deeply"));
        return;
    }
    n *= below;
    must(slipring_rpc_reply(rpc, id, FACTORIAL, &n, sizeof n, 0));
}

static void second(const char *name)
{
    slipring_rpc_t *rpc;
    must(slipring_rpc_listen(name, NULL, 5 * SECOND, &rpc));
    must(slipring_rpc_on_request(rpc, serve, NULL));
    if (slipring_rpc_run(rpc, 10 * SECOND) != SLIPRING_CLOSED) {
        exit(1);
    }
    must(slipring_rpc_free(rpc));
}

int main(void)
{
    const char *name = own_name("both");
    pid_t other = start(second, name);
    slipring_rpc_t *rpc;
    uint64_t twelve, five, none;
    char why[256];
    /* The end that connects serves no calls, unless its config says so or it has a handler. */
    must(slipring_rpc_connect(name, NULL, 5 * SECOND, &rpc));
    must(slipring_rpc_on_request(rpc, serve, NULL));
    must(ask(rpc, 12, &twelve));
    printf("12! = %llu, by 6 calls to the other and 5 from it\n", (unsigned long long)twelve);
    if (ask(rpc, 100, &none) != SLIPRING_REMOTE || slipring_remote_code() != TOO_DEEP) {
        return 1;
    }
    slipring_last_error(why, sizeof why);
    printf("100! is refused: %s\n", why);
    must(ask(rpc, 5, &five)); /* that cost the other call alone */
    printf("5! = %llu\n", (unsigned long long)five);
    must(slipring_rpc_close(rpc, 5 * SECOND));
    must(slipring_rpc_free(rpc));
    return twelve == 479001600 && five == 120 && ended_well(other) ? 0 : 1;
}
