// The mode of a [[route]], the keys that belong to one mode alone, and why not to the other. Pure
// functions; one thread.
#pragma once

#include <string_view>
#include <vector>

#include "config/routing.h"
#include "config/section_reader.h"

namespace holdfast::config {

// Whether the key of a route, or a setting of the table that a route may say, means anything there.
bool counts_in(RouteConfig::Mode mode, std::string_view key);

// To be read before all other keys, whose defaults depend on it.
void read_mode(SectionReader& reader, const FileValue& value, RouteConfig& route);

// The keys of "rfc9111" alone.
void read_max_variants(SectionReader& reader, const FileValue& value, RouteConfig& route);
void read_vary_normalise(SectionReader& reader, const FileValue& value, RouteConfig& route);
void read_ranges(SectionReader& reader, const FileValue& value, RouteConfig& route);
void read_transfer_coding(SectionReader& reader, const FileValue& value, RouteConfig& route);
void read_targeted(SectionReader& reader, const FileValue& value, RouteConfig& route);

// To be called after all keys were read: what the section says and its mode has no place for.
void check_mode(SectionReader& reader, const RouteConfig& route);

}  // namespace holdfast::config
