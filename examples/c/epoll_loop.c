/* A session in an event loop of one's own, beside a timer. make -C examples/c run-epoll_loop */
#include "example.h"
#include <sys/epoll.h>
#include <sys/timerfd.h>

enum { MESSAGES = 50 };

static void send_some(const char *name)
{
    slipring_bus_t *bus;
    must(slipring_bus_connect(name, NULL, 5 * SECOND, &bus));
    for (int number = 0; number < MESSAGES; number++) {
        must(slipring_bus_send(bus, 1, &number, sizeof number, 5 * SECOND));
        usleep(1000);
    }
    must(slipring_bus_close(bus, 5 * SECOND));
    must(slipring_bus_free(bus));
}

/* Takes all that is there. The answer EMPTY arms the descriptor; another one is the end. */
static slipring_status_t take_all(slipring_bus_t *bus, int *taken)
{
    slipring_lease_t *lease;
    slipring_status_t answer;
    while ((answer = slipring_bus_recv(bus, 0, &lease)) == SLIPRING_OK) {
        must(slipring_lease_release(lease));
        (*taken)++;
    }
    return answer;
}

int main(void)
{
    const char *name = own_name("epoll-loop");
    pid_t sender = start(send_some, name);
    slipring_bus_t *bus;
    slipring_status_t answer;
    int fd, taken = 0, ticks = 0;
    must(slipring_bus_listen(name, NULL, 5 * SECOND, &bus));
    must(slipring_bus_fd(bus, &fd));

    int loop = epoll_create1(EPOLL_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct itimerspec every_10_ms = {{0, 10000000}, {0, 10000000}};
    struct epoll_event of_bus = {.events = EPOLLIN, .data = {.fd = fd}}, of_timer = {.events = EPOLLIN, .data = {.fd = timer}};
    if (timerfd_settime(timer, 0, &every_10_ms, NULL) != 0 || epoll_ctl(loop, EPOLL_CTL_ADD, fd, &of_bus) != 0 ||
        epoll_ctl(loop, EPOLL_CTL_ADD, timer, &of_timer) != 0) {
        return 1;
    }
    answer = take_all(bus, &taken); /* right after adding it */
    while (answer == SLIPRING_EMPTY) {
        struct epoll_event event;
        uint64_t passed;
        if (epoll_wait(loop, &event, 1, 5000) != 1) {
            return 1;
        }
        if (event.data.fd == fd) {
            answer = take_all(bus, &taken);
        } else if (read(timer, &passed, sizeof passed) == sizeof passed) {
            ticks += (int)passed;
        }
    }
    printf("%d messages beside %d ticks; then: %s\n", taken, ticks, slipring_strerror(answer));
    close(timer);
    close(loop);
    must(slipring_bus_free(bus));
    return answer == SLIPRING_CLOSED && taken == MESSAGES && ended_well(sender) ? 0 : 1;
}
