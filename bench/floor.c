/* The floors F, W and B once more, in C: a check that src/floor.rs is as fast as the machine itself.
 *
 * Two processes share one page of raw memory. F is a round trip of one 64-byte line each way, spun on; W the same
 * between two sleepers that wake each other by eventfd and poll; B a rate, blocks filled by one side and summed by the
 * other over two alternating blocks. Prints one JSON object a floor, with the keys of slipring-bench.
 *
 *   cc -O3 -o floor-twin bench/floor.c && slipring-bench floor --twin ./floor-twin
 */
#define _GNU_SOURCE
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD = 32, BACK = 128, PLACE = 256, PLACES = 4096, BLOCKS_AT = 2 * PLACE * PLACES + 4096, F_TRIPS = 50000, W_TRIPS = 250,
       LONGEST = 1 << 24 };
static const uint64_t STEP = 0x9E3779B97F4A7C15u; /* as in src/payload.rs */

static unsigned char *page;
static int bells[2];
static size_t len = 65536;
static double seconds = 2;
static int cpus[2] = {-1, -1};
/* How often each time was seen, by nanoseconds: of F and of W. The last stands for all that is longer. */
static uint32_t *seen[2];

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Two words a vector and two vectors a turn, which is what the Rust compiler makes of the plain loop. */
typedef uint64_t vector __attribute__((vector_size(16)));

static void fill(unsigned char *bytes, size_t count, uint64_t value) {
    vector low = {value, value + STEP}, high = {value + 2 * STEP, value + 3 * STEP};
    size_t at = 0;
    for (; at + 32 <= count; at += 32, low += 4 * STEP, high += 4 * STEP) {
        memcpy(bytes + at, &low, 16);
        memcpy(bytes + at + 16, &high, 16);
    }
    for (value = low[0]; at + 8 <= count; at += 8, value += STEP) memcpy(bytes + at, &value, 8);
    if (count % 8) memcpy(bytes + at, &value, count % 8);
}

static uint64_t sum(const unsigned char *bytes, size_t count) {
    vector low = {0}, high = {0}, read;
    uint64_t tail = 0, word;
    size_t at = 0;
    for (; at + 32 <= count; at += 32) {
        memcpy(&read, bytes + at, 16);
        low += read;
        memcpy(&read, bytes + at + 16, 16);
        high += read;
    }
    for (; at + 8 <= count; at += 8, tail += word) memcpy(&word, bytes + at, 8);
    word = 0;
    if (count % 8) memcpy(&word, bytes + at, count % 8);
    low += high;
    return low[0] + low[1] + tail + word;
}

static uint64_t expected(uint64_t seed, size_t count) {
    uint64_t words = count / 8, last = seed + STEP * words;
    uint64_t steps = words % 2 ? (words - 1) / 2 * words : words / 2 * (words - 1);
    return words * seed + STEP * steps + (last & (((uint64_t)1 << count % 8 * 8) - 1));
}

static void check(uint64_t found, uint64_t right) {
    if (found != right) { fputs("floor-twin: a message is lost or damaged\n", stderr); exit(3); }
}

static _Atomic uint64_t *word(size_t at) { return (_Atomic uint64_t *)(page + at); }

static void reach(size_t at, uint64_t turn) {
    while (atomic_load_explicit(word(at), memory_order_acquire) < turn) {}
}

static void put(size_t at, int bell, uint64_t turn, uint64_t seed) {
    uint64_t one = 1;
    fill(page + at + 8, PAYLOAD, seed);
    atomic_store_explicit(word(at), turn, memory_order_release);
    if (bell >= 0 && write(bell, &one, 8) != 8) exit(1);
}

static uint64_t get(size_t at, int bell, uint64_t turn) {
    uint64_t count;
    struct pollfd sleep = {.fd = bell, .events = POLLIN};
    if (bell >= 0 && (poll(&sleep, 1, -1) != 1 || read(bell, &count, 8) != 8)) exit(1);
    reach(at, turn);
    return sum(page + at + 8, PAYLOAD);
}

/* A block of round trips at one place, by the asking side (0) or the answering side (1). */
static void trips(int side, uint64_t *turn, long count, int sleeps) {
    static size_t places[2];
    size_t at = (places[sleeps]++ * 81 % PLACES + (sleeps ? PLACES : 0)) * PLACE; /* some pages on each time */
    int there = sleeps ? bells[0] : -1, back = sleeps ? bells[1] : -1;
    for (long i = 0; i < count; i++) {
        uint64_t seed = ++*turn, begin, found;
        if (side) {
            found = get(at, there, seed);
            put(at + BACK, back, seed, found);
            check(found, expected(seed, PAYLOAD));
        } else {
            begin = now();
            put(at, there, seed, seed);
            found = get(at + BACK, back, seed);
            uint64_t time = now() - begin;
            seen[sleeps][time < LONGEST ? time : LONGEST - 1]++;
            check(found, expected(expected(seed, PAYLOAD), PAYLOAD));
        }
    }
}

