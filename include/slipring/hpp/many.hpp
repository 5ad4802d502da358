// Many sessions: a name at which peers connect, and waiting for all of them at once. Part of slipring.hpp.
#ifndef SLIPRING_HPP_MANY
#define SLIPRING_HPP_MANY

#include <slipring/hpp/bus.hpp>
#include <slipring/hpp/rpc.hpp>
#include <vector>

namespace slipring {

// A name at which any number of peers can connect. It works only inside its accepting calls.
class Listener : public detail::Owner<slipring_listener_t, slipring_listener_free> {
public:
    using Owner::Owner;

    static Listener bind(Address address, const Config &config = Config())
    {
        return detail::made<Listener>(slipring_listener_bind, address.text(), &config);
    }
    static Listener bind(Address address, const Config &config, std::error_code &error) noexcept
    {
        return detail::made<Listener>(error, slipring_listener_bind, address.text(), &config);
    }
    static Listener bind(Address address, std::error_code &error) noexcept
    {
        return detail::made<Listener>(error, slipring_listener_bind, address.text(), nullptr);
    }

    // The next session.
    Bus accept_bus(Timeout timeout = forever)
    {
        return detail::made<Bus>(slipring_listener_accept_bus, native(), timeout.count());
    }
    Bus accept_bus(Timeout timeout, std::error_code &error) noexcept
    {
        return detail::made<Bus>(error, slipring_listener_accept_bus, native(), timeout.count());
    }
    std::optional<Bus> try_accept_bus()
    {
        return detail::tried<Bus>(SLIPRING_EMPTY, slipring_listener_accept_bus, native(), std::int64_t{0});
    }
    std::optional<Bus> try_accept_bus(std::error_code &error) noexcept
    {
        return detail::tried<Bus>(error, SLIPRING_EMPTY, slipring_listener_accept_bus, native(), std::int64_t{0});
    }
    RpcBus accept_rpc(Timeout timeout = forever)
    {
        return detail::made<RpcBus>(slipring_listener_accept_rpc, native(), timeout.count());
    }
    RpcBus accept_rpc(Timeout timeout, std::error_code &error) noexcept
    {
        return detail::made<RpcBus>(error, slipring_listener_accept_rpc, native(), timeout.count());
    }
    std::optional<RpcBus> try_accept_rpc()
    {
        return detail::tried<RpcBus>(SLIPRING_EMPTY, slipring_listener_accept_rpc, native(), std::int64_t{0});
    }
    std::optional<RpcBus> try_accept_rpc(std::error_code &error) noexcept
    {
        return detail::tried<RpcBus>(error, SLIPRING_EMPTY, slipring_listener_accept_rpc, native(), std::int64_t{0});
    }

    // As clients can be given it.
    std::string address() const { return detail::text_of(slipring_listener_address, native()); }
    // It may run out of memory, which is thrown.
    std::string address(std::error_code &error) const { return detail::text_of(error, slipring_listener_address, native()); }
    // How many clients were turned down, or gave up in mid-handshake.
    std::uint64_t refused() const { return detail::told<std::uint64_t>(slipring_listener_refused, native()); }
    std::uint64_t refused(std::error_code &error) const noexcept
    {
        return detail::told<std::uint64_t>(error, slipring_listener_refused, native());
    }
    // For an event loop: see slipring_listener_fd. It is the library's.
    int fd() const { return detail::told<int>(slipring_listener_fd, native()); }
    int fd(std::error_code &error) const noexcept { return detail::told<int>(error, slipring_listener_fd, native()); }
};

// Wakes a poller, from any number of threads at once.
class Notifier : public detail::Owner<slipring_notifier_t, slipring_notifier_free> {
public:
    using Owner::Owner;

    // Ends the poller's wait, or the next one if there is none.
    void notify() const { detail::must(slipring_notifier_notify, native()); }
    void notify(std::error_code &error) const noexcept { detail::may(error, slipring_notifier_notify, native()); }
};

// Waits for any number of sessions and listeners at once. What is in it stays its owner's, who removes it before it is dropped, or
// drops the poller first.
class Poller : public detail::Owner<slipring_poller_t, slipring_poller_free> {
public:
    using Owner::Owner;

