// Pieces of memory that are looked at and not owned. Part of slipring.hpp. They are the same types with every standard, so that
// programs of C++17 and C++20 can hand them to each other; with C++20 they are std::spans wherever one is asked for.
#ifndef SLIPRING_HPP_BYTES
#define SLIPRING_HPP_BYTES

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include <slipring/slipring.h>

#if __cplusplus >= 202002L
#include <span>
#endif

namespace slipring {

// A number of items in a row.
template <typename T>
class Span {
public:
    using element_type = T;
    using value_type = std::remove_cv_t<T>;

    constexpr Span() noexcept = default;
    constexpr Span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}

    constexpr T *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr T *begin() const noexcept { return data_; }
    constexpr T *end() const noexcept { return data_ + size_; }
    constexpr T &operator[](std::size_t index) const noexcept { return data_[index]; }
#if __cplusplus >= 202002L
    constexpr operator std::span<T>() const noexcept { return {data_, size_}; }
#endif

private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};

// Bytes to be read: of a text, or of anything with data() and size() whose items are plain.
class Bytes : public Span<const std::byte> {
public:
    constexpr Bytes() noexcept = default;
    Bytes(const void *data, std::size_t size) noexcept : Span(static_cast<const std::byte *>(data), size) {}
    Bytes(std::string_view text) noexcept : Bytes(text.data(), text.size()) {}
    Bytes(const char *text) noexcept : Bytes(std::string_view(text)) {}
    template <typename C, typename = decltype(std::declval<const C &>().data()), typename T = typename C::value_type,
              typename = std::enable_if_t<std::is_trivially_copyable_v<T> && !std::is_same_v<C, Bytes>>>
    Bytes(const C &items) noexcept : Bytes(items.data(), items.size() * sizeof(T))
    {
    }

    std::string_view text() const noexcept { return {reinterpret_cast<const char *>(data()), size()}; }
    // The same as items of another plain type, as many as are whole. Payloads begin at a multiple of 16 bytes where they were not copied.
    template <typename T>
    Span<const T> as() const noexcept
    {
        static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= 16, "bytes are not that");
        return {reinterpret_cast<const T *>(data()), size() / sizeof(T)};
    }
};

// Bytes to be written in place.
class Room : public Span<std::byte> {
public:
    constexpr Room() noexcept = default;
    Room(void *data, std::size_t size) noexcept : Span(static_cast<std::byte *>(data), size) {}

    // The same as items of a plain type.
    template <typename T>
    Span<T> as() const noexcept
    {
        static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= 16, "bytes are not that");
        return {reinterpret_cast<T *>(data()), size() / sizeof(T)};
    }
};

// One of the pieces that are sent as one payload.
struct Part : slipring_slice_t {
    Part(Bytes bytes) noexcept : slipring_slice_t{bytes.data(), bytes.size()} {}
    template <typename C, typename = std::enable_if_t<std::is_constructible_v<Bytes, const C &>>>
    Part(const C &items) noexcept : Part(Bytes(items))
    {
    }
};
// So that a row of parts is a row of slices.
static_assert(sizeof(Part) == sizeof(slipring_slice_t), "a part is a slice, and nothing more");

} // namespace slipring

#endif // SLIPRING_HPP_BYTES
