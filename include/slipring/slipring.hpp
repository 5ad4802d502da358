// slipring for C++17: owners that free themselves, over slipring.h, which is the manual. Nothing is decided here, and there is
// nothing to link but libslipring.
//
//     #include <slipring/slipring.hpp>
//
//     auto bus = slipring::Bus::listen("greetings");          // one program receives
//     for (slipring::Lease &message : bus) {                   // until the peer says goodbye
//         std::cout << message.text() << '\n';
//     }
//
//     auto bus = slipring::Bus::connect("greetings", std::chrono::seconds(5));     // another sends
//     bus.send(1, "hello");
//     bus.close(std::chrono::seconds(5));                      // after all was read
//
// Errors. What fails throws a slipring::Error with the status and the whole text. Every such function has a twin that takes a
// std::error_code & as its last argument, sets it, and does not throw. `try_` functions do not wait, and answer "not now" by their
// result: an empty optional, or false.
//
// Owners move, and are not copied. One that was moved from is empty: it may be assigned to and dropped, and nothing else. A Lease that
// is dropped is released, a Claim that is dropped is aborted, an end that is dropped is closed. Threads: as in slipring.h.
#ifndef SLIPRING_HPP
#define SLIPRING_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <slipring/slipring.h>

#if __cplusplus >= 202002L
#include <span>
#endif

namespace slipring {

using Timeout = std::chrono::nanoseconds;

// Waits for as long as it takes.
inline constexpr Timeout forever{-1};

// The statuses as a category of std::error_code.
class Category final : public std::error_category {
public:
    const char *name() const noexcept override { return "slipring"; }
    std::string message(int status) const override { return slipring_strerror(status); }
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

class Error : public std::system_error {
public:
    explicit Error(slipring_status_t status)
        : std::system_error(code_of(status), last_error()), status_(status), remote_code_(slipring_remote_code())
    {
    }
    slipring_status_t status() const noexcept { return status_; }
    // The number that the peer gave, if it answered with an error.
    std::uint32_t remote_code() const noexcept { return remote_code_; }

private:
    slipring_status_t status_;
    std::uint32_t remote_code_;
};

namespace detail {

inline void must(slipring_status_t status)
{
    if (status != SLIPRING_OK) {
        throw Error(status);
    }
}

// A handle that frees itself.
template <typename T, slipring_status_t (*Free)(T *)>
class Owner {
public:
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

// Bytes to be read, and not owned: of a text, or of anything with data() and size().
class Bytes {
public:
    Bytes() noexcept = default;
    Bytes(const void *data, std::size_t size) noexcept : data_(static_cast<const std::byte *>(data)), size_(size) {}
    Bytes(std::string_view text) noexcept : Bytes(text.data(), text.size()) {}
    Bytes(const char *text) noexcept : Bytes(std::string_view(text)) {}
    template <typename C, typename = decltype(std::declval<const C &>().data()),
              typename T = typename C::value_type, typename = std::enable_if_t<std::is_trivially_copyable_v<T>>>
    Bytes(const C &items) noexcept : Bytes(items.data(), items.size() * sizeof(T))
    {
    }

    const std::byte *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    const std::byte *begin() const noexcept { return data_; }
    const std::byte *end() const noexcept { return data_ + size_; }
    std::string_view text() const noexcept { return {reinterpret_cast<const char *>(data_), size_}; }
#if __cplusplus >= 202002L
    operator std::span<const std::byte>() const noexcept { return {data_, size_}; }
#endif

private:
    const std::byte *data_ = nullptr;
    std::size_t size_ = 0;
};

// How an end is to be opened: the fields are slipring_config_t's.
struct Config : slipring_config_t {
    Config() { detail::must(slipring_config_init(this)); }
};

// Memory that never changes, read in place by any number of processes.
class SharedBuffer : public detail::Owner<slipring_shared_t, slipring_shared_free> {
public:
    using Owner::Owner;

    const std::byte *data() const noexcept { return static_cast<const std::byte *>(slipring_shared_data(native())); }
    std::size_t size() const noexcept { return slipring_shared_len(native()); }
    Bytes bytes() const noexcept { return {data(), size()}; }
    std::uint64_t id() const noexcept { return slipring_shared_id(native()); }
    SharedBuffer clone() const
    {
        slipring_shared_t *clone = nullptr;
        detail::must(slipring_shared_clone(native(), &clone));
        return SharedBuffer(clone);
    }
};

// A shared object that is being written.
class SharedBuilder : public detail::Owner<slipring_builder_t, slipring_builder_free> {
public:
    using Owner::Owner;

