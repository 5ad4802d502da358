// The C++ half of the program.
#pragma once
#include "rust/cxx.h"

namespace peer {

// Sends a few messages of all kinds.
void send_messages(rust::Str name);
// Serves calls until the peer says goodbye, and says how many.
std::uint32_t serve_calls(rust::Str name);

} // namespace peer
