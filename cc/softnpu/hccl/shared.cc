// cc/softnpu/hccl/shared.cc: names of calls, descriptors, mappings.
#include "cc/softnpu/hccl/shared.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/base/sharing.h"

namespace softnpu::hccl {

const char* NameOf(Kind kind) {
  switch (kind) {
    case Kind::kAllReduce:
      return "HcclAllReduce";
    case Kind::kReduce:
      return "HcclReduce";
    case Kind::kReduceScatter:
      return "HcclReduceScatter";
    case Kind::kReduceScatterV:
      return "HcclReduceScatterV";
    case Kind::kAllGather:
      return "HcclAllGather";
    case Kind::kAllGatherV:
      return "HcclAllGatherV";
    case Kind::kAlltoAll:
      return "HcclAlltoAll";
    case Kind::kAlltoAllV:
      return "HcclAlltoAllV";
    case Kind::kAlltoAllVC:
      return "HcclAlltoAllVC";
    case Kind::kBroadcast:
      return "HcclBroadcast";
    case Kind::kScatter:
      return "HcclScatter";
    case Kind::kBarrier:
      return "HcclBarrier";
    case Kind::kExchange:
      return "an exchange";
  }
  return "an unknown collective";
}

void FailSeat(Seat& seat, Result result, const std::string& sentence) {
  seat.result = result;
  CopyText(seat.sentence, sizeof(seat.sentence), sentence);
  seat.state.store(State::kFailed);
}

Mapping::Mapping(int fd, size_t bytes) : bytes_(bytes) {
  void* const map = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (map == MAP_FAILED) {
    throw Error(kMemory, Format("the host has no address space for %zu bytes of another rank (%s)",
                                bytes, strerror(errno)));
  }
  data_ = static_cast<std::byte*>(map);
}

Mapping::~Mapping() { munmap(data_, bytes_); }

std::shared_ptr<Mapping> Share(int fd, size_t bytes) {
  static auto* const mutex = new std::mutex;
  static auto* const known = new std::map<std::pair<dev_t, ino_t>, std::weak_ptr<Mapping>>;
  struct stat info;
  if (fstat(fd, &info) != 0 || static_cast<size_t>(info.st_size) < bytes) {
    throw Error(kSyscall, Format("another rank gave a file of less than %zu bytes", bytes));
  }
  std::lock_guard<std::mutex> lock(*mutex);
  std::erase_if(*known, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<Mapping>& slot = (*known)[{info.st_dev, info.st_ino}];
  std::shared_ptr<Mapping> mapping = slot.lock();
  if (mapping == nullptr) {
    mapping = std::make_shared<Mapping>(fd, bytes);
    slot = mapping;
  }
  return mapping;
}

}  // namespace softnpu::hccl
