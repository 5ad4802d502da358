// One thread serves many clients, by a handler. make -C examples/cpp run-many_clients
#include "example.hpp"
#include <cstring>
#include <vector>

static constexpr int clients = 20, calls = 100;

static void buy(const std::string &name)
{
    auto rpc = slipring::RpcBus::connect(name, soon);
    for (int call = 0; call < calls; call++) {
        const auto reply = rpc.request(1, {&call, sizeof call}, soon);
        if (std::memcmp(reply.data(), &call, sizeof call) != 0) {
            throw std::runtime_error("a wrong reply");
        }
    }
    rpc.close(soon);
}

int main()
{
    const auto name = own_name("many-clients");
    std::vector<Process> processes;
    for (int client = 0; client < clients; client++) {
        processes.emplace_back([&] { buy(name); });
    }
    auto server = slipring::Server::bind(name);
    const auto stopper = server.stopper();
    int served = 0, gone = 0;
    server.on_request([&](slipring::Request &request) {
        served++;
        request.reply(1, request.bytes());
    });
    server.on_end([&](std::uint64_t, slipring_status_t) {
        if (++gone == clients) {
            stopper.stop();
        }
    });
    server.run(3 * soon);
    bool well = true;
    for (auto &process : processes) {
        well &= process.ended_well();
    }
    std::printf("%d calls of %d clients served by one thread\n", served, gone);
    return well && served == clients * calls ? 0 : 1;
}
