// Calls that are given up: by cancel(), which the handler can see, and by a deadline, which travels with the call. A reply still comes;
// where nobody waits for it any more it is counted and dropped. make -C examples/cpp run-cancel
#include "example.hpp"
#include <thread>

static constexpr std::uint32_t search = 1, ping = 2, stopped = 1;

// Looks for something in many small steps, and for news of its caller between two.
static void look_for(slipring::Request &request)
{
    for (int step = 1; step <= 5000; step++) {
        std::this_thread::sleep_for(1ms);
        // Takes in what has come, and serves it by the same handler: that is how a cancel is seen.
        request.bus().run_some(1);
        const auto deadline = request.deadline();
        if (deadline.cancelled || deadline.left == 0ns) {
            std::printf("server: %s; it stops the search\n", deadline.cancelled ? "cancelled" : "too late");
            // The one reply that is due, though nobody waits for it.
            request.reply_error(stopped, "after " + std::to_string(step) + " steps");
            return;
        }
    }
    request.reply(search, "found");
}

static void serve(const std::string &name)
{
    auto rpc = slipring::RpcBus::listen(name, soon);
    rpc.on_request([](slipring::Request &request) {
        if (request.type_id() == search) {
            look_for(request);
        } else {
            request.reply(ping, {});
        }
    });
    std::error_code end;
    rpc.run(2 * soon, end);
}

// Other calls go on meanwhile. A call that was given up keeps its place until its reply has come.
static void until_all_have_answered(slipring::RpcBus &rpc)
{
    while (rpc.in_flight() > 0) {
        (void)rpc.request(ping, {}, soon);
    }
}

int main()
{
    const auto name = own_name("cancel");
    Process server([&] { serve(name); });
    auto rpc = slipring::RpcBus::connect(name, soon);
    std::error_code error;

    // A wait that ends leaves the call in flight; it can be waited for again, or cancelled.
    const auto id = rpc.call(search, "a needle");
    (void)rpc.wait(id, 50ms, error);
    std::printf("client: %s; cancels the search\n", error.message().c_str());
    const bool waited = error == SLIPRING_TIMEOUT;
    rpc.cancel(id);
    until_all_have_answered(rpc);

    // With a deadline the server need not be told: it knows, and may even say so before we notice.
    (void)rpc.request(search, "a pin", 50ms, error);
    std::printf("client: %s\n", error.message().c_str());
    const bool gone = error == SLIPRING_TIMEOUT || error == SLIPRING_REMOTE;
    until_all_have_answered(rpc);

    const auto late = rpc.stats().late_replies;
    std::printf("client: no call is left in flight; replies that came too late: %llu\n", static_cast<unsigned long long>(late));
    rpc.close(soon);
    return waited && gone && late >= 1 && server.ended_well() ? 0 : 1;
}
