// cc/softnpu/hccl/work.cc: checks of ranges, and tasks through the runtime's C interface.
#include "cc/softnpu/hccl/work.h"

#include <utility>

#include "cc/softnpu/hccl/link_time.h"

namespace softnpu::hccl {
namespace {

softnpu_access AccessOf(const Range& range, uint32_t mode) {
  softnpu_access access = {};
  access.address = range.address;
  access.element_bytes = 1;
  access.rank = 1;
  access.mode = mode;
  access.name = range.name;
  access.dims[0] = static_cast<int64_t>(range.bytes);
  access.strides[0] = 1;
  return access;
}

struct Work {
  std::shared_ptr<Communicator> communicator;
  const char* name;
  std::string said;
  std::vector<Range> ranges;
  std::function<void()> body;
  bool ran = false;
};

int32_t Run(void* context) {
  auto* const work = static_cast<Work*>(context);
  work->ran = true;
  const auto report = [&](int32_t code, const std::string& sentence) {
    return softnpu_report(code, (std::string(work->name) + ": " + sentence).c_str());
  };
  try {
    for (const Range& range : work->ranges) {
      try {
        RequireRange(*work->communicator, range);
      } catch (const Error& error) {
        // It was freed after the call.
        work->communicator->Stop(kPara, work->said + ": " + error.what());
      }
    }
    work->body();
    return kOk;
  } catch (const Error& error) {
    return report(error.code(), error.what());
  } catch (const std::exception& error) {
    work->communicator->Fail(kInternal, work->said + ": " + error.what());
    return report(kRtInternal, error.what());
  }
}

void Drop(void* context) {
  const std::unique_ptr<Work> work(static_cast<Work*>(context));
  if (work->ran) return;
  const std::string fault = softnpu_fault(work->communicator->device());
  work->communicator->Fail(kRuntime,
                           work->said + " was not run: " +
                               (fault.empty() ? "its stream did not take it, or was destroyed"
                                              : "its device is in error: " + fault));
}

}  // namespace

void RequireRange(const Communicator& communicator, const Range& range) {
  if (range.bytes == 0) return;
  if (range.address == nullptr) {
    throw Error(kPointer, Format("'%s' is null", range.name));
  }
  if (!communicator.Holds(range.address)) {
    throw Error(kPara, Format("'%s' (%p) is not memory of device %d, which the communicator has",
                              range.name, range.address, communicator.device()));
  }
  if (softnpu_translate(range.address, range.bytes) == nullptr) {
    throw Error(kPara, Format("'%s': %s", range.name, softnpu_own_message()));
  }
}

void RequireApart(const Range& a, const Range& b) {
  const auto* const a_begin = static_cast<const char*>(a.address);
  const auto* const b_begin = static_cast<const char*>(b.address);
  if (a.bytes == 0 || b.bytes == 0 || a_begin + a.bytes <= b_begin ||
      b_begin + b.bytes <= a_begin) {
    return;
  }
  throw Error(kPara, Format("'%s' (%llu bytes at %p) and '%s' (%llu bytes at %p) share bytes",
                            a.name, static_cast<unsigned long long>(a.bytes), a.address, b.name,
                            static_cast<unsigned long long>(b.bytes), b.address));
}

bool IsWritten(const Range& range) {
  const softnpu_access access = AccessOf(range, SOFTNPU_READS);
  return range.bytes == 0 || softnpu_is_written(&access) != 0;
}

void NoteWritten(const Range& range) {
  const softnpu_access access = AccessOf(range, SOFTNPU_WRITES);
  if (range.bytes > 0) softnpu_note_written(&access, 1);
}

void EnqueueWork(const std::shared_ptr<Communicator>& communicator, const char* name,
                 const std::string& said, const std::vector<Range>& ranges, uint64_t link_bytes,
                 std::function<void()> body, void* stream) {
  std::vector<softnpu_access> accesses;
  for (const Range& range : ranges) {
    // The task itself carries along what nobody has written.
    if (range.bytes > 0) accesses.push_back(AccessOf(range, range.mode | SOFTNPU_SOME));
  }
  auto work = std::make_unique<Work>(Work{communicator, name, said, ranges, std::move(body)});
  const uint32_t time = LinkTime(link_bytes, communicator->link_rate());
  const int32_t code =
      softnpu_enqueue_collective(communicator->device(), stream, name, Run, Drop, work.release(),
                                 accesses.data(), accesses.size(), time);
  if (code != 0) throw Error(kRuntime, softnpu_own_message());
}

}  // namespace softnpu::hccl
