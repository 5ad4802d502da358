/* Messages that are kept past the end of the session, and looked at by another thread. make -C examples/c run-keep */
#include "example.h"
#include <pthread.h>

enum { PICTURES = 10, BYTES = 100000 };

static void send_pictures(const char *name)
{
    slipring_bus_t *bus;
    static unsigned char picture[BYTES];
    must(slipring_bus_connect(name, NULL, 5 * SECOND, &bus));
    for (int number = 0; number < PICTURES; number++) {
        memset(picture, number, BYTES);
        must(slipring_bus_send(bus, (uint32_t)number, picture, BYTES, 5 * SECOND));
    }
    must(slipring_bus_close(bus, 5 * SECOND));
    must(slipring_bus_free(bus));
}

/* What is kept belongs to whoever has it. */
static void *look(void *argument)
{
    slipring_lease_t **kept = (slipring_lease_t **)argument;
    size_t bytes = 0;
    for (int number = 0; number < PICTURES; number++) {
        const unsigned char *picture = (const unsigned char *)slipring_lease_data(kept[number]);
        for (size_t index = 0; index < slipring_lease_len(kept[number]); index++) {
            bytes += picture[index] == number;
        }
        must(slipring_lease_release(kept[number]));
    }
    printf("another thread looked at %zu bytes, after the session had ended\n", bytes);
    return (void *)(size_t)(bytes == (size_t)PICTURES * BYTES);
}

int main(void)
{
    const char *name = own_name("keep");
    pid_t sender = start(send_pictures, name);
    slipring_bus_t *bus;
    slipring_lease_t *kept[PICTURES];
    pthread_t thread;
    void *all_there;
    must(slipring_bus_listen(name, NULL, 5 * SECOND, &bus));
    for (int number = 0; number < PICTURES; number++) {
        must(slipring_bus_recv(bus, 5 * SECOND, &kept[number]));
        must(slipring_lease_keep(kept[number]));
    }
    must(slipring_bus_free(bus));
    if (pthread_create(&thread, NULL, look, kept) != 0 || pthread_join(thread, &all_there) != 0) {
        return 1;
    }
    return all_there != NULL && ended_well(sender) ? 0 : 1;
}
