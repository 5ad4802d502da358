// A server that is killed in the middle, and a client that finds out, waits for the next server, and goes on.
// make -C examples/cpp run-peer_restart
#include "example.hpp"

static constexpr int messages = 5;

static void serve(const std::string &name)
{
    auto bus = slipring::Bus::listen(name, soon);
    int seen = 0;
    for (slipring::Lease &message : bus) {
        std::printf("server %d: has %d of %d messages (%s)\n", getpid(), ++seen, messages, std::string(message.text()).c_str());
        std::fflush(stdout);
    }
    if (seen != messages) {
        throw std::runtime_error("a message is missing");
    }
}

static void send_all(slipring::Bus &bus)
{
    for (int number = 0; number < messages; number++) {
        bus.send(0, "number " + std::to_string(number));
    }
}

int main()
{
    const auto name = own_name("restart");
    Process first([&] { serve(name); });
    auto bus = slipring::Bus::connect(name, soon);
    send_all(bus);
    usleep(50000);

    std::printf("client: kills the server (SIGKILL)\n");
    first.kill();
    std::error_code died;
    while (!died) {
        // What is sent to a dead peer goes nowhere; within about a millisecond the call says so.
        bus.send(0, "is anybody there?", soon, died);
    }
    std::printf("client: %s\n", died.message().c_str());

    // Nothing of the first stands in the way of the second, which takes the same name; the client waits until it has.
    bus = slipring::Bus();
    Process second([&] { serve(name); });
    bus = slipring::Bus::connect(name, soon);
    send_all(bus);
    bus.close(soon);
    const bool well = second.ended_well();
    std::printf("client: everything was read by the second server\n");
    return died == SLIPRING_PEER_DIED && well ? 0 : 1;
}
