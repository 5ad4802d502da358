// How an end is to be opened, versions, and the limits of the whole process. Part of slipring.hpp.
#ifndef SLIPRING_HPP_PROCESS
#define SLIPRING_HPP_PROCESS

#include <slipring/hpp/error.hpp>

namespace slipring {

// How an end is to be opened: the fields are slipring_config_t's, filled with the defaults. Where the library does not know the size of
// the struct it stays all zero, and whoever is given it answers SLIPRING_STRUCT_SIZE.
struct Config : slipring_config_t {
    Config() noexcept : slipring_config_t{} { slipring_config_init_sized(this, sizeof(slipring_config_t)); }
};

// What an end has done, and has now.
using Stats = slipring_stats_t;

namespace detail {

template <typename T>
Stats stats_of(slipring_status_t (*function)(T *, slipring_stats_t *), T *handle)
{
    Stats stats;
    must(slipring_stats_init_sized, &stats, sizeof(Stats));
    must(function, handle, &stats);
    return stats;
}

template <typename T>
Stats stats_of(std::error_code &error, slipring_status_t (*function)(T *, slipring_stats_t *), T *handle) noexcept
{
    Stats stats{};
    may(error, slipring_stats_init_sized, &stats, sizeof(Stats));
    if (!error) {
        may(error, function, handle, &stats);
    }
    return stats;
}

} // namespace detail

// The version of the library that runs.
inline const char *version() noexcept
{
    return slipring_version();
}

// The most bytes of shared memory that this process may have made at once. What exists already stays.
inline void limit_memory(std::uint64_t bytes)
{
    detail::must(slipring_limit_memory, bytes);
}
inline void limit_memory(std::uint64_t bytes, std::error_code &error) noexcept
{
    detail::may(error, slipring_limit_memory, bytes);
}

// How many bytes of that this process has now.
inline std::uint64_t memory_taken()
{
    return detail::told<std::uint64_t>(slipring_memory_taken);
}
inline std::uint64_t memory_taken(std::error_code &error) noexcept
{
    return detail::told<std::uint64_t>(error, slipring_memory_taken);
}

// Raises the number of descriptors that this process may have open to the most that it may allow itself, and says how many that is.
inline std::uint64_t raise_descriptor_limit()
{
    return detail::told<std::uint64_t>(slipring_raise_descriptor_limit);
}
inline std::uint64_t raise_descriptor_limit(std::error_code &error) noexcept
{
    return detail::told<std::uint64_t>(error, slipring_raise_descriptor_limit);
}

} // namespace slipring

#endif // SLIPRING_HPP_PROCESS
