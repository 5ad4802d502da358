// What can go wrong, and who frees what: statuses as error codes, the exception, and the owner of a handle. Part of slipring.hpp.
#ifndef SLIPRING_HPP_ERROR
#define SLIPRING_HPP_ERROR

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include <slipring/slipring.h>

namespace slipring {

using Timeout = std::chrono::nanoseconds;

// Waits for as long as it takes.
inline constexpr Timeout forever{-1};

// The statuses as a category of std::error_code.
class Category final : public std::error_category {
public:
    const char *name() const noexcept override { return "slipring"; }
    std::string message(int status) const override { return slipring_strerror(status); }
    // What the standard library has a word for can be asked for by it: `error == std::errc::timed_out`.
    std::error_condition default_error_condition(int status) const noexcept override
    {
        switch (status) {
        case SLIPRING_FULL:
        case SLIPRING_EMPTY: return std::errc::resource_unavailable_try_again;
        case SLIPRING_TIMEOUT: return std::errc::timed_out;
        case SLIPRING_PEER_DIED: return std::errc::connection_reset;
        case SLIPRING_CORRUPT: return std::errc::protocol_error;
        case SLIPRING_TOO_LARGE: return std::errc::message_size;
        case SLIPRING_REFUSED: return std::errc::connection_refused;
        case SLIPRING_ADDRESS_IN_USE: return std::errc::address_in_use;
        case SLIPRING_OUT_OF_MEMORY: return std::errc::not_enough_memory;
        case SLIPRING_INTERRUPTED: return std::errc::interrupted;
        case SLIPRING_CANCELLED: return std::errc::operation_canceled;
        case SLIPRING_INVALID_ARGUMENT: return std::errc::invalid_argument;
        case SLIPRING_UNSUPPORTED: return std::errc::not_supported;
        default: return std::error_condition(status, *this);
        }
    }
};

inline const std::error_category &category() noexcept
{
    static const Category only;
    return only;
}

inline std::error_code code_of(slipring_status_t status) noexcept
{
    return {static_cast<int>(status), category()};
}

// The text of the last failure of this thread.
inline std::string last_error()
{
    std::string text(slipring_last_error(nullptr, 0) + 1, '\0');
    text.resize(slipring_last_error(text.data(), text.size()));
    return text;
}

// What is thrown: a status of the library's, with what happened in words.
class Error : public std::system_error {
public:
    // Of the call that failed last in this thread.
    explicit Error(slipring_status_t status)
        : std::system_error(code_of(status)), status_(status), remote_code_(slipring_remote_code()), text_(last_error())
    {
    }
    // The whole text, as last_error() has it.
    const char *what() const noexcept override { return text_.what(); }
    slipring_status_t status() const noexcept { return status_; }
    // The number that the peer gave, if it answered with an error.
    std::uint32_t remote_code() const noexcept { return remote_code_; }

private:
    slipring_status_t status_;
    std::uint32_t remote_code_;
    // A text that is copied without failing, as what is thrown must be.
    std::runtime_error text_;
};

// A name or path to listen or connect at.
class Address {
public:
    Address(const char *text) noexcept : text_(text) {}
    // A text that goes on behind a NUL is no address; the library is given one that it refuses, and not the first half.
    Address(const std::string &text) noexcept
        : text_(text.find('\0') == std::string::npos ? text.c_str() : "an address with a NUL in it")
    {
    }
    const char *text() const noexcept { return text_; }

private:
    const char *text_;
};

// How every function of slipring.h is called: once with what it throws, once with where it puts the error.
namespace detail {

// Kept out of the callers, whose way when all goes well is then that of C. In a program that is compiled without exceptions it is the
// end: such a program asks for error codes.
[[noreturn, gnu::cold, gnu::noinline]] inline void fail(slipring_status_t status)
{
#if defined(__cpp_exceptions)
    throw Error(status);
#else
    std::fprintf(stderr, "%s\n", Error(status).what());
    std::abort();
#endif
}

template <typename... Wants, typename... Gets>
void must(slipring_status_t (*function)(Wants...), Gets... arguments)
{
    const slipring_status_t status = function(arguments...);
    if (status != SLIPRING_OK) {
        fail(status);
    }
}

// For what has a status already, of the call just made.
inline void must(const std::error_code &error)
{
    if (error) {
        fail(static_cast<slipring_status_t>(error.value()));
    }
}

template <typename... Wants, typename... Gets>
void may(std::error_code &error, slipring_status_t (*function)(Wants...), Gets... arguments) noexcept
{
    error = code_of(function(arguments...));
}

// Of functions whose last argument is a handle that they give: the owner that it gets.
template <typename T, typename... Wants, typename... Gets>
T made(slipring_status_t (*function)(Wants...), Gets... arguments)
{
    typename T::Handle *handle = nullptr;
    must(function, arguments..., &handle);
    return T(handle);
}

template <typename T, typename... Wants, typename... Gets>
T made(std::error_code &error, slipring_status_t (*function)(Wants...), Gets... arguments) noexcept
{
    typename T::Handle *handle = nullptr;
    may(error, function, arguments..., &handle);
    return T(handle);
}

// Of functions whose last argument is a number that they write.
template <typename T, typename... Wants, typename... Gets>
T told(slipring_status_t (*function)(Wants...), Gets... arguments)
{
    T value{};
    must(function, arguments..., &value);
    return value;
}

template <typename T, typename... Wants, typename... Gets>
T told(std::error_code &error, slipring_status_t (*function)(Wants...), Gets... arguments) noexcept
{
    T value{};
    may(error, function, arguments..., &value);
    return value;
}

// Of functions that answer `not_now` with a timeout of 0, which is no error then.
template <typename T, typename... Wants, typename... Gets>
std::optional<T> tried(slipring_status_t not_now, slipring_status_t (*function)(Wants...), Gets... arguments)
{
    typename T::Handle *handle = nullptr;
    const slipring_status_t status = function(arguments..., &handle);
    if (status == not_now) {
        return std::nullopt;
    }
    if (status != SLIPRING_OK) {
        fail(status);
    }
    return T(handle);
}

template <typename T, typename... Wants, typename... Gets>
std::optional<T> tried(std::error_code &error, slipring_status_t not_now, slipring_status_t (*function)(Wants...),
                       Gets... arguments) noexcept
{
    typename T::Handle *handle = nullptr;
    const slipring_status_t status = function(arguments..., &handle);
    error = code_of(status == not_now ? SLIPRING_OK : status);
    if (status != SLIPRING_OK) {
        return std::nullopt;
    }
    return T(handle);
}

// A text whose length is told by a function that writes as much of it as fits.
template <typename T>
std::string text_of(slipring_status_t (*function)(T *, char *, std::size_t, std::size_t *), T *handle)
{
    std::size_t length = 0;
    must(function, handle, static_cast<char *>(nullptr), std::size_t{0}, &length);
    std::string text(length + 1, '\0');
    must(function, handle, text.data(), text.size(), &length);
    text.resize(length);
    return text;
}

template <typename T>
std::string text_of(std::error_code &error, slipring_status_t (*function)(T *, char *, std::size_t, std::size_t *), T *handle)
{
    std::size_t length = 0;
    may(error, function, handle, static_cast<char *>(nullptr), std::size_t{0}, &length);
    std::string text(length + 1, '\0');
    if (!error) {
        may(error, function, handle, text.data(), text.size(), &length);
    }
    text.resize(length);
    return text;
}

// A handle that frees itself.
template <typename T, slipring_status_t (*Free)(T *)>
class Owner {
public:
    using Handle = T;

    Owner() noexcept = default;
    explicit Owner(T *handle) noexcept : handle_(handle) {}
    Owner(Owner &&other) noexcept : handle_(other.let_go()) {}
    Owner &operator=(Owner &&other) noexcept
    {
        if (this != &other) {
            Free(handle_);
            handle_ = other.let_go();
        }
        return *this;
    }
    Owner(const Owner &) = delete;
    Owner &operator=(const Owner &) = delete;
    ~Owner() { Free(handle_); }

    explicit operator bool() const noexcept { return handle_ != nullptr; }
    // For the functions of slipring.h. It remains this owner's.
    T *native() const noexcept { return handle_; }
    // The caller's from here on.
    T *let_go() noexcept { return std::exchange(handle_, nullptr); }

private:
    T *handle_ = nullptr;
};

} // namespace detail

} // namespace slipring

// So that statuses compare with, and become, error codes.
template <>
struct std::is_error_code_enum<slipring_status_t> : std::true_type {};

inline std::error_code make_error_code(slipring_status_t status) noexcept
{
    return slipring::code_of(status);
}

#endif // SLIPRING_HPP_ERROR
