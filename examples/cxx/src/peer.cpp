// The C++ half of the program: the ends of slipring as cxx hands them over. Boxes free what they hold, slices lead to the memory in which
// payloads stand, and what fails throws rust::Error.
#include "slipring-examples-cxx/src/peer.h"
#include "slipring-cxx/src/lib.rs.h"
#include <algorithm>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <string>

namespace slip = slipring::cxx;

constexpr std::int64_t second = 1000000000, soon = 10 * second;

static rust::Slice<const std::uint8_t> bytes(const std::string &text)
{
    return {reinterpret_cast<const std::uint8_t *>(text.data()), text.size()};
}

// A call that fails throws; what it was about stands beside it.
template <typename F>
static void must_fail(slip::Status status, F call)
{
    try {
        call();
    } catch (const rust::Error &error) {
        if (slip::last_status() == status) {
            return;
        }
        throw;
    }
    throw std::logic_error("what should have failed has not");
}

void peer::send_messages(rust::Str name)
{
    auto bus = slip::connect_bus(name, soon, slip::Options{});
    bus->send(1, bytes("hello from C++"), soon);

    // Written where the peer will read it; the bus is free meanwhile.
    auto claim = bus->claim(1 << 20, soon);
    auto room = claim->room();
    std::iota(room.begin(), room.end(), std::uint8_t{0});
    bus->send_claim(2, *claim, room.size());

    // Made once, for any number of readers.
    auto builder = slip::build_shared(4096, soon);
    auto table = builder->room();
    std::fill(table.begin(), table.end(), std::uint8_t{7});
    const auto shared = builder->seal();
    bus->send_shared(3, bytes("a table"), *shared, soon);

    must_fail(slip::Status::InvalidArgument, [&] { bus->send_claim(4, *claim, 1); }); // it was sent before
    must_fail(slip::Status::NotFound, [&] { slip::connect_bus("nobody-is-here", 0, slip::Options{}); });
    bus->close(soon);
    must_fail(slip::Status::UseAfterClose, [&] { bus->send(1, bytes("too late"), soon); });
}

std::uint32_t peer::serve_calls(rust::Str name)
{
    auto rpc = slip::listen_rpc(name, soon, slip::Options{});
    std::uint32_t served = 0;
    must_fail(slip::Status::InvalidArgument, [&] { rpc->more(-2); });
    while (rpc->more(soon)) {
        const auto request = rpc->serve(soon);
        const auto payload = request->bytes();
        if (request->type_id() == 1) { // the sum of the bytes
            const std::uint64_t sum = std::accumulate(payload.begin(), payload.end(), std::uint64_t{0});
            auto claim = rpc->claim(sizeof sum, soon);
            std::memcpy(claim->room().data(), &sum, sizeof sum);
            rpc->reply_claim(request->id(), 1, *claim, sizeof sum);
        } else {
            rpc->reply_error(request->id(), 404, "no such question");
        }
        served++;
    }
    return served;
}
