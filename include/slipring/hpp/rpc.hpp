// One end of a session for calls, and what its handler is given. Part of slipring.hpp.
#ifndef SLIPRING_HPP_RPC
#define SLIPRING_HPP_RPC

#include <exception>
#include <memory>
#include <slipring/hpp/owned.hpp>
#include <slipring/hpp/process.hpp>

namespace slipring {

class Request;

// The number that a caller gets (Error::remote_code) whose handler threw. The text is that of the exception.
inline constexpr std::uint32_t handler_threw = 0x7FFFFFFF;

// The request that a reply is for: the lease of it, the request of a handler, or the number of either.
class ReplyTo {
public:
    ReplyTo(std::uint32_t id) noexcept : id_(id) {}
    ReplyTo(const Lease &request) noexcept : id_(request.id()) {}
    inline ReplyTo(const Request &request) noexcept;
    std::uint32_t id() const noexcept { return id_; }

private:
    std::uint32_t id_;
};

// What can be done with an end for calls, be it one's own (RpcBus) or lent to a handler (Request::bus).
class Calls {
public:
    Calls(const Calls &) = delete;
    Calls &operator=(const Calls &) = delete;
    // For the functions of slipring.h.
    slipring_rpc_t *native() const noexcept { return handle_; }

    // Sends a request, and gives the number by which wait() finds the reply. A positive timeout travels with it.
    std::uint32_t call(std::uint32_t type_id, Bytes payload, Timeout timeout = forever)
    {
        return detail::told<std::uint32_t>(slipring_rpc_call, handle_, type_id, payload.data(), payload.size(), timeout.count());
    }
    std::uint32_t call(std::uint32_t type_id, Bytes payload, Timeout timeout, std::error_code &error) noexcept
    {
        return detail::told<std::uint32_t>(error, slipring_rpc_call, handle_, type_id, payload.data(), payload.size(),
                                           timeout.count());
    }
    std::uint32_t call_shared(std::uint32_t type_id, Bytes payload, const Attached &shared, Timeout timeout = forever)
    {
        return detail::told<std::uint32_t>(slipring_rpc_call_shared, handle_, type_id, payload.data(), payload.size(), shared.data(),
                                           shared.size(), timeout.count());
    }
    std::uint32_t call_shared(std::uint32_t type_id, Bytes payload, const Attached &shared, Timeout timeout,
                              std::error_code &error) noexcept
    {
        return detail::told<std::uint32_t>(error, slipring_rpc_call_shared, handle_, type_id, payload.data(), payload.size(),
                                           shared.data(), shared.size(), timeout.count());
    }
    // The reply to a call. After a timeout the call is still in flight.
    Lease wait(std::uint32_t id, Timeout timeout = forever)
    {
        return detail::made<Lease>(slipring_rpc_wait, handle_, id, timeout.count());
    }
    Lease wait(std::uint32_t id, Timeout timeout, std::error_code &error) noexcept
    {
        return detail::made<Lease>(error, slipring_rpc_wait, handle_, id, timeout.count());
    }
    std::optional<Lease> try_wait(std::uint32_t id)
    {
        return detail::tried<Lease>(SLIPRING_EMPTY, slipring_rpc_wait, handle_, id, std::int64_t{0});
    }
    std::optional<Lease> try_wait(std::uint32_t id, std::error_code &error) noexcept
    {
        return detail::tried<Lease>(error, SLIPRING_EMPTY, slipring_rpc_wait, handle_, id, std::int64_t{0});
    }
    // A call and the wait for its reply.
    Lease request(std::uint32_t type_id, Bytes payload, Timeout timeout = forever)
    {
        return detail::made<Lease>(slipring_rpc_request, handle_, type_id, payload.data(), payload.size(), timeout.count());
    }
    Lease request(std::uint32_t type_id, Bytes payload, Timeout timeout, std::error_code &error) noexcept
    {
        return detail::made<Lease>(error, slipring_rpc_request, handle_, type_id, payload.data(), payload.size(), timeout.count());
    }
    // A request of which nobody awaits a reply.
    void note(std::uint32_t type_id, Bytes payload, Timeout timeout = forever)
    {
        detail::must(slipring_rpc_note, handle_, type_id, payload.data(), payload.size(), timeout.count());
    }
    void note(std::uint32_t type_id, Bytes payload, Timeout timeout, std::error_code &error) noexcept
    {
        detail::may(error, slipring_rpc_note, handle_, type_id, payload.data(), payload.size(), timeout.count());
    }
    void cancel(std::uint32_t id) { detail::must(slipring_rpc_cancel, handle_, id); }
    void cancel(std::uint32_t id, std::error_code &error) noexcept { detail::may(error, slipring_rpc_cancel, handle_, id); }
    // Room for a request, to be written in place and sent by Claim::commit_call.
    Claim claim_request(std::size_t size, Timeout timeout = forever)
    {
        return detail::made<Claim>(slipring_rpc_claim_request, handle_, size, timeout.count());
    }
    Claim claim_request(std::size_t size, Timeout timeout, std::error_code &error) noexcept
    {
        return detail::made<Claim>(error, slipring_rpc_claim_request, handle_, size, timeout.count());
    }
    // A block that is the caller's own until it is sent by call_owned or reply_owned: any number at a time, on any thread.
    Claim claim_owned(std::size_t size, Timeout timeout = forever)
    {
        return detail::made<Claim>(slipring_rpc_claim_owned, handle_, size, timeout.count());
    }
    Claim claim_owned(std::size_t size, Timeout timeout, std::error_code &error) noexcept
    {
        return detail::made<Claim>(error, slipring_rpc_claim_owned, handle_, size, timeout.count());
    }
    // Sends the first `used` bytes, and empties the claim. Where it fails the claim is still there.
    std::uint32_t call_owned(std::uint32_t type_id, Claim &claim, std::size_t used, Timeout timeout = forever)
    {
        const auto id = detail::told<std::uint32_t>(slipring_rpc_call_owned, handle_, type_id, claim.native(), used, timeout.count());
        claim.let_go();
        return id;
    }
    std::uint32_t call_owned(std::uint32_t type_id, Claim &claim, std::size_t used, Timeout timeout, std::error_code &error) noexcept
    {
        const auto id =
            detail::told<std::uint32_t>(error, slipring_rpc_call_owned, handle_, type_id, claim.native(), used, timeout.count());
        claim.let_go_unless(error);
        return id;
    }

