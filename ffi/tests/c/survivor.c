/* Who survives whom: `survivor serve ADDRESS` receives from one client after the other until one says goodbye, `survivor flood ADDRESS`
   sends for ever. */
#include "check.h"

static int serve(const char *address)
{
    slipring_listener_t *listener;
    OK(slipring_listener_bind(address, NULL, &listener));
    puts("ready");
    fflush(stdout);
    for (int client = 0;; client++) {
        slipring_bus_t *bus;
        slipring_lease_t *lease;
        slipring_status_t answer;
        int messages = 0;
        OK(slipring_listener_accept_bus(listener, SOON, &bus));
        while ((answer = slipring_bus_recv(bus, SOON, &lease)) == SLIPRING_OK) {
            messages++;
            OK(slipring_lease_release(lease));
        }
        CHECK(answer == SLIPRING_PEER_DIED || answer == SLIPRING_CLOSED);
        OK(slipring_bus_free(bus));
        printf("%s after %d messages, number %d\n", answer == SLIPRING_CLOSED ? "closed" : "died", messages, client);
        fflush(stdout);
        if (answer == SLIPRING_CLOSED) {
            break;
        }
    }
    OK(slipring_listener_free(listener));
    return 0;
}

static void flood(const char *address)
{
    static unsigned char bytes[3000];
    slipring_bus_t *bus;
    OK(slipring_bus_connect(address, NULL, SOON, &bus));
    for (size_t len = 0;; len = (len + 7) % sizeof bytes) {
        fill(bytes, len);
        OK(slipring_bus_send(bus, 1, bytes, len, -1));
    }
}

int main(int count, char **words)
{
    CHECK(count == 3);
    if (words[1][0] == 's') {
        return serve(words[2]);
    }
    flood(words[2]);
    return 1;
}
