/* Payloads written where they will be read, and messages that are looked at together. make -C examples/c run-zero_copy */
#include "example.h"

enum { BLOCKS = 200, BLOCK = 64 * 1024, SMALL = 1000 };

static void produce(const char *name)
{
    slipring_bus_t *bus;
    slipring_claim_t *claim;
    must(slipring_bus_connect(name, NULL, 5 * SECOND, &bus));
    for (int block = 0; block < BLOCKS; block++) {
        must(slipring_bus_claim(bus, BLOCK, 5 * SECOND, &claim));
        memset(slipring_claim_data(claim), block & 0xff, BLOCK);
        must(slipring_claim_commit(claim, 1, BLOCK));
    }
    for (uint32_t number = 0; number < SMALL; number++) { /* shown in groups */
        must(slipring_bus_send_later(bus, 2, &number, sizeof number, 5 * SECOND));
    }
    must(slipring_bus_close(bus, 5 * SECOND));
    must(slipring_bus_free(bus));
}

struct seen {
    uint32_t small;
    size_t bytes;
    int wrong;
};

/* As many messages as were there, all readable until this returns. */
static void look(void *user, const slipring_frame_t *frames, size_t count)
{
    struct seen *seen = (struct seen *)user;
    for (size_t index = 0; index < count; index++) {
        const slipring_frame_t *frame = &frames[index];
        if (frame->type_id == 1) {
            const unsigned char *block = (const unsigned char *)frame->data;
            seen->wrong += block[0] != block[BLOCK - 1];
            seen->bytes += frame->len;
        } else {
            uint32_t number;
            memcpy(&number, frame->data, sizeof number);
            seen->wrong += number != seen->small++;
        }
    }
}

int main(void)
{
    const char *name = own_name("zero-copy");
    pid_t producer = start(produce, name);
    slipring_bus_t *bus;
    struct seen seen = {0, 0, 0};
    size_t count;
    must(slipring_bus_listen(name, NULL, 5 * SECOND, &bus));
    while (slipring_bus_drain(bus, 64, 5 * SECOND, look, &seen, &count) == SLIPRING_OK) {
    }
    printf("%zu bytes read in place, then %u small messages in batches\n", seen.bytes, (unsigned)seen.small);
    must(slipring_bus_free(bus));
    return seen.wrong == 0 && seen.small == SMALL && ended_well(producer) ? 0 : 1;
}