    // The next request, which stays open until it is replied to, at once or later.
    Lease serve(Timeout timeout = forever) { return detail::made<Lease>(slipring_rpc_serve, handle_, timeout.count()); }
    Lease serve(Timeout timeout, std::error_code &error) noexcept
    {
        return detail::made<Lease>(error, slipring_rpc_serve, handle_, timeout.count());
    }
    std::optional<Lease> try_serve()
    {
        return detail::tried<Lease>(SLIPRING_EMPTY, slipring_rpc_serve, handle_, std::int64_t{0});
    }
    std::optional<Lease> try_serve(std::error_code &error) noexcept
    {
        return detail::tried<Lease>(error, SLIPRING_EMPTY, slipring_rpc_serve, handle_, std::int64_t{0});
    }
    // The payload may be the request's own. The timeout is for a block of memory, where a long reply needs one.
    void reply(ReplyTo to, std::uint32_t type_id, Bytes payload, Timeout timeout = Timeout::zero())
    {
        detail::must(slipring_rpc_reply, handle_, to.id(), type_id, payload.data(), payload.size(), timeout.count());
    }
    void reply(ReplyTo to, std::uint32_t type_id, Bytes payload, Timeout timeout, std::error_code &error) noexcept
    {
        detail::may(error, slipring_rpc_reply, handle_, to.id(), type_id, payload.data(), payload.size(), timeout.count());
    }
    void reply_shared(ReplyTo to, std::uint32_t type_id, Bytes payload, const Attached &shared, Timeout timeout = Timeout::zero())
    {
        detail::must(slipring_rpc_reply_shared, handle_, to.id(), type_id, payload.data(), payload.size(), shared.data(),
                     shared.size(), timeout.count());
    }
    void reply_shared(ReplyTo to, std::uint32_t type_id, Bytes payload, const Attached &shared, Timeout timeout,
                      std::error_code &error) noexcept
    {
        detail::may(error, slipring_rpc_reply_shared, handle_, to.id(), type_id, payload.data(), payload.size(), shared.data(),
                    shared.size(), timeout.count());
    }
    void reply_error(ReplyTo to, std::uint32_t code, const std::string &text)
    {
        detail::must(slipring_rpc_reply_error, handle_, to.id(), code, text.c_str());
    }
    void reply_error(ReplyTo to, std::uint32_t code, const std::string &text, std::error_code &error) noexcept
    {
        detail::may(error, slipring_rpc_reply_error, handle_, to.id(), code, text.c_str());
    }
    // Room for a reply, to be written in place and sent by Claim::commit.
    Claim claim_reply(ReplyTo to, std::size_t size)
    {
        return detail::made<Claim>(slipring_rpc_claim_reply, handle_, to.id(), size);
    }
    Claim claim_reply(ReplyTo to, std::size_t size, std::error_code &error) noexcept
    {
        return detail::made<Claim>(error, slipring_rpc_claim_reply, handle_, to.id(), size);
    }
    void reply_owned(ReplyTo to, std::uint32_t type_id, Claim &claim, std::size_t used)
    {
        detail::must(slipring_rpc_reply_owned, handle_, to.id(), type_id, claim.native(), used);
        claim.let_go();
    }
    void reply_owned(ReplyTo to, std::uint32_t type_id, Claim &claim, std::size_t used, std::error_code &error) noexcept
    {
        detail::may(error, slipring_rpc_reply_owned, handle_, to.id(), type_id, claim.native(), used);
        claim.let_go_unless(error);
    }