    // Of the config only the wait strategy counts.
    static Poller make(const Config &config = Config()) { return detail::made<Poller>(slipring_poller_new, &config); }
    static Poller make(const Config &config, std::error_code &error) noexcept
    {
        return detail::made<Poller>(error, slipring_poller_new, &config);
    }

    // `token` is what wait() says when it has something to do.
    void add(Bus &bus, std::uint64_t token) { detail::must(slipring_poller_add_bus, native(), bus.native(), token); }
    void add(RpcBus &rpc, std::uint64_t token) { detail::must(slipring_poller_add_rpc, native(), rpc.native(), token); }
    void add(Listener &listener, std::uint64_t token)
    {
        detail::must(slipring_poller_add_listener, native(), listener.native(), token);
    }
    void add(Bus &bus, std::uint64_t token, std::error_code &error) noexcept
    {
        detail::may(error, slipring_poller_add_bus, native(), bus.native(), token);
    }
    void add(RpcBus &rpc, std::uint64_t token, std::error_code &error) noexcept
    {
        detail::may(error, slipring_poller_add_rpc, native(), rpc.native(), token);
    }
    void add(Listener &listener, std::uint64_t token, std::error_code &error) noexcept
    {
        detail::may(error, slipring_poller_add_listener, native(), listener.native(), token);
    }

    // Lets it go, open as it is.
    void remove(Bus &bus) { detail::must(slipring_poller_remove_bus, native(), bus.native()); }
    void remove(RpcBus &rpc) { detail::must(slipring_poller_remove_rpc, native(), rpc.native()); }
    void remove(Listener &listener) { detail::must(slipring_poller_remove_listener, native(), listener.native()); }
    void remove(Bus &bus, std::error_code &error) noexcept
    {
        detail::may(error, slipring_poller_remove_bus, native(), bus.native());
    }
    void remove(RpcBus &rpc, std::error_code &error) noexcept
    {
        detail::may(error, slipring_poller_remove_rpc, native(), rpc.native());
    }
    void remove(Listener &listener, std::error_code &error) noexcept
    {
        detail::may(error, slipring_poller_remove_listener, native(), listener.native());
    }

    // Writes the tokens of what is ready to `tokens`, and says how many; 0 if a notifier ended the wait.
    std::size_t wait(Span<std::uint64_t> tokens, Timeout timeout = forever)
    {
        return detail::told<std::size_t>(slipring_poller_wait, native(), timeout.count(), tokens.data(), tokens.size());
    }
    std::size_t wait(Span<std::uint64_t> tokens, Timeout timeout, std::error_code &error) noexcept
    {
        return detail::told<std::size_t>(error, slipring_poller_wait, native(), timeout.count(), tokens.data(), tokens.size());
    }
    // Replaces what is in `ready` by the tokens of at most `most` that have something to do.
    void wait(std::vector<std::uint64_t> &ready, Timeout timeout = forever, std::size_t most = 256)
    {
        std::error_code error;
        wait(ready, timeout, most, error);
        detail::must(error);
    }
    // It may run out of memory, which is thrown.
    void wait(std::vector<std::uint64_t> &ready, Timeout timeout, std::size_t most, std::error_code &error)
    {
        ready.resize(most);
        ready.resize(wait(Span<std::uint64_t>(ready.data(), most), timeout, error));
    }

    // What wakes this poller from other threads, for as long as it lives.
    Notifier notifier() { return detail::made<Notifier>(slipring_poller_notifier, native()); }
    Notifier notifier(std::error_code &error) noexcept
    {
        return detail::made<Notifier>(error, slipring_poller_notifier, native());
    }
    // One descriptor for an event loop, in the place of those of all sessions: see slipring_poller_fd.
    int fd() const { return detail::told<int>(slipring_poller_fd, native()); }
    int fd(std::error_code &error) const noexcept { return detail::told<int>(error, slipring_poller_fd, native()); }
};

} // namespace slipring

#endif // SLIPRING_HPP_MANY
