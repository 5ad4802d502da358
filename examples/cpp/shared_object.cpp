// A table of 16 MiB that is made once and read by four processes, where it is. make -C examples/cpp run-shared_object
#include "example.hpp"
#include <numeric>
#include <vector>

static constexpr std::size_t numbers = 2 << 20, readers = 4;

static void read_table(const std::string &name)
{
    auto rpc = slipring::RpcBus::connect(name, soon);
    // The first reply hands a descriptor over, the second a number. The bytes stay where they are.
    const auto first = rpc.request(1, {}, soon).shared(0), second = rpc.request(1, {}, soon).shared(0);
    const auto table = second.bytes().as<std::uint64_t>();
    const auto sum = std::accumulate(table.begin(), table.end(), std::uint64_t{0});
    if (first.id() != second.id() || table.size() != numbers || sum != numbers * (numbers - 1) / 2) {
        throw std::runtime_error("a wrong table");
    }
    rpc.close(soon);
}

int main()
{
    const auto name = own_name("shared-object");
    std::vector<Process> processes;
    for (std::size_t reader = 0; reader < readers; reader++) {
        processes.emplace_back([&] { read_table(name); });
    }
    auto builder = slipring::SharedBuilder::build(numbers * sizeof(std::uint64_t));
    const auto room = builder.room().as<std::uint64_t>();
    std::iota(room.begin(), room.end(), std::uint64_t{0});
    const auto table = builder.seal(); // from here on nobody can change it

    auto listener = slipring::Listener::bind(name);
    for (std::size_t reader = 0; reader < readers; reader++) {
        auto rpc = listener.accept_rpc(soon);
        rpc.on_request([&](slipring::Request &request) { request.bus().reply_shared(request, 1, "the table", table); });
        std::error_code end;
        rpc.run(soon, end);
        if (end != SLIPRING_CLOSED) {
            throw std::system_error(end);
        }
    }
    bool well = true;
    for (auto &process : processes) {
        well &= process.ended_well();
    }
    std::printf("%zu processes read %zu numbers each, of which there was one copy\n", readers, numbers);
    return well ? 0 : 1;
}
