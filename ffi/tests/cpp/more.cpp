// What owners.cpp leaves out of slipring.hpp: handlers and what they throw, batches, owned claims, shared objects, servers, notifiers,
// error codes, and what is asked of owners that are empty: `more ADDRESS`.
#include "check.hpp"
#include <array>
#include <cstring>
#include <functional>
#include <thread>

// Owners move, and are not copied.
template <typename... T>
inline constexpr bool only_move =
    ((!std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T> && std::is_nothrow_move_constructible_v<T> &&
      std::is_nothrow_move_assignable_v<T> && std::is_nothrow_default_constructible_v<T>) && ...);
static_assert(only_move<slipring::Bus, slipring::RpcBus, slipring::Lease, slipring::Claim, slipring::SharedBuffer, slipring::SharedBuilder,
                        slipring::Listener, slipring::Poller, slipring::Notifier, slipring::Server, slipring::Stopper>);

// Both ends of a session, in two threads.
template <typename First, typename Second>
static void both(First first, Second second)
{
    std::thread other(second);
    first();
    other.join();
}

static void batches(const std::string &address)
{
    const auto send = [&] {
        auto bus = slipring::Bus::connect(address, soon);
        std::error_code error;
        bus.send_later(1, "one", soon);
        bus.send_later(2, "two", soon, error);
        CHECK(!error);
        auto claim = bus.claim(5);
        std::memcpy(claim.data(), "three", 5);
        claim.commit_later(3, 5);
        bus.flush();
        auto owned = bus.claim_owned(3000, soon);
        fill(owned.room());
        bus.send_owned(4, owned, 3001, error);
        CHECK(error == SLIPRING_INVALID_ARGUMENT && owned && error == std::errc::invalid_argument);
        bus.send_owned(4, owned, 3000);
        CHECK(!owned);
        const std::vector<slipring::Part> parts = {std::string_view("fi"), std::string_view("ve")};
        bus.sendv(5, slipring::Span<const slipring::Part>(parts.data(), parts.size()), soon, error);
        CHECK(!error && bus.try_claim(100, error) && !error);
        bus.close(soon, error);
        CHECK(!error);
    };
    const auto receive = [&] {
        auto bus = slipring::Bus::listen(address, soon);
        std::vector<std::uint32_t> seen;
        while (seen.size() < 2) {
            bus.poll(1, soon, [&](slipring::Frame frame) { seen.push_back(frame.type_id()); });
        }
        while (seen.size() < 4) {
            bus.drain(4 - seen.size(), soon, [&](slipring::Frames frames) {
                for (const auto frame : frames) {
                    seen.push_back(frame.type_id());
                    CHECK(frame.type_id() == 3 ? frame.text() == "three" : is_whole(frame.bytes(), 3000));
                }
            });
        }
        CHECK((seen == std::vector<std::uint32_t>{1, 2, 3, 4}));
        try {
            bus.poll(1, soon, [](slipring::Frame frame) { throw std::runtime_error(std::string(frame.text())); });
            CHECK(false);
        } catch (const std::runtime_error &thrown) {
            CHECK(thrown.what() == std::string("five"));
        }
        std::error_code error;
        CHECK(bus.poll(1, soon, [](slipring::Frame) {}, error) == 0 && error == SLIPRING_CLOSED);
        CHECK(bus.state() == SLIPRING_STATE_CLOSED && bus.fd() >= 0 && bus.capabilities() != 0);
    };
    both(receive, send);
}

static void handlers(const std::string &address)
{
    const auto serve = [&] {
        auto rpc = slipring::RpcBus::listen(address, soon);
        slipring::Lease kept;
        rpc.on_request([&kept](slipring::Request &request) {
            switch (request.type_id()) {
            case 1: request.reply(1, request.bytes()); break;
            case 2: throw std::runtime_error("no number two");
            case 3: throw 3;
            case 4: request.reply_error(44, "four"); break;
            case 6: request.bus().reply(request, 6, request.bus().request(1, "asked back", soon).bytes()); break;
            case 7: {
                CHECK(request.deadline().left > 0s && !request.deadline().cancelled);
                kept = request.keep();
                CHECK(request.bytes().empty() && request.type_id() == 7);
                request.reply(7, kept.bytes());
                break;
            }
            default: break; // no reply
            }
        });
        std::error_code error;
        rpc.run(soon, error);
        CHECK(error == SLIPRING_CLOSED && kept.text() == "kept");
    };
    const auto call = [&] {
        auto rpc = slipring::RpcBus::connect(address, soon);
        rpc.on_request([](slipring::Request &request) { request.reply(0, request.bytes()); });
        const auto fails = [&](std::uint32_t type_id, const char *text) {
            std::error_code error;
            const auto reply = rpc.request(type_id, {}, soon, error);
            CHECK(!reply && error == SLIPRING_REMOTE && slipring::last_error().find(text) != std::string::npos);
            return slipring_remote_code();
        };
        CHECK(fails(2, "no number two") == slipring::handler_threw);
        CHECK(fails(3, "no std::exception") == slipring::handler_threw);
        CHECK(fails(4, "four") == 44);
        CHECK(fails(5, "") >= 0x80000000);
        CHECK(rpc.request(6, {}, soon).text() == "asked back");
        CHECK(rpc.request(7, "kept", soon).text() == "kept");
        auto owned = rpc.claim_owned(5000, soon);
        fill(owned.room());
        const auto id = rpc.call_owned(1, owned, 5000, soon);
        CHECK(is_whole(rpc.wait(id, soon).bytes(), 5000));
        CHECK(rpc.in_flight() == 0 && rpc.run_some(1) == 0);
        rpc.note(1, "noted");
        rpc.cancel(rpc.call(1, "never mind"));
        rpc.close(soon);
    };
    both(call, serve);
}

