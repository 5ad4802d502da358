/* What the C programs of the tests share: a check that says where it failed, payloads, and both ends of a session in one process. */
#ifndef CHECK_H
#define CHECK_H

#include <pthread.h>
#include <slipring/slipring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)
#define SOON (100 * SECOND) /* the watchdog of whoever runs this is sooner where something hangs */

#define CHECK(what)                                                                          \
    do {                                                                                     \
        if (!(what)) {                                                                       \
            fail(__FILE__, __LINE__, #what);                                                 \
        }                                                                                    \
    } while (0)

/* That a call answers with a status, and that the text of a failure has some words in it. */
#define ANSWERS(status, call) check_status(__FILE__, __LINE__, #call, (status), NULL, (call))
#define SAYS(status, words, call) check_status(__FILE__, __LINE__, #call, (status), (words), (call))
#define OK(call) ANSWERS(SLIPRING_OK, call)

static inline void fail(const char *file, int line, const char *what)
{
    char text[512];
    slipring_last_error(text, sizeof text);
    fprintf(stderr, "%s:%d: %s (last error: %s)\n", file, line, what, text);
    exit(1);
}

static inline void check_status(const char *file, int line, const char *call, slipring_status_t status,
                                const char *words, slipring_status_t answer)
{
    char text[512];
    if (answer != status) {
        fprintf(stderr, "%s:%d: %s answered %d (%s) instead of %d\n", file, line, call, (int)answer,
                slipring_strerror(answer), (int)status);
        fail(file, line, call);
    }
    if (words != NULL) {
        CHECK(slipring_last_error(text, sizeof text) > 0);
        if (strstr(text, words) == NULL) {
            fprintf(stderr, "%s:%d: no \"%s\" in \"%s\"\n", file, line, words, text);
            exit(1);
        }
    }
}

/* A program whose test was aborted does not outlive it for long. */
__attribute__((constructor)) static void end_some_time(void)
{
    alarm(230);
}

/* Lengths at which something changes: a line, the inline limit, a page, a region. */
static const size_t LENGTHS[] = {0, 1, 47, 48, 49, 1023, 1024, 1025, 4096, 65536, 1048576, 5000001, 67108864};
#define COUNT (sizeof LENGTHS / sizeof LENGTHS[0])

static inline unsigned char byte_at(size_t index, size_t len)
{
    return (unsigned char)((index * 31 + (index >> 8) + len) & 0xff);
}

static inline void fill(void *place, size_t len)
{
    unsigned char *bytes = (unsigned char *)place;
    for (size_t index = 0; index < len; index++) {
        bytes[index] = byte_at(index, len);
    }
}

static inline int is_whole(const void *place, size_t len)
{
    const unsigned char *bytes = (const unsigned char *)place;
    for (size_t index = 0; index < len; index++) {
        if (bytes[index] != byte_at(index, len)) {
            return 0;
        }
    }
    return 1;
}

struct joining {
    const char *address;
    slipring_bus_t *bus;
    slipring_rpc_t *rpc;
};

static inline void *join_bus(void *argument)
{
    struct joining *joining = (struct joining *)argument;
    OK(slipring_bus_connect(joining->address, NULL, SOON, &joining->bus));
    return NULL;
}

static inline void *join_rpc(void *argument)
{
    struct joining *joining = (struct joining *)argument;
    OK(slipring_rpc_connect(joining->address, NULL, SOON, &joining->rpc));
    return NULL;
}

static inline void bus_pair(const char *address, slipring_bus_t **sends, slipring_bus_t **receives)
{
    struct joining joining = {address, NULL, NULL};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, join_bus, &joining) == 0);
    OK(slipring_bus_listen(address, NULL, SOON, receives));
    CHECK(pthread_join(thread, NULL) == 0);
    *sends = joining.bus;
}

static inline void rpc_pair(const char *address, slipring_rpc_t **calls, slipring_rpc_t **serves)
{
    struct joining joining = {address, NULL, NULL};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, join_rpc, &joining) == 0);
    OK(slipring_rpc_listen(address, NULL, SOON, serves));
    CHECK(pthread_join(thread, NULL) == 0);
    *calls = joining.rpc;
}

#endif
