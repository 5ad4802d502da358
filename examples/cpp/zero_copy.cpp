// Payloads that are written where they will be read: claimed, filled in place, committed, and summed up in place.
// make -C examples/cpp run-zero_copy
#include "example.hpp"
#include <numeric>

static constexpr std::size_t numbers = 4096, blocks = 2000;

static void produce(const std::string &name)
{
    auto bus = slipring::Bus::connect(name, soon);
    std::uint64_t next = 0;
    for (std::size_t block = 0; block < blocks; block++) {
        auto claim = bus.claim(numbers * sizeof next, soon);
        for (auto &place : claim.room().as<std::uint64_t>()) {
            place = next++;
        }
        // Until here nobody has seen a byte of it, and dropping the claim would leave no trace.
        claim.commit(1, claim.size());
    }
    bus.close(soon);
}

int main()
{
    const auto name = own_name("zero-copy");
    Process producer([&] { produce(name); });
    auto bus = slipring::Bus::listen(name, soon);
    std::size_t seen = 0, bytes = 0;
    std::uint64_t sum = 0;
    std::error_code end;
    while (!end) {
        // The handler sees the memory that the producer wrote. Nothing is copied.
        seen += bus.poll(64, soon, [&](slipring::Frame frame) {
            const auto block = frame.bytes().as<std::uint64_t>();
            sum = std::accumulate(block.begin(), block.end(), sum);
            bytes += frame.size();
        }, end);
    }
    const std::uint64_t count = numbers * blocks, expected = count * (count - 1) / 2;
    std::printf("%zu blocks, %zu bytes, sum %llu; then: %s\n", seen, bytes, static_cast<unsigned long long>(sum),
                end.message().c_str());
    return end == SLIPRING_CLOSED && sum == expected && producer.ended_well() ? 0 : 1;
}
