/* A message allocates nothing: `count ADDRESS`. This program's malloc stands before the library's. */
#include "check.h"

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

static unsigned long allocations;

void *malloc(size_t len) { allocations++; return __libc_malloc(len); }
void *calloc(size_t count, size_t len) { allocations++; return __libc_calloc(count, len); }
void *realloc(void *place, size_t len) { allocations++; return __libc_realloc(place, len); }
void free(void *place) { __libc_free(place); }

static void message(slipring_bus_t *sends, slipring_bus_t *receives)
{
    slipring_claim_t *claim;
    slipring_lease_t *lease, *stale;
    OK(slipring_bus_send(sends, 1, "copied", 6, 0));
    OK(slipring_bus_claim(sends, 7, 0, &claim));
    memcpy(slipring_claim_data(claim), "claimed", 7);
    OK(slipring_claim_commit(claim, 2, 7));
    OK(slipring_bus_recv(receives, 0, &stale));
    OK(slipring_bus_recv(receives, 0, &lease));
    CHECK(slipring_lease_len(lease) == 7);
    OK(slipring_lease_release(lease));
    OK(slipring_lease_release(stale));
    ANSWERS(SLIPRING_EMPTY, slipring_bus_recv(receives, 0, &lease));
}

static void call(slipring_rpc_t *calls, slipring_rpc_t *serves)
{
    slipring_lease_t *lease;
    uint32_t id;
    OK(slipring_rpc_call(calls, 1, "question", 8, 0, &id));
    OK(slipring_rpc_serve(serves, 0, &lease));
    OK(slipring_rpc_reply(serves, (uint32_t)slipring_lease_correlation_id(lease), 2, "answer", 6, 0));
    OK(slipring_lease_release(lease));
    OK(slipring_rpc_wait(calls, id, 0, &lease));
    OK(slipring_lease_release(lease));
}

int main(int count, char **words)
{
    slipring_bus_t *sends, *receives;
    slipring_rpc_t *calls, *serves;
    CHECK(count == 2);
    bus_pair(words[1], &sends, &receives);
    rpc_pair(words[1], &calls, &serves);
    for (int round = 0; round < 1000; round++) {
        message(sends, receives);
        call(calls, serves);
    }
    unsigned long before = allocations;
    CHECK(before > 0);
    for (int round = 0; round < 10000; round++) {
        message(sends, receives);
        call(calls, serves);
    }
    unsigned long after = allocations; /* printing allocates, too */
    printf("%lu allocations in 20000 messages and 10000 calls\n", after - before);
    CHECK(after == before);
    OK(slipring_bus_free(sends));
    OK(slipring_bus_free(receives));
    OK(slipring_rpc_free(calls));
    OK(slipring_rpc_free(serves));
    puts("done");
    return 0;
}
