// Payloads that are kept: a reader hands long messages to worker threads that look at them for as long as they like, while it reads on,
// and even after the session is over. Nothing is copied. make -C examples/cpp run-held_leases
#include "example.hpp"
#include <algorithm>
#include <thread>
#include <vector>

static constexpr std::size_t pictures = 60, bytes = 100000, workers = 3;

static void paint(const std::string &name)
{
    auto bus = slipring::Bus::connect(name, soon);
    for (std::uint32_t picture = 0; picture < pictures; picture++) {
        auto claim = bus.claim(bytes, soon);
        std::fill_n(claim.data(), bytes, std::byte(picture));
        claim.commit(picture, bytes);
    }
    bus.close(soon);
}

static bool is_right(const slipring::Lease &picture)
{
    const auto pixels = picture.bytes();
    return pixels.size() == bytes &&
           std::all_of(pixels.begin(), pixels.end(), [&](std::byte pixel) { return pixel == std::byte(picture.type_id()); });
}

int main()
{
    const auto name = own_name("held");
    Process painter([&] { paint(name); });
    std::vector<std::vector<slipring::Lease>> albums(workers);
    {
        auto bus = slipring::Bus::listen(name, soon);
        for (slipring::Lease &message : bus) {
            message.keep();
            albums[message.type_id() % workers].push_back(std::move(message));
        }
    } // the session is over; what is kept stays as it is
    std::vector<std::thread> threads;
    std::vector<std::ptrdiff_t> right(workers);
    for (std::size_t worker = 0; worker < workers; worker++) {
        threads.emplace_back([&right, worker, album = std::move(albums[worker])] {
            right[worker] = std::count_if(album.begin(), album.end(), is_right);
        });
    }
    std::ptrdiff_t all = 0;
    for (std::size_t worker = 0; worker < workers; worker++) {
        threads[worker].join();
        all += right[worker];
    }
    std::printf("%td pictures were kept and looked at by %zu threads, after the session had ended\n", all, workers);
    return all == pictures && painter.ended_well() ? 0 : 1;
}
