/* Two processes: one says a few things, the other hears them. make -C examples/c run-hello */
#include "example.h"

static void say(const char *name)
{
    slipring_bus_t *bus;
    must(slipring_bus_connect(name, NULL, 5 * SECOND, &bus)); /* waits for the listener */
    must(slipring_bus_send(bus, 1, "hello", 5, -1));
    must(slipring_bus_send(bus, 1, "from another process", 20, -1));
    must(slipring_bus_send(bus, 2, "goodbye", 7, -1));
    must(slipring_bus_close(bus, 5 * SECOND)); /* stays until everything has been read */
    must(slipring_bus_free(bus));
}

int main(void)
{
    const char *name = own_name("hello");
    pid_t second = start(say, name);
    slipring_bus_t *bus;
    slipring_lease_t *lease;
    slipring_status_t end;
    int heard = 0;
    must(slipring_bus_listen(name, NULL, 5 * SECOND, &bus));
    while ((end = slipring_bus_recv(bus, 5 * SECOND, &lease)) == SLIPRING_OK) {
        printf("heard type %u: %.*s\n", (unsigned)slipring_lease_type_id(lease), (int)slipring_lease_len(lease),
               (const char *)slipring_lease_data(lease));
        must(slipring_lease_release(lease));
        heard++;
    }
    /* A peer that says goodbye is told from one that dies. */
    printf("heard %d messages; then: %s\n", heard, slipring_strerror(end));
    must(slipring_bus_free(bus));
    return end == SLIPRING_CLOSED && heard == 3 && ended_well(second) ? 0 : 1;
}
