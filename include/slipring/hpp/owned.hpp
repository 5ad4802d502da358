// What is received, what is written in place, and memory that many processes read. Part of slipring.hpp.
#ifndef SLIPRING_HPP_OWNED
#define SLIPRING_HPP_OWNED

#include <array>
#include <slipring/hpp/bytes.hpp>
#include <slipring/hpp/error.hpp>

namespace slipring {

// Memory that never changes, read in place by any number of processes. Its const functions may be called by any number of threads.
class SharedBuffer : public detail::Owner<slipring_shared_t, slipring_shared_free> {
public:
    using Owner::Owner;

    const std::byte *data() const noexcept { return bytes().data(); }
    std::size_t size() const noexcept { return slipring_shared_len(native()); }
    Bytes bytes() const noexcept { return {slipring_shared_data(native()), size()}; }
    // The number by which the kernel knows the memory, the same in every process.
    std::uint64_t id() const noexcept { return slipring_shared_id(native()); }

    // One more handle of the same memory.
    SharedBuffer clone() const { return detail::made<SharedBuffer>(slipring_shared_clone, native()); }
    SharedBuffer clone(std::error_code &error) const noexcept
    {
        return detail::made<SharedBuffer>(error, slipring_shared_clone, native());
    }
    // To be handed to another process by whatever way. It is the library's.
    int fd() const { return detail::told<int>(slipring_shared_fd, native()); }
    int fd(std::error_code &error) const noexcept { return detail::told<int>(error, slipring_shared_fd, native()); }
    // The object of `size` bytes behind a descriptor that came by another way. The descriptor remains the caller's.
    static SharedBuffer attach(int fd, std::size_t size)
    {
        return detail::made<SharedBuffer>(slipring_shared_attach, fd, size);
    }
    static SharedBuffer attach(int fd, std::size_t size, std::error_code &error) noexcept
    {
        return detail::made<SharedBuffer>(error, slipring_shared_attach, fd, size);
    }
};

// A shared object that is being written.
class SharedBuilder : public detail::Owner<slipring_builder_t, slipring_builder_free> {
public:
    SharedBuilder() noexcept = default;

    // `size` bytes, all zero. The timeout is for the memory to be had.
    static SharedBuilder build(std::size_t size, Timeout timeout = forever)
    {
        return SharedBuilder(detail::told<slipring_builder_t *>(slipring_shared_build, size, timeout.count()), size);
    }
    static SharedBuilder build(std::size_t size, Timeout timeout, std::error_code &error) noexcept
    {
        return SharedBuilder(detail::told<slipring_builder_t *>(error, slipring_shared_build, size, timeout.count()), size);
    }
    std::byte *data() noexcept { return room().data(); }
    std::size_t size() const noexcept { return *this ? size_ : 0; }
    Room room() noexcept { return {slipring_builder_data(native()), size()}; }
    // Ends the writing, for good. The builder is empty afterwards, whatever came of it.
    SharedBuffer seal() { return detail::made<SharedBuffer>(slipring_builder_seal, let_go()); }
    SharedBuffer seal(std::error_code &error) noexcept
    {
        return detail::made<SharedBuffer>(error, slipring_builder_seal, let_go());
    }

private:
    SharedBuilder(slipring_builder_t *handle, std::size_t size) noexcept : Owner(handle), size_(size) {}

    std::size_t size_ = 0;
};

// The shared objects that go with a message: one, or `{table, index}`, at most 8.
class Attached {
public:
    template <typename... S, typename = std::enable_if_t<(std::is_same_v<S, SharedBuffer> && ...)>>
    Attached(const SharedBuffer &first, const S &...rest) noexcept : objects_{first.native(), rest.native()...}, count_(1 + sizeof...(S))
    {
        static_assert(sizeof...(S) < 8, "at most 8 shared objects go with a message");
    }
    // Of a row of them. One too many is enough for the library to say that they are.
    Attached(Span<const SharedBuffer> objects) noexcept
    {
        for (const SharedBuffer &object : objects) {
            if (count_ < objects_.size()) {
                objects_[count_++] = object.native();
            }
        }
    }
    const slipring_shared_t *const *data() const noexcept { return objects_.data(); }
    std::size_t size() const noexcept { return count_; }

private:
    std::array<const slipring_shared_t *, 9> objects_{};
    std::size_t count_ = 0;
};

// A message, a request or a reply. Released when it is dropped.
class Lease : public detail::Owner<slipring_lease_t, slipring_lease_release> {
public:
    using Owner::Owner;

    // Null and 0 for a lease that is over.
    const std::byte *data() const noexcept { return static_cast<const std::byte *>(slipring_lease_data(native())); }
    std::size_t size() const noexcept { return slipring_lease_len(native()); }
    Bytes bytes() const noexcept { return {data(), size()}; }
    std::string_view text() const noexcept { return bytes().text(); }
    std::uint32_t type_id() const noexcept { return slipring_lease_type_id(native()); }
    // Of a request: what reply() is to be given. Of a reply: the call that it answers.
    std::uint32_t id() const noexcept { return static_cast<std::uint32_t>(slipring_lease_correlation_id(native())); }
    bool is_note() const noexcept { return slipring_lease_is_note(native()) != 0; }

