// Serves any number of clients at one name. Part of slipring.hpp.
#ifndef SLIPRING_HPP_SERVER
#define SLIPRING_HPP_SERVER

#include <memory>
#include <slipring/hpp/rpc.hpp>

namespace slipring {

// Stops a server, from any number of threads at once, and from handlers.
class Stopper : public detail::Owner<slipring_stopper_t, slipring_stopper_free> {
public:
    using Owner::Owner;

    // Ends the server's run, or the next one if there is none.
    void stop() const { detail::must(slipring_stopper_stop, native()); }
    void stop(std::error_code &error) const noexcept { detail::may(error, slipring_stopper_stop, native()); }
};

namespace detail {

// What a handler of messages or ends throws has nowhere to go: the program ends (std::terminate).
template <typename F>
void hear(void *user, std::uint64_t session, const slipring_frame_t *frame) noexcept
{
    (*static_cast<F *>(user))(session, Frame(*frame));
}

template <typename F>
void end(void *user, std::uint64_t session, slipring_status_t why) noexcept
{
    (*static_cast<F *>(user))(session, why);
}

} // namespace detail

// Serves any number of clients at one name, by handlers. With workers these are called in several threads at once, for different
// sessions.
class Server {
public:
    using Handle = slipring_server_t;

    Server() noexcept = default;
    explicit Server(slipring_server_t *handle) noexcept : server_(handle) {}
    Server(Server &&) noexcept = default;
    // The server first, so that its handlers outlive it.
    Server &operator=(Server &&other) noexcept
    {
        server_ = std::move(other.server_);
        served_ = std::move(other.served_);
        ended_ = std::move(other.ended_);
        return *this;
    }
    Server(const Server &) = delete;
    Server &operator=(const Server &) = delete;
    ~Server() = default;

    explicit operator bool() const noexcept { return static_cast<bool>(server_); }
    // For the functions of slipring.h. It remains this owner's.
    slipring_server_t *native() const noexcept { return server_.native(); }

    // Clients can connect from here on; they are accepted when it runs.
    static Server bind(Address address, const Config &config = Config())
    {
        return detail::made<Server>(slipring_server_bind, address.text(), &config);
    }
    static Server bind(Address address, const Config &config, std::error_code &error) noexcept
    {
        return detail::made<Server>(error, slipring_server_bind, address.text(), &config);
    }
    static Server bind(Address address, std::error_code &error) noexcept
    {
        return detail::made<Server>(error, slipring_server_bind, address.text(), nullptr);
    }

    // Serves calls by `handler(Request &)`. What it throws costs that call alone, as with RpcBus::on_request. Of this and the two below
    // the twins with an error code may run out of memory, which is thrown.
    template <typename F>
    void on_request(F &&handler)
    {
        std::error_code error;
        on_request(std::forward<F>(handler), error);
        detail::must(error);
    }
    template <typename F>
    void on_request(F &&handler, std::error_code &error)
    {
        keep(served_, slipring_server_on_request, &detail::serve<std::decay_t<F>>, std::forward<F>(handler), error);
    }
    // Receives messages by `handler(session, Frame)`, instead of serving calls. It must not throw.
    template <typename F>
    void on_frame(F &&handler)
    {
        std::error_code error;
        on_frame(std::forward<F>(handler), error);
        detail::must(error);
    }
    template <typename F>
    void on_frame(F &&handler, std::error_code &error)
    {
        keep(served_, slipring_server_on_frame, &detail::hear<std::decay_t<F>>, std::forward<F>(handler), error);
    }
    // Tells `handler(session, status)` of every session that ended, after everything that the client had sent was served. It must not
    // throw.
    template <typename F>
    void on_end(F &&handler)
    {
        std::error_code error;
        on_end(std::forward<F>(handler), error);
        detail::must(error);
    }
    template <typename F>
    void on_end(F &&handler, std::error_code &error)
    {
        keep(ended_, slipring_server_on_end, &detail::end<std::decay_t<F>>, std::forward<F>(handler), error);
    }

    // How many threads of their own serve while the server runs; with 0, the default, the one that runs it does.
    void workers(std::size_t threads) { detail::must(slipring_server_workers, native(), threads); }
    void workers(std::size_t threads, std::error_code &error) noexcept
    {
        detail::may(error, slipring_server_workers, native(), threads);
    }
    // Serves until a stopper stops it. A timeout that passes is an error, as everywhere; a later run goes on with the sessions.
    void run(Timeout timeout = forever) { detail::must(slipring_server_run, native(), timeout.count()); }
    void run(Timeout timeout, std::error_code &error) noexcept
    {
        detail::may(error, slipring_server_run, native(), timeout.count());
    }
    Stopper stopper() { return detail::made<Stopper>(slipring_server_stopper, native()); }
    Stopper stopper(std::error_code &error) noexcept { return detail::made<Stopper>(error, slipring_server_stopper, native()); }

    // How many clients have a session now.
    std::size_t sessions() const { return detail::told<std::size_t>(slipring_server_sessions, native()); }
    std::size_t sessions(std::error_code &error) const noexcept
    {
        return detail::told<std::size_t>(error, slipring_server_sessions, native());
    }
    // As clients can be given it.
    std::string address() const { return detail::text_of(slipring_server_address, native()); }
    // It may run out of memory, which is thrown.
    std::string address(std::error_code &error) const { return detail::text_of(error, slipring_server_address, native()); }

private:
    template <typename F, typename Set, typename Call>
    void keep(std::shared_ptr<void> &keeper, Set set, Call call, F &&handler, std::error_code &error)
    {
        auto kept = std::make_shared<std::decay_t<F>>(std::forward<F>(handler));
        detail::may(error, set, native(), call, static_cast<void *>(kept.get()));
        if (!error) {
            keeper = std::move(kept);
        }
    }

    // Before the server, so that they outlive it.
    std::shared_ptr<void> served_;
    std::shared_ptr<void> ended_;
    detail::Owner<slipring_server_t, slipring_server_free> server_;
};

} // namespace slipring

#endif // SLIPRING_HPP_SERVER
