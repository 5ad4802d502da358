// What the C++ programs of the tests share: a check that says where it failed, and the payloads of check.h.
#ifndef CHECK_HPP
#define CHECK_HPP

#include <cstdio>
#include <cstdlib>
#include <slipring/slipring.hpp>
#include <string>
#include <unistd.h>
#include <vector>

using namespace std::chrono_literals;

// The watchdog of whoever runs this is sooner where something hangs.
inline constexpr slipring::Timeout soon = 100s;

#define CHECK(what)                                                                                                                \
    do {                                                                                                                           \
        if (!(what)) {                                                                                                             \
            fail(__FILE__, __LINE__, #what);                                                                                       \
        }                                                                                                                          \
    } while (false)

[[noreturn]] inline void fail(const char *file, int line, const char *what)
{
    std::fprintf(stderr, "%s:%d: %s (last error: %s)\n", file, line, what, slipring::last_error().c_str());
    std::exit(1);
}

// A program whose test was aborted does not outlive it for long.
static const unsigned end_some_time = alarm(230);

// Lengths at which something changes: a line, the inline limit, a page, a region. As in check.h.
inline const std::vector<std::size_t> lengths = {0, 1, 47, 48, 49, 1023, 1024, 1025, 4096, 65536, 1048576, 5000001, 67108864};

inline std::byte byte_at(std::size_t index, std::size_t len)
{
    return static_cast<std::byte>((index * 31 + (index >> 8) + len) & 0xff);
}

inline void fill(slipring::Room room)
{
    for (std::size_t index = 0; index < room.size(); index++) {
        room[index] = byte_at(index, room.size());
    }
}

inline std::vector<std::byte> payload(std::size_t len)
{
    std::vector<std::byte> bytes(len);
    fill({bytes.data(), len});
    return bytes;
}

inline bool is_whole(slipring::Bytes bytes, std::size_t len)
{
    for (std::size_t index = 0; index < bytes.size(); index++) {
        if (bytes[index] != byte_at(index, len)) {
            return false;
        }
    }
    return bytes.size() == len;
}

#endif
