// What this machine may run short of while we ask somebody else for something. It is nobody's
// failure but our own: no sign against an upstream, an address or a key.
#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <string_view>

namespace holdfast::base {

enum class Resource {
  Descriptors,  // the process's, or the machine's
  Ports,        // for one more connection to that address
  Memory,       // the kernel's for a socket, or our own
};
inline constexpr std::array kResources = {Resource::Descriptors, Resource::Ports, Resource::Memory};

constexpr std::string_view to_string(Resource resource) {
  switch (resource) {
    case Resource::Descriptors:
      return "descriptors";
    case Resource::Ports:
      return "ports";
    case Resource::Memory:
      return "memory";
  }
  return "unknown";
}

// What was lacking, from the errno of a call that makes or connects a socket; none if it was
// nothing of ours.
constexpr std::optional<Resource> resource_lacking(int error) {
  switch (error) {
    case EMFILE:
    case ENFILE:
      return Resource::Descriptors;
    case EADDRNOTAVAIL:
      return Resource::Ports;
    case ENOBUFS:
    case ENOMEM:
    case EAGAIN:  // socket(2) and connect(2): the kernel's tables are full
      return Resource::Memory;
    default:
      return std::nullopt;
  }
}

}  // namespace holdfast::base