/* A block of blocks: side 1 fills, side 0 sums and answers the time they took after the first. */
static uint64_t blocks(int side, uint64_t *turn, long count) {
    size_t filled = 2 * PLACES * PLACE, drained = filled + BACK, stride = (len + 63) / 64 * 64;
    uint64_t begin = 0;
    for (long i = 0; i < count; i++) {
        uint64_t seed = ++*turn, found;
        unsigned char *block = page + BLOCKS_AT + seed % 2 * stride;
        if (side) {
            reach(drained, seed < 2 ? 0 : seed - 2);
            fill(block, len, seed);
            atomic_store_explicit(word(filled), seed, memory_order_release);
        } else {
            reach(filled, seed);
            found = sum(block, len);
            atomic_store_explicit(word(drained), seed, memory_order_release);
            check(found, expected(seed, len));
            if (i == 0) begin = now();
        }
    }
    return side ? 0 : now() - begin;
}

static unsigned long percentile(const uint32_t *times, double rank) {
    long time = 0;
    for (double left = rank; time < LONGEST - 1 && (left -= times[time]) > 0; time++) {}
    return time;
}

static void row(const char *name, size_t payload, long count, const uint32_t *times, double rate) {
    printf("{\"work\":\"floor\",\"system\":\"%s\",\"payload\":%zu,\"wait\":null,\"api\":null,", name, payload);
    printf("\"backend\":null,\"trust\":null,\"gap_ns\":null,\"clients\":null,\"samples\":%ld", count);
    const char *keys[] = {"p50_ns", "p90_ns", "p99_ns", "p999_ns", "p9999_ns", "max_ns"};
    const double at[] = {0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    for (int i = 0; i < 6; i++) {
        if (times) printf(",\"%s\":%lu", keys[i], percentile(times, count * at[i]));
        else printf(",\"%s\":null", keys[i]);
    }
    if (times) printf(",\"msgs_per_s\":null,\"bytes_per_s\":null");
    else printf(",\"msgs_per_s\":%f,\"bytes_per_s\":%f", rate, rate * payload);
    printf(",\"floor\":null,\"floor_p50_ns\":null,\"floor_p99_ns\":null,\"cpu_s\":null,\"wakeups\":null,");
    printf("\"rss_bytes\":null,\"pss_bytes\":null,\"slowest_share\":null,\"verified\":true,");
    if (cpus[0] < 0) printf("\"cpus\":null,");
    else printf("\"cpus\":\"%d,%d\",", cpus[0], cpus[1]);
    puts("\"steal_pct\":null,\"commit\":null}");
}

static void work(int side, long rounds, long per_block) {
    uint64_t turns[3] = {0}, took = 0;
    for (long round = 0; round <= rounds; round++) { /* the first warms up */
        trips(side, &turns[0], F_TRIPS, 0);
        trips(side, &turns[1], W_TRIPS, 1);
        uint64_t time = blocks(side, &turns[2], per_block);
        took += round ? time : 0;
        for (int i = 0; i < 2 && !round; i++) memset(seen[i], 0, LONGEST * sizeof *seen[i]);
    }
    if (side) return;
    row("floor-F", PAYLOAD, rounds * F_TRIPS, seen[0], 0);
    row("floor-W", PAYLOAD, rounds * W_TRIPS, seen[1], 0);
    row("floor-B", len, rounds * (per_block - 1), NULL, rounds * (per_block - 1) * 1e9 / took);
}

static void pin(int cpu) {
    cpu_set_t set;
    if (cpu < 0) return;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set)) { perror("floor-twin: pin"); exit(1); }
}

int main(int argc, char **argv) {
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--payload")) len = strtoul(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--seconds")) seconds = atof(argv[i + 1]);
        else if (strcmp(argv[i], "--cpus") || sscanf(argv[i + 1], "%d,%d", &cpus[0], &cpus[1]) != 2) return 2;
    }
    if (argc % 2 == 0 || len < 8 || !(seconds > 0)) return 2;
    /* A round holds about 20 ms of each floor. */
    long rounds = seconds / 0.02 < 1 ? 1 : seconds / 0.02, per_block = 200000000 / (len + 500);
    if (per_block < 8) per_block = 8;
    page = mmap(NULL, BLOCKS_AT + 2 * (len + 64), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 2; i++) seen[i] = malloc(LONGEST * sizeof *seen[i]);
    bells[0] = eventfd(0, EFD_CLOEXEC);
    bells[1] = eventfd(0, EFD_CLOEXEC);
    if (page == MAP_FAILED || !seen[0] || !seen[1] || bells[0] < 0 || bells[1] < 0) { perror("floor-twin"); return 1; }
    pid_t child = fork();
    if (child < 0) { perror("floor-twin: fork"); return 1; }
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pin(cpus[1]);
        work(1, rounds, per_block);
        _exit(0);
    }
    alarm(30 + (unsigned)(seconds * 30)); /* the watchdog */
    pin(cpus[0]);
    work(0, rounds, per_block);
    int status;
    return waitpid(child, &status, 0) == child && status == 0 ? 0 : 4;
}
