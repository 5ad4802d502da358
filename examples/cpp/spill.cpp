// A reader that keeps everything it gets, and a sender that may have 8 MiB of memory: the rest goes to a directory.
// make -C examples/cpp run-spill
#include "example.hpp"
#include <algorithm>
#include <sys/stat.h>
#include <vector>

static constexpr std::size_t len = 3 << 20, messages = 12;

static void send_all(const std::string &name)
{
    const std::string place = "/tmp/" + name;
    if (mkdir(place.c_str(), 0700) != 0) {
        throw std::system_error(errno, std::generic_category(), place);
    }
    slipring::Config config;
    config.memory_limit = 8 << 20;
    config.spill_dir = place.c_str();
    {
        auto bus = slipring::Bus::connect(name, soon, config);
        for (std::uint32_t number = 0; number < messages; number++) {
            bus.send(number, std::vector<std::byte>(len, std::byte(number)), soon);
        }
        std::printf("8 MiB of memory, %llu MiB in all, the rest in files without names\n",
                    static_cast<unsigned long long>(bus.stats().region_bytes >> 20));
        bus.close(soon);
    }
    // The files in it never had names: it is empty.
    if (rmdir(place.c_str()) != 0) {
        throw std::system_error(errno, std::generic_category(), place);
    }
}

int main()
{
    const auto name = own_name("spill");
    Process sender([&] { send_all(name); });
    auto bus = slipring::Bus::listen(name, soon);
    std::vector<slipring::Lease> kept;
    for (slipring::Lease &message : bus) {
        message.keep();
        kept.push_back(std::move(message));
    }
    const bool whole = std::all_of(kept.begin(), kept.end(), [](const slipring::Lease &message) {
        const auto bytes = message.bytes();
        return bytes.size() == len && std::all_of(bytes.begin(), bytes.end(), [&](std::byte byte) { return byte == std::byte(message.type_id()); });
    });
    std::printf("%zu messages of 3 MiB are kept, all whole: %s\n", kept.size(), whole ? "yes" : "no");
    return whole && kept.size() == messages && sender.ended_well() ? 0 : 1;
}
