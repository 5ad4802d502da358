/* A server that is killed in the middle, and a client that finds out, waits for the next server, and goes on.
   make -C examples/c run-peer_restart */
#include "example.h"
#include <signal.h>

enum { MESSAGES = 5 };

static void serve(const char *name)
{
    slipring_bus_t *bus;
    slipring_lease_t *lease;
    slipring_status_t end;
    int got = 0;
    must(slipring_bus_listen(name, NULL, 5 * SECOND, &bus));
    while ((end = slipring_bus_recv(bus, 5 * SECOND, &lease)) == SLIPRING_OK) {
        got++;
        must(slipring_lease_release(lease));
    }
    must(slipring_bus_free(bus));
    exit(end == SLIPRING_CLOSED && got == MESSAGES ? 0 : 1);
}

static void send_all(slipring_bus_t *bus)
{
    for (int number = 0; number < MESSAGES; number++) {
        must(slipring_bus_send(bus, 0, &number, sizeof number, 5 * SECOND));
    }
}

int main(void)
{
    const char *name = own_name("restart");
    pid_t first = start(serve, name), second;
    slipring_bus_t *bus;
    slipring_status_t died;
    must(slipring_bus_connect(name, NULL, 5 * SECOND, &bus));
    send_all(bus);
    printf("client: kills the server (SIGKILL)\n");
    kill(first, SIGKILL);
    do { /* what is sent to a dead peer goes nowhere; within about a millisecond the call says so */
        died = slipring_bus_send(bus, 0, "is anybody there?", 17, 5 * SECOND);
    } while (died == SLIPRING_OK);
    printf("client: %s\n", slipring_strerror(died));
    must(slipring_bus_free(bus));
    waitpid(first, NULL, 0);

    /* Nothing of the first stands in the way of the second, which takes the same name; the client waits until it has. */
    second = start(serve, name);
    must(slipring_bus_connect(name, NULL, 5 * SECOND, &bus));
    send_all(bus);
    must(slipring_bus_close(bus, 5 * SECOND));
    must(slipring_bus_free(bus));
    if (died != SLIPRING_PEER_DIED || !ended_well(second)) {
        return 1;
    }
    printf("client: everything was read by the second server\n");
    return 0;
}
