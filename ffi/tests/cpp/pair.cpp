// One end of a session whose other end is another program, of whatever language: `pair send|receive|call|serve ADDRESS [BYTES]`. Payloads
// of all lengths, at most BYTES long, are sent and checked byte by byte. What goes over is what pair.c has go over.
#include "check.hpp"

static std::size_t most = SIZE_MAX;

static void send_all(const char *address)
{
    auto bus = slipring::Bus::connect(address, soon);
    for (std::uint32_t index = 0; index < lengths.size() && lengths[index] <= most; index++) {
        const auto bytes = payload(lengths[index]);
        const std::size_t third = bytes.size() / 3;
        bus.send(index, bytes, soon);
        bus.sendv(index, {slipring::Bytes(bytes.data(), third), slipring::Bytes(bytes.data() + third, bytes.size() - third)}, soon);
        auto claim = bus.claim(bytes.size(), soon);
        fill(claim.room());
        claim.commit(index, bytes.size());
    }
    bus.close(soon);
}

static void receive_all(const char *address)
{
    auto bus = slipring::Bus::listen(address, soon);
    std::size_t received = 0;
    for (slipring::Lease &message : bus) {
        const std::size_t index = received++ / 3;
        CHECK(index < lengths.size() && message.type_id() == index && message.size() == lengths[index]);
        if (received % 3 == 2) {
            message.keep();
        }
        CHECK(is_whole(message.bytes(), lengths[index]));
    }
    for (std::size_t index = 0; index < lengths.size() && lengths[index] <= most; index++) {
        CHECK(received > 3 * index + 2);
    }
}

static void call_all(const char *address)
{
    auto rpc = slipring::RpcBus::connect(address, soon);
    for (std::uint32_t index = 0; index < lengths.size() && lengths[index] <= most; index++) {
        const std::size_t len = lengths[index];
        {
            const auto reply = rpc.request(index, payload(len), soon);
            CHECK(reply.type_id() == index + 1 && is_whole(reply.bytes(), len));
        }
        auto claim = rpc.claim_request(len, soon);
        fill(claim.room());
        const std::uint32_t id = claim.commit_call(index, len);
        auto reply = rpc.wait(id, soon);
        CHECK(reply.id() == id && reply.type_id() == index + 1);
        reply.keep();
        CHECK(is_whole(reply.bytes(), len));
    }
    rpc.close(soon);
}

static void serve_all(const char *address)
{
    auto rpc = slipring::RpcBus::listen(address, soon);
    std::error_code error;
    for (bool in_place = false;; in_place = !in_place) {
        const auto request = rpc.serve(soon, error);
        if (error) {
            break;
        }
        const std::uint32_t type_id = request.type_id() + 1;
        CHECK(is_whole(request.bytes(), request.size()));
        if (in_place) {
            const std::size_t len = request.size();
            auto claim = rpc.claim_reply(request, len);
            fill(claim.room());
            claim.commit(type_id, len);
        } else {
            rpc.reply(request, type_id, request.bytes(), soon);
        }
        CHECK(request.data() == nullptr);
    }
    CHECK(error == SLIPRING_CLOSED);
}

int main(int count, char **words)
{
    CHECK(count >= 3);
    if (count > 3) {
        most = std::stoull(words[3]);
    }
    const std::string role = words[1];
    if (role == "send") {
        send_all(words[2]);
    } else if (role == "receive") {
        receive_all(words[2]);
    } else if (role == "call") {
        call_all(words[2]);
    } else {
        serve_all(words[2]);
    }
    std::puts("done");
}