    // Serves by the handler until the session ends, or the timeout has passed: both are thrown, as every end is.
    void run(Timeout timeout = forever) { detail::must(slipring_rpc_run, handle_, timeout.count()); }
    void run(Timeout timeout, std::error_code &error) noexcept { detail::may(error, slipring_rpc_run, handle_, timeout.count()); }
    // Serves at most `limit` requests that are there by the handler, and says how many: 0 if none was.
    std::size_t run_some(std::size_t limit)
    {
        std::error_code error;
        const std::size_t count = run_some(limit, error);
        detail::must(error);
        return count;
    }
    std::size_t run_some(std::size_t limit, std::error_code &error) noexcept
    {
        std::size_t count = 0;
        const slipring_status_t status = slipring_rpc_run_some(handle_, limit, &count);
        error = code_of(status == SLIPRING_EMPTY ? SLIPRING_OK : status);
        return count;
    }
    // How many calls of this end are in flight.
    std::uint32_t in_flight() const { return detail::told<std::uint32_t>(slipring_rpc_in_flight, handle_); }
    std::uint32_t in_flight(std::error_code &error) const noexcept
    {
        return detail::told<std::uint32_t>(error, slipring_rpc_in_flight, handle_);
    }
    // SLIPRING_STATE_...
    int state() const { return detail::told<int>(slipring_rpc_state, handle_); }
    int state(std::error_code &error) const noexcept { return detail::told<int>(error, slipring_rpc_state, handle_); }
    // A sum of SLIPRING_CAN_...
    std::uint32_t capabilities() const { return detail::told<std::uint32_t>(slipring_rpc_capabilities, handle_); }
    std::uint32_t capabilities(std::error_code &error) const noexcept
    {
        return detail::told<std::uint32_t>(error, slipring_rpc_capabilities, handle_);
    }
    Stats stats() const { return detail::stats_of(slipring_rpc_stats, handle_); }
    Stats stats(std::error_code &error) const noexcept { return detail::stats_of(error, slipring_rpc_stats, handle_); }

protected:
    friend class Request;
    Calls() noexcept = default;
    explicit Calls(slipring_rpc_t *handle) noexcept : handle_(handle) {}
    ~Calls() = default;