    static SharedBuilder build(std::size_t size, Timeout timeout = forever)
    {
        slipring_builder_t *builder = nullptr;
        detail::must(slipring_shared_build(size, timeout.count(), &builder));
        return SharedBuilder(builder);
    }
    std::byte *data() noexcept { return static_cast<std::byte *>(slipring_builder_data(native())); }
    // Ends the writing, for good. The builder is empty afterwards.
    SharedBuffer seal()
    {
        slipring_shared_t *shared = nullptr;
        detail::must(slipring_builder_seal(let_go(), &shared));
        return SharedBuffer(shared);
    }
};

// A message, a request or a reply. Released when it is dropped.
class Lease : public detail::Owner<slipring_lease_t, slipring_lease_release> {
public:
    using Owner::Owner;

    const std::byte *data() const noexcept { return static_cast<const std::byte *>(slipring_lease_data(native())); }
    std::size_t size() const noexcept { return slipring_lease_len(native()); }
    Bytes bytes() const noexcept { return {data(), size()}; }
    std::string_view text() const noexcept { return bytes().text(); }
    std::uint32_t type_id() const noexcept { return slipring_lease_type_id(native()); }
    // Of a request: what reply() is to be given.
    std::uint32_t id() const noexcept { return static_cast<std::uint32_t>(slipring_lease_correlation_id(native())); }
    bool is_note() const noexcept { return slipring_lease_is_note(native()) != 0; }
    // Makes it its holder's own, on any thread, past the end of the session.
    void keep() { detail::must(slipring_lease_keep(native())); }
    void keep(std::error_code &error) noexcept { error = code_of(slipring_lease_keep(native())); }
    std::size_t shared_count() const
    {
        std::size_t count = 0;
        detail::must(slipring_lease_shared_count(native(), &count));
        return count;
    }
    SharedBuffer shared(std::size_t index) const
    {
        slipring_shared_t *shared = nullptr;
        detail::must(slipring_lease_shared(native(), index, &shared));
        return SharedBuffer(shared);
    }
};

// Room to be written in place. Aborted when it is dropped.
class Claim : public detail::Owner<slipring_claim_t, slipring_claim_abort> {
public:
    using Owner::Owner;

    std::byte *data() noexcept { return static_cast<std::byte *>(slipring_claim_data(native())); }
    std::size_t size() const noexcept { return slipring_claim_len(native()); }
    // Sends the first `used` bytes. Where it fails the claim is still open.
    void commit(std::uint32_t type_id, std::size_t used)
    {
        detail::must(slipring_claim_commit(native(), type_id, used));
        let_go();
    }
    void commit(std::uint32_t type_id, std::size_t used, std::error_code &error) noexcept
    {
        error = code_of(slipring_claim_commit(native(), type_id, used));
        if (!error) {
            let_go();
        }
    }
    // Hidden until the bus is flushed.
    void commit_later(std::uint32_t type_id, std::size_t used)
    {
        detail::must(slipring_claim_commit_later(native(), type_id, used));
        let_go();
    }
    // Of a request: the call's number.
    std::uint32_t commit_call(std::uint32_t type_id, std::size_t used)
    {
        std::uint32_t id = 0;
        detail::must(slipring_claim_commit_call(native(), type_id, used, &id));
        let_go();
        return id;
    }
};

// One end of a one-way stream of messages.
class Bus : public detail::Owner<slipring_bus_t, slipring_bus_free> {
public:
    using Owner::Owner;

    static Bus listen(const std::string &address, Timeout timeout = forever, const Config &config = Config())
    {
        slipring_bus_t *bus = nullptr;
        detail::must(slipring_bus_listen(address.c_str(), &config, timeout.count(), &bus));
        return Bus(bus);
    }
    static Bus connect(const std::string &address, Timeout timeout = Timeout::zero(), const Config &config = Config())
    {
        slipring_bus_t *bus = nullptr;
        detail::must(slipring_bus_connect(address.c_str(), &config, timeout.count(), &bus));
        return Bus(bus);
    }

