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

    try {
        bus->send_claim(4, *claim, 1);
        throw std::logic_error("a claim was sent twice");
    } catch (const rust::Error &) {
        if (slip::last_status() != slip::Status::InvalidArgument) {
            throw;
        }
    }
    bus->close(soon);
}

std::uint32_t peer::serve_calls(rust::Str name)
{
    auto rpc = slip::listen_rpc(name, soon, slip::Options{});
    std::uint32_t served = 0;
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