    slipring_rpc_t *handle_ = nullptr;
};

// A request, and the end that it came by, for the time of a handler. It is replied to by reply() and the like; if it is not, its caller
// gets SLIPRING_REMOTE.
class Request {
public:
    Request(std::uint64_t session, slipring_rpc_t *rpc, slipring_lease_t *request) noexcept
        : session_(session), bus_(rpc), request_(request), type_id_(request_.type_id()), id_(request_.id())
    {
    }
    Request(const Request &) = delete;
    Request &operator=(const Request &) = delete;
    // What was not kept remains the library's.
    ~Request() { request_.let_go(); }

    // Which client of a server asks; 0 if there is no server.
    std::uint64_t session() const noexcept { return session_; }
    // For calling out, by which the handler may be called again.
    Calls &bus() noexcept { return bus_; }
    const std::byte *data() const noexcept { return request_.data(); }
    std::size_t size() const noexcept { return request_.size(); }
    Bytes bytes() const noexcept { return request_.bytes(); }
    std::string_view text() const noexcept { return request_.text(); }
    std::uint32_t type_id() const noexcept { return type_id_; }
    std::uint32_t id() const noexcept { return id_; }
    bool is_note() const noexcept { return request_.is_note(); }
    Lease::Deadline deadline() const { return request_.deadline(); }
    Lease::Deadline deadline(std::error_code &error) const noexcept { return request_.deadline(error); }
    std::size_t shared_count() const { return request_.shared_count(); }
    std::size_t shared_count(std::error_code &error) const noexcept { return request_.shared_count(error); }
    SharedBuffer shared(std::size_t index) const { return request_.shared(index); }
    SharedBuffer shared(std::size_t index, std::error_code &error) const noexcept { return request_.shared(index, error); }

    void reply(std::uint32_t type_id, Bytes payload) { bus_.reply(id(), type_id, payload); }
    void reply(std::uint32_t type_id, Bytes payload, std::error_code &error) noexcept
    {
        bus_.reply(id(), type_id, payload, Timeout::zero(), error);
    }
    void reply_error(std::uint32_t code, const std::string &text) { bus_.reply_error(id(), code, text); }
    void reply_error(std::uint32_t code, const std::string &text, std::error_code &error) noexcept
    {
        bus_.reply_error(id(), code, text, error);
    }
    // Takes the payload out, to be kept past the end of the handler. The request has none any more, and is still to be replied to.
    Lease keep()
    {
        request_.keep();
        return std::move(request_);
    }
    Lease keep(std::error_code &error) noexcept
    {
        request_.keep(error);
        return error ? Lease() : std::move(request_);
    }

private:
    struct Lent : Calls {
        explicit Lent(slipring_rpc_t *handle) noexcept : Calls(handle) {}
    };

    std::uint64_t session_;
    Lent bus_;
    Lease request_;
    std::uint32_t type_id_;
    std::uint32_t id_;
};

inline ReplyTo::ReplyTo(const Request &request) noexcept : id_(request.id()) {}

namespace detail {

// Calls a handler of the caller's. What it throws must not go through the library: it becomes the reply.
template <typename F>
void serve(void *user, std::uint64_t session, slipring_rpc_t *rpc, slipring_lease_t *lent) noexcept
{
    Request request(session, rpc, lent);
    F &handler = *static_cast<F *>(user);
#if defined(__cpp_exceptions)
    // Where it was replied to already this fails, of which nobody need know.
    const auto tell = [&](const char *text) { slipring_rpc_reply_error(rpc, request.id(), handler_threw, text); };
    try {
        handler(request);
    } catch (const std::exception &thrown) {
        tell(thrown.what());
    } catch (...) {
        tell("the handler threw what is no std::exception");
    }
#else
    handler(request);
#endif
}

} // namespace detail

// One end of a session for calls: both ends may call, and both may serve. Dropped, it is closed.
class RpcBus : public Calls {
public:
    using Handle = slipring_rpc_t;

