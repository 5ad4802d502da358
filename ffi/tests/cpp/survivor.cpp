// Who survives whom: `survivor serve ADDRESS` serves calls of one client after the other until one says goodbye, `survivor flood ADDRESS`
// sends for ever.
#include "check.hpp"

static void serve(const char *address)
{
    auto listener = slipring::Listener::bind(address);
    std::puts("ready");
    std::fflush(stdout);
    std::error_code end;
    for (int client = 0; end != SLIPRING_CLOSED; client++) {
        auto rpc = listener.accept_rpc(soon);
        int served = 0;
        rpc.on_request([&](slipring::Request &request) {
            served++;
            request.reply(request.type_id(), request.bytes());
        });
        rpc.run(soon, end);
        CHECK(end == SLIPRING_PEER_DIED || end == SLIPRING_CLOSED);
        std::printf("%s after %d calls, number %d\n", end == SLIPRING_CLOSED ? "closed" : "died", served, client);
        std::fflush(stdout);
    }
}

static void flood(const char *address)
{
    auto bus = slipring::Bus::connect(address, soon);
    for (std::size_t len = 0;; len = (len + 7) % 3000) {
        bus.send(1, payload(len));
    }
}

int main(int count, char **words)
{
    CHECK(count == 3);
    if (std::string(words[1]) == "serve") {
        serve(words[2]);
        return 0;
    }
    flood(words[2]);
}
