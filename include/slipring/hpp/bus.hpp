// One end of a one-way stream of messages. Part of slipring.hpp.
#ifndef SLIPRING_HPP_BUS
#define SLIPRING_HPP_BUS

#include <exception>
#include <initializer_list>
#include <slipring/hpp/owned.hpp>
#include <slipring/hpp/process.hpp>

namespace slipring {

namespace detail {

// Takes messages for as long as the library calls it. What a handler throws must not go through the library: it is thrown again when
// that has returned, and the handler is not called any more.
template <typename F>
class Taker {
public:
    explicit Taker(F &handler) noexcept : handler_(&handler) {}
    static void one(void *user, const slipring_frame_t *frame) noexcept
    {
        static_cast<Taker *>(user)->guarded([frame](F &handler) { handler(Frame(*frame)); });
    }
    static void all(void *user, const slipring_frame_t *frames, std::size_t count) noexcept
    {
        static_cast<Taker *>(user)->guarded([frames, count](F &handler) { handler(Frames(frames, count)); });
    }
    void throw_again() const
    {
        if (thrown_) {
            std::rethrow_exception(thrown_);
        }
    }

private:
    template <typename G>
    void guarded(G call) noexcept
    {
        if (thrown_) {
            return;
        }
#if defined(__cpp_exceptions)
        try {
            call(*handler_);
        } catch (...) {
            thrown_ = std::current_exception();
        }
#else
        call(*handler_);
#endif
    }

    F *handler_;
    std::exception_ptr thrown_{};
};

} // namespace detail

// One end of a one-way stream of messages: the end that listens receives, the end that connects sends. Dropped, it is closed.
class Bus : public detail::Owner<slipring_bus_t, slipring_bus_free> {
public:
    using Owner::Owner;

    // Listens for one peer, and receives from it.
    static Bus listen(Address address, Timeout timeout = forever, const Config &config = Config())
    {
        return detail::made<Bus>(slipring_bus_listen, address.text(), &config, timeout.count());
    }
    static Bus listen(Address address, Timeout timeout, const Config &config, std::error_code &error) noexcept
    {
        return detail::made<Bus>(error, slipring_bus_listen, address.text(), &config, timeout.count());
    }
    static Bus listen(Address address, Timeout timeout, std::error_code &error) noexcept
    {
        return detail::made<Bus>(error, slipring_bus_listen, address.text(), nullptr, timeout.count());
    }
    // Connects, to send. The timeout is for the listener to appear.
    static Bus connect(Address address, Timeout timeout = Timeout::zero(), const Config &config = Config())
    {
        return detail::made<Bus>(slipring_bus_connect, address.text(), &config, timeout.count());
    }
    static Bus connect(Address address, Timeout timeout, const Config &config, std::error_code &error) noexcept
    {
        return detail::made<Bus>(error, slipring_bus_connect, address.text(), &config, timeout.count());
    }
    static Bus connect(Address address, Timeout timeout, std::error_code &error) noexcept
    {
        return detail::made<Bus>(error, slipring_bus_connect, address.text(), nullptr, timeout.count());
    }
    // Says goodbye, after waiting at most so long until all was read. It is closed whatever came of it.
    void close(Timeout linger) { detail::must(slipring_bus_close, native(), linger.count()); }
    void close(Timeout linger, std::error_code &error) noexcept
    {
        detail::may(error, slipring_bus_close, native(), linger.count());
    }