    RpcBus() noexcept = default;
    explicit RpcBus(slipring_rpc_t *handle) noexcept : Calls(handle) {}
    RpcBus(RpcBus &&other) noexcept : Calls(other.let_go()), handler_(std::move(other.handler_)) {}
    RpcBus &operator=(RpcBus &&other) noexcept
    {
        if (this != &other) {
            slipring_rpc_free(handle_);
            handle_ = other.let_go();
            handler_ = std::move(other.handler_);
        }
        return *this;
    }
    ~RpcBus() { slipring_rpc_free(handle_); }

    explicit operator bool() const noexcept { return handle_ != nullptr; }
    // The caller's from here on. Its handler, if it has one, lives no longer than this.
    slipring_rpc_t *let_go() noexcept { return std::exchange(handle_, nullptr); }

    // Listens for one peer. This end answers calls, unless the config says otherwise.
    static RpcBus listen(Address address, Timeout timeout = forever, const Config &config = Config())
    {
        return detail::made<RpcBus>(slipring_rpc_listen, address.text(), &config, timeout.count());
    }
    static RpcBus listen(Address address, Timeout timeout, const Config &config, std::error_code &error) noexcept
    {
        return detail::made<RpcBus>(error, slipring_rpc_listen, address.text(), &config, timeout.count());
    }
    static RpcBus listen(Address address, Timeout timeout, std::error_code &error) noexcept
    {
        return detail::made<RpcBus>(error, slipring_rpc_listen, address.text(), nullptr, timeout.count());
    }
    // Connects. The timeout is for the listener to appear. This end answers calls only if the config says so, or it has a handler.
    static RpcBus connect(Address address, Timeout timeout = Timeout::zero(), const Config &config = Config())
    {
        return detail::made<RpcBus>(slipring_rpc_connect, address.text(), &config, timeout.count());
    }
    static RpcBus connect(Address address, Timeout timeout, const Config &config, std::error_code &error) noexcept
    {
        return detail::made<RpcBus>(error, slipring_rpc_connect, address.text(), &config, timeout.count());
    }
    static RpcBus connect(Address address, Timeout timeout, std::error_code &error) noexcept
    {
        return detail::made<RpcBus>(error, slipring_rpc_connect, address.text(), nullptr, timeout.count());
    }
    // Says goodbye, after waiting at most so long until all was read. It is closed whatever came of it.
    void close(Timeout linger) { detail::must(slipring_rpc_close, handle_, linger.count()); }
    void close(Timeout linger, std::error_code &error) noexcept { detail::may(error, slipring_rpc_close, handle_, linger.count()); }

    // From now on `handler(Request &)` serves the calls that arrive while this end waits for anything, or runs. What it throws costs
    // that call alone: its caller gets SLIPRING_REMOTE, with the number `handler_threw` and the text of the exception.
    template <typename F>
    void on_request(F &&handler)
    {
        std::error_code error;
        on_request(std::forward<F>(handler), error);
        detail::must(error);
    }
    // It may run out of memory, which is thrown.
    template <typename F>
    void on_request(F &&handler, std::error_code &error)
    {
        using Kept = std::decay_t<F>;
        auto kept = std::make_shared<Kept>(std::forward<F>(handler));
        detail::may(error, slipring_rpc_on_request, handle_, &detail::serve<Kept>, static_cast<void *>(kept.get()));
        if (!error) {
            handler_ = std::move(kept);
        }
    }

    // For an event loop: see slipring_rpc_fd. It is the library's.
    int fd() const { return detail::told<int>(slipring_rpc_fd, handle_); }
    int fd(std::error_code &error) const noexcept { return detail::told<int>(error, slipring_rpc_fd, handle_); }

private:
    std::shared_ptr<void> handler_;
};

} // namespace slipring

#endif // SLIPRING_HPP_RPC
