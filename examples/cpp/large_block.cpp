// An array of 64 MiB that two threads fill where another process will read it, beside messages of any other length.
// make -C examples/cpp run-large_block
#include "example.hpp"
#include <thread>
#include <vector>

static constexpr std::size_t numbers = 8 << 20;
static constexpr std::uint32_t message = 1, array = 2;

static void compute(const std::string &name)
{
    auto bus = slipring::Bus::connect(name, soon);
    // The claim is ours: it goes to other threads, and the bus is free meanwhile.
    auto claim = bus.claim_owned(numbers * sizeof(std::uint64_t), soon);
    const auto room = claim.room().as<std::uint64_t>();
    const auto fill = [room](std::size_t from, std::size_t to) {
        for (std::size_t n = from; n < to; n++) {
            room[n] = n * n;
        }
    };
    std::thread low(fill, 0, numbers / 2), high(fill, numbers / 2, numbers);
    for (const std::size_t len : {0, 1, 100, 10000, 1 << 20}) { // from nothing to a mebibyte by the same call
        bus.send(message, std::vector<std::byte>(len), soon);
    }
    low.join();
    high.join();
    bus.send_owned(array, claim, claim.size());
    bus.close(soon);
}

int main()
{
    const auto name = own_name("large-block");
    Process other([&] { compute(name); });
    auto bus = slipring::Bus::listen(name, soon);
    std::size_t messages = 0, longest = 0;
    std::uint64_t sum = 0, expected = 0;
    for (slipring::Lease &received : bus) {
        if (received.type_id() == array) {
            for (const auto number : received.bytes().as<std::uint64_t>()) { // the pages that the other process wrote
                sum += number;
            }
        } else {
            messages++;
            longest = std::max(longest, received.size());
        }
    }
    for (std::uint64_t n = 0; n < numbers; n++) {
        expected += n * n;
    }
    std::printf("%zu messages of up to %zu bytes, and an array of 64 MiB without a copy\n", messages, longest);
    return messages == 5 && sum == expected && other.ended_well() ? 0 : 1;
}