    // Of a request: how much time its caller has left, `forever` if it never gives up, and whether it is known to have given up.
    struct Deadline {
        Timeout left;
        bool cancelled;
    };
    Deadline deadline() const
    {
        std::int64_t left = 0;
        std::int32_t cancelled = 0;
        detail::must(slipring_lease_deadline, native(), &left, &cancelled);
        return {Timeout(left), cancelled != 0};
    }
    Deadline deadline(std::error_code &error) const noexcept
    {
        std::int64_t left = 0;
        std::int32_t cancelled = 0;
        detail::may(error, slipring_lease_deadline, native(), &left, &cancelled);
        return {Timeout(left), cancelled != 0};
    }

    // Makes it its holder's own, on any thread, past the end of the session. Ask for data() again.
    void keep() { detail::must(slipring_lease_keep, native()); }
    void keep(std::error_code &error) noexcept { detail::may(error, slipring_lease_keep, native()); }

    std::size_t shared_count() const { return detail::told<std::size_t>(slipring_lease_shared_count, native()); }
    std::size_t shared_count(std::error_code &error) const noexcept
    {
        return detail::told<std::size_t>(error, slipring_lease_shared_count, native());
    }
    // The object number `index` of those that came with it. It outlives the lease.
    SharedBuffer shared(std::size_t index) const
    {
        return detail::made<SharedBuffer>(slipring_lease_shared, native(), index);
    }
    SharedBuffer shared(std::size_t index, std::error_code &error) const noexcept
    {
        return detail::made<SharedBuffer>(error, slipring_lease_shared, native(), index);
    }
};

// Room to be written in place. Aborted when it is dropped. What sends it leaves it empty; where that fails it is still there.
class Claim : public detail::Owner<slipring_claim_t, slipring_claim_abort> {
public:
    using Owner::Owner;

    // Null for a claim that is over.
    std::byte *data() noexcept { return static_cast<std::byte *>(slipring_claim_data(native())); }
    std::size_t size() const noexcept { return slipring_claim_len(native()); }
    Room room() noexcept
    {
        std::byte *const start = data();
        return {start, start == nullptr ? 0 : size()};
    }

    // Sends the first `used` bytes.
    void commit(std::uint32_t type_id, std::size_t used)
    {
        detail::must(slipring_claim_commit, native(), type_id, used);
        let_go();
    }
    void commit(std::uint32_t type_id, std::size_t used, std::error_code &error) noexcept
    {
        detail::may(error, slipring_claim_commit, native(), type_id, used);
        let_go_unless(error);
    }
    // Hidden until the bus is flushed.
    void commit_later(std::uint32_t type_id, std::size_t used)
    {
        detail::must(slipring_claim_commit_later, native(), type_id, used);
        let_go();
    }
    void commit_later(std::uint32_t type_id, std::size_t used, std::error_code &error) noexcept
    {
        detail::may(error, slipring_claim_commit_later, native(), type_id, used);
        let_go_unless(error);
    }
    // Of a request: the call's number.
    std::uint32_t commit_call(std::uint32_t type_id, std::size_t used)
    {
        const auto id = detail::told<std::uint32_t>(slipring_claim_commit_call, native(), type_id, used);
        let_go();
        return id;
    }
    std::uint32_t commit_call(std::uint32_t type_id, std::size_t used, std::error_code &error) noexcept
    {
        const auto id = detail::told<std::uint32_t>(error, slipring_claim_commit_call, native(), type_id, used);
        let_go_unless(error);
        return id;
    }
    // For what sent it by another function than its own.
    void let_go_unless(const std::error_code &error) noexcept
    {
        if (!error) {
            let_go();
        }
    }
};

// A message during a callback. What it leads to is gone when the callback returns.
class Frame {
public:
    explicit Frame(const slipring_frame_t &frame) noexcept : frame_(&frame) {}

    const std::byte *data() const noexcept { return bytes().data(); }
    std::size_t size() const noexcept { return frame_->len; }
    Bytes bytes() const noexcept { return {frame_->data, frame_->len}; }
    std::string_view text() const noexcept { return bytes().text(); }
    std::uint32_t type_id() const noexcept { return frame_->type_id; }
    std::size_t shared_count() const noexcept { return frame_->shared_count; }
    SharedBuffer shared(std::size_t index) const
    {
        return detail::made<SharedBuffer>(slipring_frame_shared, frame_, index);
    }
    SharedBuffer shared(std::size_t index, std::error_code &error) const noexcept
    {
        return detail::made<SharedBuffer>(error, slipring_frame_shared, frame_, index);
    }

private:
    const slipring_frame_t *frame_;
};

// Messages that came together, during a callback.
class Frames {
public:
    Frames(const slipring_frame_t *first, std::size_t count) noexcept : first_(first), count_(count) {}

    class Iterator {
    public:
        explicit Iterator(const slipring_frame_t *at) noexcept : at_(at) {}
        Frame operator*() const noexcept { return Frame(*at_); }
        Iterator &operator++() noexcept
        {
            ++at_;
            return *this;
        }
        bool operator!=(const Iterator &other) const noexcept { return at_ != other.at_; }

    private:
        const slipring_frame_t *at_;
    };
    Iterator begin() const noexcept { return Iterator(first_); }
    Iterator end() const noexcept { return Iterator(first_ + count_); }
    std::size_t size() const noexcept { return count_; }
    Frame operator[](std::size_t index) const noexcept { return Frame(first_[index]); }

private:
    const slipring_frame_t *first_;
    std::size_t count_;
};

} // namespace slipring

#endif // SLIPRING_HPP_OWNED
