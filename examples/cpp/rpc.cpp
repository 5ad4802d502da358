// Calls from one process to another: a reply by copy, a long one that is read where it was written, many calls at once, an error that
// the server says, one that it throws, and a note that nobody answers. make -C examples/cpp run-rpc
#include "example.hpp"
#include <array>
#include <cstring>
#include <numeric>

static constexpr std::uint32_t square = 1, table = 2, log_it = 3, unknown = 404;

static std::uint64_t number(slipring::Bytes bytes)
{
    std::uint64_t value = 0;
    if (bytes.size() != sizeof value) {
        throw std::invalid_argument("a number has eight bytes");
    }
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}

static slipring::Bytes bytes(const std::uint64_t &value)
{
    return {&value, sizeof value};
}

static void serve(const std::string &name)
{
    auto rpc = slipring::RpcBus::listen(name, soon);
    rpc.on_request([](slipring::Request &request) {
        switch (request.type_id()) {
        case square: {
            const auto n = number(request.bytes());
            request.reply(square, bytes(n * n));
            break;
        }
        case table: { // written where the client will read it
            const auto count = number(request.bytes());
            auto claim = request.bus().claim_reply(request, count * sizeof count);
            std::uint64_t n = 0;
            for (auto &place : claim.room().as<std::uint64_t>()) {
                place = n * n;
                n++;
            }
            claim.commit(table, claim.size());
            break;
        }
        case log_it: std::printf("server %d logs: %s\n", getpid(), std::string(request.text()).c_str()); break;
        default: request.reply_error(unknown, "no such question");
        }
    });
    std::error_code end;
    rpc.run(2 * soon, end);
    if (end != SLIPRING_CLOSED) {
        throw std::system_error(end);
    }
}

int main()
{
    const auto name = own_name("rpc");
    Process server([&] { serve(name); });
    auto rpc = slipring::RpcBus::connect(name, soon);
    // A call and the wait for its reply. The deadline travels: the server sees it, too.
    std::printf("the square of 12 is %llu\n", static_cast<unsigned long long>(number(rpc.request(square, bytes(12), soon).bytes())));

    std::uint64_t sum = 0;
    {
        const auto reply = rpc.request(table, bytes(100000), soon);
        const auto squares = reply.bytes().as<std::uint64_t>();
        sum = std::accumulate(squares.begin(), squares.end(), sum);
        std::printf("%zu bytes of squares, in place; their sum is %llu\n", reply.size(), static_cast<unsigned long long>(sum));
    }

    // Calls are made first and waited for later, in whatever order.
    std::array<std::uint32_t, 10> calls{};
    for (std::size_t n = 0; n < calls.size(); n++) {
        calls[n] = rpc.call(square, bytes(n), soon);
    }
    std::uint64_t squares = 0;
    for (std::size_t n = calls.size(); n-- > 0;) {
        squares += number(rpc.wait(calls[n], soon).bytes());
    }
    std::printf("the sum of ten squares at once: %llu\n", static_cast<unsigned long long>(squares));

    std::uint32_t code = 0;
    try {
        (void)rpc.request(99, {}, soon);
    } catch (const slipring::Error &error) {
        code = error.remote_code();
        std::printf("call 99: %s\n", error.what());
    }
    // The same without exceptions. The server's handler throws, which costs this call alone.
    std::error_code error;
    (void)rpc.request(square, "three", soon, error);
    std::printf("the square of \"three\": %s\n", slipring::last_error().c_str());

    rpc.note(log_it, "that was all", soon);
    rpc.close(soon);
    return sum == 333328333350000 && squares == 285 && code == unknown && error == SLIPRING_REMOTE && server.ended_well() ? 0 : 1;
}
