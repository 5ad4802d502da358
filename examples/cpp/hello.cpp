// Two processes: one says a few things, the other hears them. make -C examples/cpp run-hello
#include "example.hpp"

static void say(const std::string &name)
{
    auto bus = slipring::Bus::connect(name, soon); // waits for the listener
    bus.send(1, "hello");
    bus.send(1, "from another process");
    bus.send(2, "goodbye");
    bus.close(soon); // stays until everything has been read
}

int main()
{
    const auto name = own_name("hello");
    Process second([&] { say(name); });
    auto bus = slipring::Bus::listen(name, soon);
    int heard = 0;
    // Ends when the peer says goodbye. Had it died, that would be thrown.
    for (slipring::Lease &message : bus) {
        const auto text = message.text();
        std::printf("heard type %u: %.*s\n", message.type_id(), static_cast<int>(text.size()), text.data());
        heard++;
    }
    std::printf("heard %d messages\n", heard);
    return heard == 3 && second.ended_well() ? 0 : 1;
}
