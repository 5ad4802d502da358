/* An array of 64 MiB that two threads fill where another process will read it, beside messages of any other length.
   make -C examples/c run-large_block */
#include "example.h"
#include <pthread.h>

enum { NUMBERS = 8 << 20, MESSAGE = 1, ARRAY = 2 };

struct half {
    uint64_t *numbers;
    uint64_t first;
};

static void *compute_half(void *argument)
{
    const struct half *half = (const struct half *)argument;
    for (uint64_t index = 0; index < NUMBERS / 2; index++) {
        half->numbers[index] = (half->first + index) * (half->first + index);
    }
    return NULL;
}

static void compute(const char *name)
{
    static const size_t LENGTHS[] = {0, 1, 100, 10000, 1 << 20};
    static unsigned char message[1 << 20];
    slipring_bus_t *bus;
    slipring_claim_t *array;
    pthread_t threads[2];
    must(slipring_bus_connect(name, NULL, 5 * SECOND, &bus));
    /* The claim is ours: it goes to other threads, and the bus is free meanwhile. */
    must(slipring_bus_claim_owned(bus, NUMBERS * sizeof(uint64_t), 20 * SECOND, &array));
    uint64_t *numbers = (uint64_t *)slipring_claim_data(array);
    struct half halves[2] = {{numbers, 0}, {numbers + NUMBERS / 2, NUMBERS / 2}};
    for (int half = 0; half < 2; half++) {
        if (pthread_create(&threads[half], NULL, compute_half, &halves[half]) != 0) {
            exit(1);
        }
    }
    for (size_t at = 0; at < sizeof LENGTHS / sizeof LENGTHS[0]; at++) { /* from nothing to a mebibyte by the same call */
        must(slipring_bus_send(bus, MESSAGE, message, LENGTHS[at], 20 * SECOND));
    }
    for (int half = 0; half < 2; half++) {
        pthread_join(threads[half], NULL);
    }
    must(slipring_bus_send_owned(bus, ARRAY, array, NUMBERS * sizeof(uint64_t)));
    must(slipring_bus_close(bus, 20 * SECOND));
    must(slipring_bus_free(bus));
}

int main(void)
{
    const char *name = own_name("large-block");
    pid_t other = start(compute, name);
    slipring_bus_t *bus;
    slipring_lease_t *lease;
    slipring_status_t end;
    uint64_t sum = 0, expected = 0;
    int messages = 0;
    must(slipring_bus_listen(name, NULL, 5 * SECOND, &bus));
    while ((end = slipring_bus_recv(bus, 20 * SECOND, &lease)) == SLIPRING_OK) {
        if (slipring_lease_type_id(lease) == ARRAY) {
            /* These are the pages that the other process wrote. */
            const uint64_t *numbers = (const uint64_t *)slipring_lease_data(lease);
            for (size_t index = 0; index < slipring_lease_len(lease) / sizeof *numbers; index++) {
                sum += numbers[index];
            }
        } else {
            messages++;
        }
        must(slipring_lease_release(lease));
    }
    for (uint64_t number = 0; number < NUMBERS; number++) {
        expected += number * number;
    }
    printf("%d messages, and 64 MiB written by two threads and read in place, whose sum is %s\n", messages,
           sum == expected ? "right" : "wrong");
    must(slipring_bus_free(bus));
    return end == SLIPRING_CLOSED && messages == 5 && sum == expected && ended_well(other) ? 0 : 1;
}
