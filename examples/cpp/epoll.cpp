// One event loop, many sessions: a listener and its sessions watched by epoll, as any foreign event loop would. The rule is the same for
// every descriptor here: call the `try_` form until it has nothing, once at the start and then whenever the descriptor is readable.
// make -C examples/cpp run-epoll
#include "example.hpp"
#include <map>
#include <sys/epoll.h>
#include <thread>
#include <vector>

static constexpr std::uint32_t clients = 3, messages = 4;

static void talk(const std::string &name, std::uint32_t who)
{
    auto bus = slipring::Bus::connect(name, soon);
    for (std::uint32_t message = 1; message <= messages; message++) {
        std::this_thread::sleep_for(10ms * who);
        bus.send(who, "message " + std::to_string(message));
    }
    bus.close(soon);
}

class Loop {
public:
    explicit Loop(const std::string &name) : listener_(slipring::Listener::bind(name)) { watch(listener_.fd()); }
    ~Loop() { close(epoll_); }

    bool is_done() const { return accepted_ == clients && sessions_.empty(); }
    // One turn: waits for an event, and attends to it.
    void turn()
    {
        epoll_event event{};
        if (epoll_wait(epoll_, &event, 1, 5000) != 1) {
            throw std::runtime_error("nothing happened for five seconds");
        }
        if (event.data.fd == listener_.fd()) {
            accept();
        } else {
            hear(event.data.fd);
        }
    }
    std::uint32_t accepted_ = 0, heard_ = 0;

private:
    void watch(int fd) const
    {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
            throw std::system_error(errno, std::generic_category());
        }
    }
    // Takes every session that stands, and watches it.
    void accept()
    {
        while (auto bus = listener_.try_accept_bus()) {
            const int fd = bus->fd();
            watch(fd);
            sessions_.emplace(fd, std::move(*bus));
            accepted_++;
            hear(fd); // nothing wakes a descriptor that was never armed
        }
    }
    // Takes everything that has come in one session, and lets it go when its peer has closed.
    void hear(int fd)
    {
        const auto session = sessions_.find(fd);
        if (session == sessions_.end()) {
            return;
        }
        std::error_code end;
        while (const auto message = session->second.try_recv(end)) {
            std::printf("client %u says %s\n", message->type_id(), std::string(message->text()).c_str());
            heard_++;
        }
        if (end == SLIPRING_CLOSED) {
            epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
            sessions_.erase(session);
        } else if (end) {
            throw std::system_error(end);
        }
    }

    int epoll_ = epoll_create1(EPOLL_CLOEXEC);
    slipring::Listener listener_;
    std::map<int, slipring::Bus> sessions_;
};

int main()
{
    const auto name = own_name("epoll");
    std::vector<Process> processes;
    for (std::uint32_t who = 1; who <= clients; who++) {
        processes.emplace_back([&name, who] { talk(name, who); });
    }
    Loop loop(name);
    while (!loop.is_done()) {
        loop.turn();
    }
    std::printf("%u sessions, %u messages\n", loop.accepted_, loop.heard_);
    bool well = loop.heard_ == clients * messages;
    for (auto &process : processes) {
        well &= process.ended_well();
    }
    return well ? 0 : 1;
}
