// Two processes that call each other out of each other's handlers: a factorial of which each computes every second step. While a side
// waits for a reply it serves the calls that arrive; how deep that goes is bounded. make -C examples/cpp run-both_sides_call
#include "example.hpp"
#include <cstring>

static constexpr std::uint32_t factorial = 1;

static std::uint64_t ask(slipring::Calls &bus, std::uint64_t n)
{
    const auto reply = bus.request(factorial, {&n, sizeof n}, soon);
    std::uint64_t answer = 0;
    std::memcpy(&answer, reply.data(), sizeof answer);
    return answer;
}

// The handler of both sides: asks the other for the factorial of one less. What it throws becomes the reply.
static void serve(slipring::Request &request)
{
    std::uint64_t n = 0;
    std::memcpy(&n, request.data(), sizeof n);
    const std::uint64_t answer = n <= 1 ? 1 : n * ask(request.bus(), n - 1);
    request.reply(factorial, {&answer, sizeof answer});
}

static void other_side(const std::string &name)
{
    auto rpc = slipring::RpcBus::listen(name, soon);
    rpc.on_request(serve);
    std::error_code end;
    rpc.run(2 * soon, end);
}

int main()
{
    const auto name = own_name("both");
    Process other([&] { other_side(name); });
    // The end that connects serves no calls, unless its config says so or it has a handler.
    auto rpc = slipring::RpcBus::connect(name, soon);
    rpc.on_request(serve);
    const auto twelve = ask(rpc, 12);
    std::printf("12! = %llu\n", static_cast<unsigned long long>(twelve));
    bool refused = false;
    try {
        ask(rpc, 100);
    } catch (const slipring::Error &error) {
        refused = error.status() == SLIPRING_REMOTE;
        std::printf("100! is refused: %s\n", error.what());
    }
    // That cost this call alone.
    const auto five = ask(rpc, 5);
    std::printf("5! = %llu\n", static_cast<unsigned long long>(five));
    rpc.close(soon);
    return twelve == 479001600 && five == 120 && refused && other.ended_well() ? 0 : 1;
}