    void send(std::uint32_t type_id, Bytes payload, Timeout timeout = forever)
    {
        detail::must(slipring_bus_send(native(), type_id, payload.data(), payload.size(), timeout.count()));
    }
    void send(std::uint32_t type_id, Bytes payload, Timeout timeout, std::error_code &error) noexcept
    {
        error = code_of(slipring_bus_send(native(), type_id, payload.data(), payload.size(), timeout.count()));
    }
    // Whether there was room.
    bool try_send(std::uint32_t type_id, Bytes payload)
    {
        const slipring_status_t status = slipring_bus_send(native(), type_id, payload.data(), payload.size(), 0);
        if (status != SLIPRING_FULL) {
            detail::must(status);
        }
        return status == SLIPRING_OK;
    }
    void send_later(std::uint32_t type_id, Bytes payload, Timeout timeout = forever)
    {
        detail::must(slipring_bus_send_later(native(), type_id, payload.data(), payload.size(), timeout.count()));
    }
    void flush() { detail::must(slipring_bus_flush(native())); }
    void send_shared(std::uint32_t type_id, Bytes payload, const SharedBuffer &shared, Timeout timeout = forever)
    {
        const slipring_shared_t *objects[1] = {shared.native()};
        detail::must(slipring_bus_send_shared(native(), type_id, payload.data(), payload.size(), objects, 1, timeout.count()));
    }
    Claim claim(std::size_t size, Timeout timeout = forever)
    {
        slipring_claim_t *claim = nullptr;
        detail::must(slipring_bus_claim(native(), size, timeout.count(), &claim));
        return Claim(claim);
    }

    Lease recv(Timeout timeout = forever)
    {
        slipring_lease_t *lease = nullptr;
        detail::must(slipring_bus_recv(native(), timeout.count(), &lease));
        return Lease(lease);
    }
    Lease recv(Timeout timeout, std::error_code &error) noexcept
    {
        slipring_lease_t *lease = nullptr;
        error = code_of(slipring_bus_recv(native(), timeout.count(), &lease));
        return Lease(lease);
    }
    std::optional<Lease> try_recv()
    {
        slipring_lease_t *lease = nullptr;
        const slipring_status_t status = slipring_bus_recv(native(), 0, &lease);
        if (status == SLIPRING_EMPTY) {
            return std::nullopt;
        }
        detail::must(status);
        return Lease(lease);
    }

    // Messages one after the other, waiting for each, until the peer says goodbye. Another end is thrown.
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
                return *this;
            }
            detail::must(status);
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

    // Says goodbye, after waiting at most so long until all was read.
    void close(Timeout linger) { detail::must(slipring_bus_close(native(), linger.count())); }
    void close(Timeout linger, std::error_code &error) noexcept
    {
        error = code_of(slipring_bus_close(native(), linger.count()));
    }
    int fd() const
    {
        int fd = -1;
        detail::must(slipring_bus_fd(native(), &fd));
        return fd;
    }
    slipring_stats_t stats() const
    {
        slipring_stats_t stats;
        detail::must(slipring_stats_init(&stats));
        detail::must(slipring_bus_stats(native(), &stats));
        return stats;
    }
};

// One end of a session for calls.
class RpcBus : public detail::Owner<slipring_rpc_t, slipring_rpc_free> {
public:
    using Owner::Owner;

    static RpcBus listen(const std::string &address, Timeout timeout = forever, const Config &config = Config())
    {
        slipring_rpc_t *rpc = nullptr;
        detail::must(slipring_rpc_listen(address.c_str(), &config, timeout.count(), &rpc));
        return RpcBus(rpc);
    }
    static RpcBus connect(const std::string &address, Timeout timeout = Timeout::zero(), const Config &config = Config())
    {
        slipring_rpc_t *rpc = nullptr;
        detail::must(slipring_rpc_connect(address.c_str(), &config, timeout.count(), &rpc));
        return RpcBus(rpc);
    }

    std::uint32_t call(std::uint32_t type_id, Bytes payload, Timeout timeout = forever)
    {
        std::uint32_t id = 0;
        detail::must(slipring_rpc_call(native(), type_id, payload.data(), payload.size(), timeout.count(), &id));
        return id;
    }
    Lease wait(std::uint32_t id, Timeout timeout = forever)
    {
        slipring_lease_t *reply = nullptr;
        detail::must(slipring_rpc_wait(native(), id, timeout.count(), &reply));
        return Lease(reply);
    }
    Lease wait(std::uint32_t id, Timeout timeout, std::error_code &error) noexcept
    {
        slipring_lease_t *reply = nullptr;
        error = code_of(slipring_rpc_wait(native(), id, timeout.count(), &reply));
        return Lease(reply);
    }
    Lease request(std::uint32_t type_id, Bytes payload, Timeout timeout = forever)
    {
        slipring_lease_t *reply = nullptr;
        detail::must(slipring_rpc_request(native(), type_id, payload.data(), payload.size(), timeout.count(), &reply));
        return Lease(reply);
    }
    Lease request(std::uint32_t type_id, Bytes payload, Timeout timeout, std::error_code &error) noexcept
    {
        slipring_lease_t *reply = nullptr;
        error = code_of(slipring_rpc_request(native(), type_id, payload.data(), payload.size(), timeout.count(), &reply));
        return Lease(reply);
    }
    void note(std::uint32_t type_id, Bytes payload, Timeout timeout = forever)
    {
        detail::must(slipring_rpc_note(native(), type_id, payload.data(), payload.size(), timeout.count()));
    }
    void cancel(std::uint32_t id) { detail::must(slipring_rpc_cancel(native(), id)); }
    Claim claim_request(std::size_t size, Timeout timeout = forever)
    {
        slipring_claim_t *claim = nullptr;
        detail::must(slipring_rpc_claim_request(native(), size, timeout.count(), &claim));
        return Claim(claim);
    }

