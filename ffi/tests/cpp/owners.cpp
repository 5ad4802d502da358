// slipring.hpp as a program uses it: owners, errors by exception and by code, claims, loops: `owners ADDRESS`.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <slipring/slipring.hpp>
#include <slipring/slipring.hpp>
#include <thread>

using namespace std::chrono_literals;

static void check(bool is, const char *what)
{
    if (!is) {
        std::fprintf(stderr, "%s (last error: %s)\n", what, slipring::last_error().c_str());
        std::exit(1);
    }
}
#define CHECK(what) check((what), #what)

static void messages(const std::string &address)
{
    std::thread sender([&] {
        auto bus = slipring::Bus::connect(address, 100s);
        bus.send(1, "hello");
        bus.send(2, std::array<int, 2>{4, 5});
        auto claim = bus.claim(8);
        std::memcpy(claim.data(), "claimed!", 8);
        std::error_code error;
        claim.commit(3, 9, error);
        CHECK(error == slipring::code_of(SLIPRING_INVALID_ARGUMENT) && claim);
        claim.commit(3, 7);
        CHECK(!claim);
        auto builder = slipring::SharedBuilder::build(5000);
        std::memset(builder.data(), 7, 5000);
        auto shared = builder.seal();
        CHECK(!builder && shared.size() == 5000);
        bus.send_shared(4, {}, shared);
        (void)bus.claim(3); // dropped, and so aborted
        CHECK(bus.try_send(5, std::string(3000, 'x')));
        bus.close(100s);
    });
    slipring::Config config;
    config.wait = SLIPRING_WAIT_PARK;
    auto bus = slipring::Bus::listen(address, 100s, config);
    slipring::Lease kept;
    slipring::SharedBuffer object;
    std::uint32_t seen = 0;
    for (slipring::Lease &message : bus) {
        CHECK(message.type_id() == ++seen);
        switch (seen) {
        case 1: CHECK(message.text() == "hello"); break;
        case 2: CHECK(message.size() == 2 * sizeof(int)); break;
        case 3: CHECK(message.text() == "claimed"); break;
        case 4: object = message.shared(0); break;
        default:
            message.keep();
            kept = std::move(message);
        }
    }
    sender.join();
    std::error_code error;
    CHECK(!bus.recv(1s, error) && error == slipring::code_of(SLIPRING_CLOSED));
    CHECK(bus.stats().frames_received == 5);
    bus = slipring::Bus();
    CHECK(seen == 5 && kept.text() == std::string(3000, 'x') && object.clone().data()[4999] == std::byte{7});
}

static void calls(const std::string &address)
{
    std::thread server([&] {
        auto rpc = slipring::RpcBus::listen(address, 100s);
        std::error_code error;
        for (;;) {
            auto request = rpc.serve(100s, error);
            if (error) {
                break;
            }
            if (request.type_id() == 9) {
                rpc.reply_error(request, 42, "no");
            } else {
                rpc.reply(request, 1, request.bytes());
            }
        }
        CHECK(error == slipring::code_of(SLIPRING_CLOSED));
    });
    auto rpc = slipring::RpcBus::connect(address, 100s);
    CHECK(rpc.request(1, "echo", 100s).text() == "echo");
    auto claim = rpc.claim_request(4);
    std::memcpy(claim.data(), "more", 4);
    const auto id = claim.commit_call(1, 4);
    CHECK(rpc.wait(id, 100s).text() == "more");
    try {
        (void)rpc.request(9, {}, 100s);
        CHECK(false);
    } catch (const slipring::Error &error) {
        CHECK(error.status() == SLIPRING_REMOTE && error.remote_code() == 42);
        CHECK(std::string(error.what()).find("no") != std::string::npos);
    }
    rpc.close(100s);
    server.join();
}

static void many(const std::string &address)
{
    auto listener = slipring::Listener::bind(address);
    auto poller = slipring::Poller::make();
    poller.add(listener, 1);
    std::thread sender([&] { slipring::Bus::connect(address, 100s).send(7, "polled"); });
    slipring::Bus bus;
    std::vector<std::uint64_t> ready;
    for (bool got = false; !got;) {
        poller.wait(ready, 100s);
        for (const auto token : ready) {
            if (token == 1 && !bus) {
                try {
                    bus = listener.accept_bus(0ns);
                    poller.add(bus, 2);
                } catch (const slipring::Error &error) {
                    CHECK(error.status() == SLIPRING_EMPTY);
                }
            } else if (token == 2) {
                const auto message = bus.try_recv();
                got = message && message->text() == "polled";
            }
        }
    }
    sender.join();
    poller.remove(bus);
    poller.remove(listener);
}

int main(int count, char **words)
{
    CHECK(count == 2);
    messages(words[1]);
    calls(words[1]);
    many(words[1]);
    try {
        (void)slipring::Bus::connect(words[1]);
        CHECK(false);
    } catch (const std::system_error &error) {
        CHECK(error.code() == slipring::code_of(SLIPRING_NOT_FOUND));
    }
    std::puts("done");
}