static void objects(const std::string &address)
{
    auto builder = slipring::SharedBuilder::build(8000);
    for (auto &number : builder.room().as<std::uint64_t>()) {
        number = 7;
    }
    const auto table = builder.seal();
    CHECK(builder.size() == 0 && builder.room().empty() && table.clone().id() == table.id());
    const auto index = slipring::SharedBuffer::attach(table.fd(), table.size());
    const auto send = [&] {
        auto bus = slipring::Bus::connect(address, soon);
        bus.send_shared(1, "both", {table, index}, soon);
        const std::vector<slipring::SharedBuffer> none;
        std::error_code error;
        std::vector<slipring::SharedBuffer> nine;
        while (nine.size() < 9) {
            nine.push_back(table.clone());
        }
        bus.send_shared(1, {}, slipring::Span<const slipring::SharedBuffer>(nine.data(), nine.size()), soon, error);
        CHECK(error == SLIPRING_INVALID_ARGUMENT);
        bus.close(soon);
    };
    const auto receive = [&] {
        auto bus = slipring::Bus::listen(address, soon);
        const auto message = bus.recv(soon);
        CHECK(message.shared_count() == 2 && message.shared(1).bytes().as<std::uint64_t>()[999] == 7);
        std::error_code error;
        CHECK(!message.shared(2, error) && error == SLIPRING_INVALID_ARGUMENT);
    };
    both(receive, send);
}

static void servers(const std::string &address)
{
    auto server = slipring::Server::bind(address);
    CHECK(server.address().find(address) != std::string::npos && server.sessions() == 0);
    const auto stopper = server.stopper();
    // Moved with its handlers.
    int served = 0;
    server.on_request([&](slipring::Request &request) {
        served++;
        CHECK(request.session() != 0);
        request.reply(1, request.bytes());
    });
    server.on_end([&](std::uint64_t, slipring_status_t why) {
        CHECK(why == SLIPRING_CLOSED);
        stopper.stop();
    });
    auto moved = std::move(server);
    CHECK(!server && moved);
    both([&] { moved.run(soon); },
         [&] {
             auto rpc = slipring::RpcBus::connect(address, soon);
             const auto id = rpc.call(1, "served", soon);
             auto reply = rpc.try_wait(id);
             while (!reply) {
                 reply = rpc.try_wait(id);
             }
             CHECK(reply->text() == "served");
         });
    CHECK(served == 1);

    auto poller = slipring::Poller::make();
    const auto notifier = poller.notifier();
    std::array<std::uint64_t, 4> tokens{};
    notifier.notify();
    CHECK(poller.wait({tokens.data(), tokens.size()}, soon) == 0 && poller.fd() >= 0);
}

static void nothing_there(const std::string &address)
{
    std::error_code error;
    slipring::Bus bus;
    slipring::RpcBus rpc;
    slipring::Lease lease;
    CHECK(!bus && !bus.recv(0ns, error) && error == SLIPRING_INVALID_ARGUMENT);
    CHECK(!rpc && rpc.call(1, {}, 0ns, error) == 0 && error == SLIPRING_INVALID_ARGUMENT);
    CHECK(lease.data() == nullptr && lease.bytes().empty() && lease.text().empty());
    CHECK(!slipring::Bus::connect(address, 0ns, error) && error == SLIPRING_NOT_FOUND);
    CHECK(!slipring::Bus::connect(address + std::string(1, '\0') + "x", 0ns, error) && error == SLIPRING_INVALID_ARGUMENT);
    CHECK(!slipring::Bus::connect(nullptr, 0ns, error) && error == SLIPRING_INVALID_ARGUMENT);
    slipring::Config config;
    config.capacity = 3;
    CHECK(!slipring::Listener::bind(address, config, error) && error && error.category() == slipring::category());
    CHECK(std::error_code(SLIPRING_TIMEOUT) == std::errc::timed_out && std::error_code(SLIPRING_TIMEOUT).message() != "");
    CHECK(slipring::version() == std::string("0.1.0") && slipring::memory_taken() < UINT64_MAX);
    // A lease whose bus is gone says so.
    both([&] {
        auto receiving = slipring::Bus::listen(address, soon);
        lease = receiving.recv(soon);
    }, [&] { slipring::Bus::connect(address, soon).send(1, "gone"); });
    CHECK(lease && lease.data() == nullptr && lease.text().empty());
    lease.keep(error);
    CHECK(error == SLIPRING_OVER);
}

#if __cplusplus >= 202002L
static void spans()
{
    const std::array<int, 3> numbers{1, 2, 3};
    const slipring::Bytes bytes = std::span(numbers);
    const std::span<const std::byte> seen = bytes;
    CHECK(seen.size() == sizeof numbers && std::span<const int>(bytes.as<int>())[2] == 3);
}
#endif

int main(int count, char **words)
{
    CHECK(count == 2);
    batches(words[1]);
    handlers(words[1]);
    objects(words[1]);
    servers(words[1]);
    nothing_there(words[1]);
#if __cplusplus >= 202002L
    spans();
#endif
    std::puts("done");
}