    // Copies a message and sends it, waiting for room.
    void send(std::uint32_t type_id, Bytes payload, Timeout timeout = forever)
    {
        detail::must(slipring_bus_send, native(), type_id, payload.data(), payload.size(), timeout.count());
    }
    void send(std::uint32_t type_id, Bytes payload, Timeout timeout, std::error_code &error) noexcept
    {
        detail::may(error, slipring_bus_send, native(), type_id, payload.data(), payload.size(), timeout.count());
    }
    // Whether there was room.
    bool try_send(std::uint32_t type_id, Bytes payload)
    {
        std::error_code error;
        const bool sent = try_send(type_id, payload, error);
        detail::must(error);
        return sent;
    }
    bool try_send(std::uint32_t type_id, Bytes payload, std::error_code &error) noexcept
    {
        const slipring_status_t status = slipring_bus_send(native(), type_id, payload.data(), payload.size(), 0);
        error = code_of(status == SLIPRING_FULL ? SLIPRING_OK : status);
        return status == SLIPRING_OK;
    }
    // Hidden until the bus is flushed, or sends something else.
    void send_later(std::uint32_t type_id, Bytes payload, Timeout timeout = forever)
    {
        detail::must(slipring_bus_send_later, native(), type_id, payload.data(), payload.size(), timeout.count());
    }
    void send_later(std::uint32_t type_id, Bytes payload, Timeout timeout, std::error_code &error) noexcept
    {
        detail::may(error, slipring_bus_send_later, native(), type_id, payload.data(), payload.size(), timeout.count());
    }
    void flush() { detail::must(slipring_bus_flush, native()); }
    void flush(std::error_code &error) noexcept { detail::may(error, slipring_bus_flush, native()); }
    // One message, of all parts one behind the other.
    void sendv(std::uint32_t type_id, std::initializer_list<Part> parts, Timeout timeout = forever)
    {
        sendv(type_id, Span<const Part>(parts.begin(), parts.size()), timeout);
    }
    void sendv(std::uint32_t type_id, std::initializer_list<Part> parts, Timeout timeout, std::error_code &error) noexcept
    {
        sendv(type_id, Span<const Part>(parts.begin(), parts.size()), timeout, error);
    }
    void sendv(std::uint32_t type_id, Span<const Part> parts, Timeout timeout = forever)
    {
        const slipring_slice_t *first = parts.data();
        detail::must(slipring_bus_sendv, native(), type_id, first, parts.size(), timeout.count());
    }
    void sendv(std::uint32_t type_id, Span<const Part> parts, Timeout timeout, std::error_code &error) noexcept
    {
        const slipring_slice_t *first = parts.data();
        detail::may(error, slipring_bus_sendv, native(), type_id, first, parts.size(), timeout.count());
    }
    // With the message go shared objects: one, or `{table, index}`.
    void send_shared(std::uint32_t type_id, Bytes payload, const Attached &shared, Timeout timeout = forever)
    {
        detail::must(slipring_bus_send_shared, native(), type_id, payload.data(), payload.size(), shared.data(), shared.size(),
                     timeout.count());
    }
    void send_shared(std::uint32_t type_id, Bytes payload, const Attached &shared, Timeout timeout, std::error_code &error) noexcept
    {
        detail::may(error, slipring_bus_send_shared, native(), type_id, payload.data(), payload.size(), shared.data(), shared.size(),
                    timeout.count());
    }

    // Room for a message, to be written in place. While it is open nothing else can be sent.
    Claim claim(std::size_t size, Timeout timeout = forever)
    {
        return detail::made<Claim>(slipring_bus_claim, native(), size, timeout.count());
    }
    Claim claim(std::size_t size, Timeout timeout, std::error_code &error) noexcept
    {
        return detail::made<Claim>(error, slipring_bus_claim, native(), size, timeout.count());
    }
    std::optional<Claim> try_claim(std::size_t size)
    {
        return detail::tried<Claim>(SLIPRING_FULL, slipring_bus_claim, native(), size, std::int64_t{0});
    }
    std::optional<Claim> try_claim(std::size_t size, std::error_code &error) noexcept
    {
        return detail::tried<Claim>(error, SLIPRING_FULL, slipring_bus_claim, native(), size, std::int64_t{0});
    }
    // A block that is the caller's own until it is sent by send_owned: any number at a time, on any thread.
    Claim claim_owned(std::size_t size, Timeout timeout = forever)
    {
        return detail::made<Claim>(slipring_bus_claim_owned, native(), size, timeout.count());
    }
    Claim claim_owned(std::size_t size, Timeout timeout, std::error_code &error) noexcept
    {
        return detail::made<Claim>(error, slipring_bus_claim_owned, native(), size, timeout.count());
    }
    // Sends the first `used` bytes, and empties the claim. Where it fails the claim is still there.
    void send_owned(std::uint32_t type_id, Claim &claim, std::size_t used)
    {
        detail::must(slipring_bus_send_owned, native(), type_id, claim.native(), used);
        claim.let_go();
    }
    void send_owned(std::uint32_t type_id, Claim &claim, std::size_t used, std::error_code &error) noexcept
    {
        detail::may(error, slipring_bus_send_owned, native(), type_id, claim.native(), used);
        claim.let_go_unless(error);
    }

