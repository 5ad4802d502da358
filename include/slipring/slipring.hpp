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
// std::error_code & as its last argument, sets it, and does not throw; its result is empty, or 0, where it failed. Statuses are error
// codes: `error == SLIPRING_CLOSED`. `try_` functions do not wait, and answer "not now" by their result: an empty optional, or false. A program that is compiled without exceptions has the twins; the others end it.
//
// Owners move, and are not copied. One that was moved from is empty: it may be asked whether it is, assigned to and dropped; every
// other use is the status SLIPRING_INVALID_ARGUMENT. A Lease that is dropped is released, a Claim that is dropped is aborted, an end
// that is dropped is closed. The order does not matter: a Lease whose Bus is gone says so, and leads nowhere.
//
// Bytes. What is sent is taken as Bytes: a text, or anything with data() and size() whose items are plain. What is received is shown
// as Bytes, and what is written in place as Room. With C++20 both are std::spans wherever one is asked for.
//
// Handlers. A function that is called back may be anything that can be called. It is called in the thread that waits; by a server's
// workers, in theirs. What a handler of requests throws costs that call alone: see RpcBus::on_request.
//
// Threads, signals, fork: as in slipring.h. A const function leaves its owner as it is, but is no more for several threads at once than
// the function of slipring.h behind it.
#ifndef SLIPRING_HPP
#define SLIPRING_HPP

#include <slipring/hpp/bus.hpp>
#include <slipring/hpp/bytes.hpp>
#include <slipring/hpp/error.hpp>
#include <slipring/hpp/many.hpp>
#include <slipring/hpp/owned.hpp>
#include <slipring/hpp/process.hpp>
#include <slipring/hpp/rpc.hpp>
#include <slipring/hpp/server.hpp>

#endif // SLIPRING_HPP