    Lease serve(Timeout timeout = forever)
    {
        slipring_lease_t *request = nullptr;
        detail::must(slipring_rpc_serve(native(), timeout.count(), &request));
        return Lease(request);
    }
    Lease serve(Timeout timeout, std::error_code &error) noexcept
    {
        slipring_lease_t *request = nullptr;
        error = code_of(slipring_rpc_serve(native(), timeout.count(), &request));
        return Lease(request);
    }
    void reply(const Lease &request, std::uint32_t type_id, Bytes payload, Timeout timeout = Timeout::zero())
    {
        detail::must(
            slipring_rpc_reply(native(), request.id(), type_id, payload.data(), payload.size(), timeout.count()));
    }
    void reply_error(const Lease &request, std::uint32_t code, const std::string &text)
    {
        detail::must(slipring_rpc_reply_error(native(), request.id(), code, text.c_str()));
    }
    Claim claim_reply(const Lease &request, std::size_t size)
    {
        slipring_claim_t *claim = nullptr;
        detail::must(slipring_rpc_claim_reply(native(), request.id(), size, &claim));
        return Claim(claim);
    }
    void close(Timeout linger) { detail::must(slipring_rpc_close(native(), linger.count())); }
    void close(Timeout linger, std::error_code &error) noexcept
    {
        error = code_of(slipring_rpc_close(native(), linger.count()));
    }
};

// A name at which any number of peers can connect.
class Listener : public detail::Owner<slipring_listener_t, slipring_listener_free> {
public:
    using Owner::Owner;

    static Listener bind(const std::string &address, const Config &config = Config())
    {
        slipring_listener_t *listener = nullptr;
        detail::must(slipring_listener_bind(address.c_str(), &config, &listener));
        return Listener(listener);
    }
    Bus accept_bus(Timeout timeout = forever)
    {
        slipring_bus_t *bus = nullptr;
        detail::must(slipring_listener_accept_bus(native(), timeout.count(), &bus));
        return Bus(bus);
    }
    RpcBus accept_rpc(Timeout timeout = forever)
    {
        slipring_rpc_t *rpc = nullptr;
        detail::must(slipring_listener_accept_rpc(native(), timeout.count(), &rpc));
        return RpcBus(rpc);
    }
};

// Waits for any number of sessions and listeners at once. What is in it stays its owner's, who removes it before it is dropped, or
// drops the poller first.
class Poller : public detail::Owner<slipring_poller_t, slipring_poller_free> {
public:
    using Owner::Owner;

    static Poller make(const Config &config = Config())
    {
        slipring_poller_t *poller = nullptr;
        detail::must(slipring_poller_new(&config, &poller));
        return Poller(poller);
    }
    void add(Bus &bus, std::uint64_t token) { detail::must(slipring_poller_add_bus(native(), bus.native(), token)); }
    void add(RpcBus &rpc, std::uint64_t token) { detail::must(slipring_poller_add_rpc(native(), rpc.native(), token)); }
    void add(Listener &listener, std::uint64_t token)
    {
        detail::must(slipring_poller_add_listener(native(), listener.native(), token));
    }
    void remove(Bus &bus) { detail::must(slipring_poller_remove_bus(native(), bus.native())); }
    void remove(RpcBus &rpc) { detail::must(slipring_poller_remove_rpc(native(), rpc.native())); }
    void remove(Listener &listener) { detail::must(slipring_poller_remove_listener(native(), listener.native())); }
    // Replaces what is in `ready` by the tokens of at most `most` that have something to do.
    void wait(std::vector<std::uint64_t> &ready, Timeout timeout = forever, std::size_t most = 256)
    {
        std::size_t count = 0;
        ready.resize(most);
        const slipring_status_t status =
            slipring_poller_wait(native(), timeout.count(), ready.data(), ready.size(), &count);
        ready.resize(count);
        detail::must(status);
    }
};

} // namespace slipring

#endif // SLIPRING_HPP
