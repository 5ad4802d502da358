// What the examples share: a name of their own, and a second process.
#ifndef EXAMPLE_HPP
#define EXAMPLE_HPP

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <slipring/slipring.hpp>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;

inline constexpr slipring::Timeout soon = 10s;

// A name that no other run has.
inline std::string own_name(const std::string &example)
{
    return example + "-" + std::to_string(getpid());
}

// Ends with what `run` answers, or with what it throws.
template <typename F>
[[noreturn]] void end_with(F run) noexcept
{
    int status = 1;
    try {
        status = run();
    } catch (const std::exception &thrown) {
        std::fprintf(stderr, "%s\n", thrown.what());
    }
    std::fflush(stdout);
    std::_Exit(status);
}

// A second process. It is started before anything is opened: a child owns none of its parent's ends.
class Process {
public:
    template <typename F>
    explicit Process(F run)
    {
        std::fflush(stdout);
        child_ = fork();
        if (child_ == 0) {
            end_with([&run] {
                run();
                return 0;
            });
        }
    }
    Process(Process &&other) noexcept : child_(std::exchange(other.child_, -1)) {}
    Process(const Process &) = delete;
    Process &operator=(Process &&) = delete;
    ~Process()
    {
        if (child_ > 0) {
            kill();
        }
    }

    void kill()
    {
        ::kill(child_, SIGKILL);
        waitpid(std::exchange(child_, -1), nullptr, 0);
    }
    bool ended_well()
    {
        int status = 0;
        return waitpid(std::exchange(child_, -1), &status, 0) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }

private:
    pid_t child_;
};

#endif