    // The next message. The next call that receives ends it, unless it is kept.
    Lease recv(Timeout timeout = forever) { return detail::made<Lease>(slipring_bus_recv, native(), timeout.count()); }
    Lease recv(Timeout timeout, std::error_code &error) noexcept
    {
        return detail::made<Lease>(error, slipring_bus_recv, native(), timeout.count());
    }
    std::optional<Lease> try_recv()
    {
        return detail::tried<Lease>(SLIPRING_EMPTY, slipring_bus_recv, native(), std::int64_t{0});
    }
    std::optional<Lease> try_recv(std::error_code &error) noexcept
    {
        return detail::tried<Lease>(error, SLIPRING_EMPTY, slipring_bus_recv, native(), std::int64_t{0});
    }
    // Hands up to `limit` messages that are there to `handler(Frame)`, waiting for the first, and says how many. What the handler throws
    // is thrown again at the end; it is not called any more, and those that came after are lost.
    template <typename F>
    std::size_t poll(std::size_t limit, Timeout timeout, F &&handler)
    {
        std::error_code error;
        const std::size_t count = poll(limit, timeout, handler, error);
        detail::must(error);
        return count;
    }
    // As above. What the handler throws is thrown here too.
    template <typename F>
    std::size_t poll(std::size_t limit, Timeout timeout, F &&handler, std::error_code &error)
    {
        detail::Taker<std::remove_reference_t<F>> taker(handler);
        std::size_t count = 0;
        error = code_of(slipring_bus_poll(native(), limit, timeout.count(), &decltype(taker)::one, &taker, &count));
        taker.throw_again();
        return count;
    }
    // Hands up to `limit` messages that are there to `handler(Frames)` all together, waiting for the first, and says how many.
    template <typename F>
    std::size_t drain(std::size_t limit, Timeout timeout, F &&handler)
    {
        std::error_code error;
        const std::size_t count = drain(limit, timeout, handler, error);
        detail::must(error);
        return count;
    }
    template <typename F>
    std::size_t drain(std::size_t limit, Timeout timeout, F &&handler, std::error_code &error)
    {
        detail::Taker<std::remove_reference_t<F>> taker(handler);
        std::size_t count = 0;
        error = code_of(slipring_bus_drain(native(), limit, timeout.count(), &decltype(taker)::all, &taker, &count));
        taker.throw_again();
        return count;
    }

    // Messages one after the other, waiting for each, until the peer says goodbye. Another end is thrown. A signal ends no wait.
    class Messages {
    public:
        Messages() noexcept = default;
        explicit Messages(slipring_bus_t *bus) : bus_(bus) { ++*this; }
        Lease &operator*() noexcept { return lease_; }
        Messages &operator++()
        {
            slipring_lease_t *lease = nullptr;
            lease_ = Lease();
            slipring_status_t status = SLIPRING_INTERRUPTED;
            while (status == SLIPRING_INTERRUPTED) {
                status = slipring_bus_recv(bus_, -1, &lease);
            }
            if (status == SLIPRING_CLOSED) {
                bus_ = nullptr;
            } else if (status != SLIPRING_OK) {
                detail::fail(status);
            }
            lease_ = Lease(lease);
            return *this;
        }
        bool operator!=(const Messages &other) const noexcept { return bus_ != other.bus_; }

    private:
        slipring_bus_t *bus_ = nullptr;
        Lease lease_;
    };
    Messages begin() { return Messages(native()); }
    Messages end() noexcept { return Messages(); }

    // For an event loop: see slipring_bus_fd. It is the library's.
    int fd() const { return detail::told<int>(slipring_bus_fd, native()); }
    int fd(std::error_code &error) const noexcept { return detail::told<int>(error, slipring_bus_fd, native()); }
    // SLIPRING_STATE_...
    int state() const { return detail::told<int>(slipring_bus_state, native()); }
    int state(std::error_code &error) const noexcept { return detail::told<int>(error, slipring_bus_state, native()); }
    // A sum of SLIPRING_CAN_...
    std::uint32_t capabilities() const { return detail::told<std::uint32_t>(slipring_bus_capabilities, native()); }
    std::uint32_t capabilities(std::error_code &error) const noexcept
    {
        return detail::told<std::uint32_t>(error, slipring_bus_capabilities, native());
    }
    Stats stats() const { return detail::stats_of(slipring_bus_stats, native()); }
    Stats stats(std::error_code &error) const noexcept { return detail::stats_of(error, slipring_bus_stats, native()); }
};

} // namespace slipring

#endif // SLIPRING_HPP_BUS
