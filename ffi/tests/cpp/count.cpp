// A message allocates nothing through the owners either: `count ADDRESS`. This program's operator new and malloc stand before the
// library's.
#include "check.hpp"
#include <cstring>
#include <thread>

extern "C" {
void *__libc_malloc(std::size_t);
void *__libc_calloc(std::size_t, std::size_t);
void *__libc_realloc(void *, std::size_t);

static unsigned long allocations;

void *malloc(std::size_t len)
{
    allocations++;
    return __libc_malloc(len);
}
void *calloc(std::size_t count, std::size_t len)
{
    allocations++;
    return __libc_calloc(count, len);
}
void *realloc(void *place, std::size_t len)
{
    allocations++;
    return __libc_realloc(place, len);
}
}

static void messages(slipring::Bus &sends, slipring::Bus &receives)
{
    std::error_code error;
    sends.send(1, "copied", 0ns, error);
    sends.sendv(2, {std::string_view("in "), std::string_view("parts")}, 0ns);
    auto claim = sends.claim(7, 0ns);
    std::memcpy(claim.data(), "claimed", 7);
    claim.commit(3, 7);
    std::size_t bytes = 0;
    receives.poll(2, 0ns, [&](slipring::Frame frame) { bytes += frame.size(); });
    bytes += receives.recv(0ns).size();
    CHECK(!error && bytes == 21 && !receives.try_recv());
}

static void call(slipring::RpcBus &calls, slipring::RpcBus &serves)
{
    const auto id = calls.call(1, "question", 0ns);
    {
        const auto request = serves.serve(0ns);
        serves.reply(request, 2, "answer");
    }
    CHECK(calls.wait(id, 0ns).text() == "answer");
}

int main(int count, char **words)
{
    CHECK(count == 2);
    const std::string address = words[1];
    slipring::Bus sends;
    slipring::RpcBus calls;
    std::thread joining([&] {
        sends = slipring::Bus::connect(address, soon);
        calls = slipring::RpcBus::connect(address + "-calls", soon);
    });
    auto receives = slipring::Bus::listen(address, soon);
    auto serves = slipring::RpcBus::listen(address + "-calls", soon);
    joining.join();
    const auto rounds = [&](int number) {
        for (int round = 0; round < number; round++) {
            messages(sends, receives);
            call(calls, serves);
        }
    };
    rounds(1000);
    const unsigned long before = allocations;
    CHECK(before > 0);
    rounds(10000);
    const unsigned long after = allocations; // printing allocates, too
    std::printf("%lu allocations in 30000 messages and 10000 calls\n", after - before);
    CHECK(after == before);
    std::puts("done");
}
