// What a request decides by itself: whether something stored may answer it, and whether what it
// brings may be kept. For people; whoever answers requests decides by the same functions of
// asked.h. Pure functions; any thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "cache/freshness.h"
#include "http/request.h"
#include "proxy/route.h"

namespace holdfast::proxy {

// A word of rfc9111/reasons.h and what it means, both static.
struct Decided {
  std::string_view word;
  std::string_view meaning;
};

// Of a request that `route` takes, by its key; what decides first comes first.
std::vector<Decided> decided_by(const http::Request& request, const Route& route,
                                std::string_view key);

// Why a resilient route does not use at once what is stored, and may be by what it says itself, for
// a client that wants it fresh for so long; empty: it does, or that is not why.
std::string_view not_reused_for(const cache::Freshness& freshness, std::chrono::seconds min_fresh);

// Of who wants nothing but what is usable at once, where nothing is.
std::string_view only_if_cached();

// "private: the answer is for the one who asked"; of what is no such word that alone.
std::string reason_in_words(std::string_view word);

}  // namespace holdfast::proxy
