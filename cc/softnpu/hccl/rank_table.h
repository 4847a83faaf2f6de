// cc/softnpu/hccl/rank_table.h: the JSON file that says which devices are the ranks of a
// communicator, formats 1.0 (servers) and 1.2 (servers in super pods).
//
// Format: "Rank table configuration" of the HCCL user guide on hiascend.com. Numbers are strings
// there. Keys that it does not have are passed over.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cc/softnpu/hccl/rendezvous.h"

namespace softnpu::hccl {

struct RankTable {
  std::vector<int32_t> devices;  // of each rank: the number on its machine
  // Ranks meet when they read the same file with the same content. It is no secret: other users are
  // kept off by their names alone.
  RootInfo meeting;
};

// Throws Error that names file, key and value: kNotFound for a file that cannot be read, kPara for
// one that is no rank table, kUnavailable for one that is not complete yet, kNotSupport for one of
// several servers.
RankTable ReadRankTable(const std::string& path);

}  // namespace softnpu::hccl
