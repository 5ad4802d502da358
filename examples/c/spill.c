/* A reader that keeps everything it gets, and a sender that may have 8 MiB of memory: the rest goes to a directory.
   make -C examples/c run-spill */
#include "example.h"

enum { LEN = 3 << 20, MESSAGES = 12 };

static void send_all(const char *name)
{
    static unsigned char message[LEN];
    char place[] = "/tmp/slipring-spill-XXXXXX";
    slipring_config_t config;
    slipring_bus_t *bus;
    if (mkdtemp(place) == NULL) {
        exit(1);
    }
    must(slipring_config_init(&config));
    config.memory_limit = 8 << 20;
    config.spill_dir = place;
    must(slipring_bus_connect(name, &config, 5 * SECOND, &bus));
    for (int number = 0; number < MESSAGES; number++) {
        memset(message, number, LEN);
        must(slipring_bus_send(bus, (uint32_t)number, message, LEN, 20 * SECOND));
    }
    must(slipring_bus_close(bus, 20 * SECOND));
    must(slipring_bus_free(bus));
    /* The files in it never had names, so nothing is left to be removed but the directory. */
    if (rmdir(place) != 0) {
        exit(1);
    }
}

static int is_whole(slipring_lease_t *lease, int number)
{
    const unsigned char *bytes = (const unsigned char *)slipring_lease_data(lease);
    for (size_t at = 0; at < LEN; at++) {
        if (bytes[at] != number) {
            return 0;
        }
    }
    return slipring_lease_len(lease) == LEN;
}

int main(void)
{
    const char *name = own_name("spill");
    pid_t sender = start(send_all, name);
    slipring_bus_t *bus;
    slipring_lease_t *kept[MESSAGES + 1];
    slipring_status_t end = SLIPRING_OK;
    int count = 0, whole = 0;
    must(slipring_bus_listen(name, NULL, 5 * SECOND, &bus));
    while (count <= MESSAGES && (end = slipring_bus_recv(bus, 20 * SECOND, &kept[count])) == SLIPRING_OK) {
        must(slipring_lease_keep(kept[count++]));
    }
    must(slipring_bus_free(bus));
    for (int number = 0; number < count; number++) {
        whole += is_whole(kept[number], number);
        must(slipring_lease_release(kept[number]));
    }
    printf("%d messages of 3 MiB are kept, %d of them whole, though the sender had 8 MiB of memory\n", count, whole);
    return end == SLIPRING_CLOSED && whole == MESSAGES && ended_well(sender) ? 0 : 1;
}
