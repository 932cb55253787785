// How the process's descriptors are shared out: what we need ourselves comes first, for the
// upstream, the store and the loops; clients have the rest. Main's thread.
#pragma once

#include <cstddef>

#include "config/settings.h"

namespace holdfast::daemon {

// All that the hard limit allows: the soft one is low for programs that use select(), which
// we do not. Returns how many that is.
std::size_t raise_descriptor_limit();
// How many the process has open now; 0 if that cannot be told.
std::size_t open_descriptors();

// How many connections clients may have, at most MAX_CONNECTIONS and at least 1, where the
// process may have `limit` descriptors and `open` of them are taken before its serving loops
// are there.
std::size_t connections_within(std::size_t limit, std::size_t open,
                               const config::Settings& settings);

}  // namespace holdfast::daemon
