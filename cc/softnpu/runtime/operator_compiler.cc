// cc/softnpu/runtime/operator_compiler.cc: the interfaces beside ACL proper that torch_npu links
// against: the operator compiler, the virtual memory functions, the driver and the profiler.
//
// SoftNPU has none of them, and one operator of the first: `Identity`, which torch_npu calls for
// casts between ND and FRACTAL_NZ. What describes work succeeds, what would do other work fails by
// name: an operator that "succeeded" here would leave its outputs unwritten.
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/runtime/acl_api.h"
#include "cc/softnpu/runtime/format_cast.h"
#include "cc/softnpu/runtime/trace.h"

namespace softnpu {
namespace {

// The format and shape of a description are the tensor's; those of `storage` are what lies in
// memory.
struct TensorDesc {
  int32_t dtype;
  int32_t format;
  std::vector<int64_t> dims;
  int32_t storage_format;
  std::vector<int64_t> storage;
};

struct DataBuffer {
  void* data;
  size_t bytes;
};

struct Attributes {};

const TensorDesc& Desc(const void* desc) { return *static_cast<const TensorDesc*>(desc); }

std::vector<int64_t> Dims(int32_t rank, const int64_t* dims) {
  constexpr int32_t kMost = 64;
  if (rank < 0 || rank > kMost) {
    throw Error(kInvalidParam, Format("a shape of %d dimensions, the limit is %d", rank, kMost));
  }
  if (rank > 0) Required(dims, "dims");
  return {dims, dims + rank};
}

std::string Describe(const void* desc) {
  if (desc == nullptr) return "none";
  std::string out = Format("dtype %d [", Desc(desc).dtype);
  for (const int64_t dim : Desc(desc).dims) {
    out += Format(out.back() == '[' ? "%lld" : ", %lld", static_cast<long long>(dim));
  }
  return out + "]";
}

FormatDesc ToFormatDesc(const void* desc) {
  if (desc == nullptr) throw Error(kAclnnNullptr, "the operator Identity has no description");
  const TensorDesc& d = Desc(desc);
  return {d.dtype, d.storage_format, d.dims, d.storage};
}

struct CastTask {
  FormatDesc from, to;
  const void* source;
  void* target;

  void Run() const {
    std::byte* const out = Host(target, to);
    FormatCast(from, Host(source, from), to, out);
    // A cast is a copy: the account of written bytes goes the way of the bytes.
    DeviceMemory* const source_memory = FindMemory(source);
    DeviceMemory* const target_memory = FindMemory(target);
    if (source_memory == nullptr || target_memory == nullptr) return;
    WrittenMap* const read = source_memory->written();
    WrittenMap* const written = target_memory->written();
    if (read == nullptr || written == nullptr) return;
    const size_t first = source_memory->Offset(source);
    const size_t end = first + static_cast<size_t>(StorageBytes(from));
    const size_t at = target_memory->Offset(target);
    const auto bytes = static_cast<size_t>(StorageBytes(to));
    if (read->FirstUnwritten(first, end - first) == end) {
      written->Mark(at, bytes);
      return;
    }
    written->Clear(at, bytes);
    FormatCast(from, reinterpret_cast<const std::byte*>(read->bytes() + first), to,
               reinterpret_cast<std::byte*>(written->bytes() + at));
  }
  static std::byte* Host(const void* address, const FormatDesc& desc) {
    return HostPointer(address, static_cast<size_t>(StorageBytes(desc)));
  }
};

// Queues the operator Identity of one input and one output.
void Identity(const void* input_desc, const DataBuffer& input, const void* output_desc,
              const DataBuffer& output, Stream& stream) {
  auto cast = std::make_shared<CastTask>(
      CastTask{ToFormatDesc(input_desc), ToFormatDesc(output_desc), input.data, output.data});
  CheckFormatCast(cast->from, cast->to);
  for (const auto& [buffer, desc] : {std::pair{&input, &cast->from}, {&output, &cast->to}}) {
    if (static_cast<int64_t>(buffer->bytes) < StorageBytes(*desc)) {
      throw Error(kAclnnInvalid,
                  Format("%s needs %lld bytes, the buffer has %zu", desc->Text().c_str(),
                         static_cast<long long>(StorageBytes(*desc)), buffer->bytes));
    }
  }
  const auto run = [](void* context) -> int32_t {
    return Guard("Identity", [&] { static_cast<CastTask*>(context)->Run(); });
  };
  std::vector<softnpu_access> accesses = {
      Bytes("input", cast->source, static_cast<size_t>(StorageBytes(cast->from)),
            SOFTNPU_READS | SOFTNPU_SOME),
      Bytes("output", cast->target, static_cast<size_t>(StorageBytes(cast->to)),
            SOFTNPU_WRITES | SOFTNPU_SOME)};
  stream.Enqueue(OperatorTask{"Identity", run, std::move(cast), std::move(accesses)});
}

int32_t Refuse(const char* function) {
  return Report(kApiNotSupported, std::string(function) + " is not available in SoftNPU");
}

}  // namespace
}  // namespace softnpu

extern "C" {

void* aclCreateDataBuffer(void* data, size_t bytes) {
  void* out = nullptr;
  softnpu::Guard("aclCreateDataBuffer", [&] { out = new softnpu::DataBuffer{data, bytes}; });
  return out;
}
int32_t aclDestroyDataBuffer(const void* buffer) {
  delete static_cast<const softnpu::DataBuffer*>(buffer);
  return softnpu::kOk;
}

void* aclCreateTensorDesc(int32_t dtype, int32_t rank, const int64_t* dims, int32_t format) {
  void* out = nullptr;
  softnpu::Guard("aclCreateTensorDesc", [&] {
    const std::vector<int64_t> shape = softnpu::Dims(rank, dims);
    out = new softnpu::TensorDesc{dtype, format, shape, format, shape};
  });
  return out;
}
void aclDestroyTensorDesc(const void* desc) {
  delete static_cast<const softnpu::TensorDesc*>(desc);
}
// -1 says that there is no such type or format.
int32_t aclGetTensorDescType(const void* desc) {
  return desc == nullptr ? -1 : softnpu::Desc(desc).dtype;
}
int32_t aclGetTensorDescFormat(const void* desc) {
  return desc == nullptr ? -1 : softnpu::Desc(desc).format;
}
size_t aclGetTensorDescNumDims(const void* desc) {
  return desc == nullptr ? 0 : softnpu::Desc(desc).dims.size();
}
int32_t aclGetTensorDescDimV2(const void* desc, size_t index, int64_t* dim) {
  return softnpu::Guard("aclGetTensorDescDimV2", [&] {
    softnpu::Required(dim, "dim");
    const std::vector<int64_t>& dims =
        softnpu::Required(static_cast<const softnpu::TensorDesc*>(desc), "desc").dims;
    if (index >= dims.size()) {
      throw softnpu::Error(softnpu::kInvalidParam,
                           softnpu::Format("dimension %zu of a shape of %zu", index, dims.size()));
    }
    *dim = dims[index];
  });
}
void aclSetTensorDescName(void*, const char*) {}
int32_t aclSetTensorFormat(void* desc, int32_t format) {
  return softnpu::Guard("aclSetTensorFormat", [&] {
    softnpu::Required(static_cast<softnpu::TensorDesc*>(desc), "desc").storage_format = format;
  });
}
int32_t aclSetTensorPlaceMent(void*, int32_t) { return softnpu::kOk; }
int32_t aclSetTensorShape(void* desc, int32_t rank, const int64_t* dims) {
  return softnpu::Guard("aclSetTensorShape", [&] {
    softnpu::Required(static_cast<softnpu::TensorDesc*>(desc), "desc").storage =
        softnpu::Dims(rank, dims);
  });
}

void* aclopCreateAttr() {
  void* out = nullptr;
  softnpu::Guard("aclopCreateAttr", [&] { out = new softnpu::Attributes; });
  return out;
}
void aclopDestroyAttr(const void* attr) { delete static_cast<const softnpu::Attributes*>(attr); }
int32_t aclopSetAttrBool(void*, const char*, uint8_t) { return softnpu::kOk; }
int32_t aclopSetAttrDataType(void*, const char*, int32_t) { return softnpu::kOk; }
int32_t aclopSetAttrFloat(void*, const char*, float) { return softnpu::kOk; }
int32_t aclopSetAttrInt(void*, const char*, int64_t) { return softnpu::kOk; }
int32_t aclopSetAttrListBool(void*, const char*, int32_t, const uint8_t*) { return softnpu::kOk; }
int32_t aclopSetAttrListFloat(void*, const char*, int32_t, const float*) { return softnpu::kOk; }
int32_t aclopSetAttrListInt(void*, const char*, int32_t, const int64_t*) { return softnpu::kOk; }
int32_t aclopSetAttrListListInt(void*, const char*, int32_t, const int32_t*,
                                const int64_t* const[]) {
  return softnpu::kOk;
}
int32_t aclopSetAttrString(void*, const char*, const char*) { return softnpu::kOk; }

// An operator that is refused leaves its outputs unwritten, so the device is in error from there
// on: whatever would read them fails instead.
int32_t aclopCompileAndExecute(const char* op, int32_t input_count, const void* const input_descs[],
                               const void* const inputs[], int32_t output_count,
                               const void* const output_descs[], void* const outputs[], const void*,
                               int32_t, int32_t, const char*, void* stream) {
  return softnpu::Guard("aclopCompileAndExecute", [&] {
    const std::string name = &softnpu::Required(op, "op");
    const std::shared_ptr<softnpu::Stream> queue = softnpu::ResolveStream(stream);
    softnpu::DeviceError& device = softnpu::GetDevice(queue->device()).error();
    device.Raise();
    try {
      if (input_count > 0) softnpu::Required(input_descs, "input_descs");
      if (name == "Identity" && input_count == 1 && output_count == 1) {
        softnpu::Required(output_descs, "output_descs");
        softnpu::Required(static_cast<const char*>(softnpu::Required(inputs, "inputs")),
                          "inputs[0]");
        softnpu::Required(static_cast<char*>(softnpu::Required(outputs, "outputs")), "outputs[0]");
        softnpu::Identity(input_descs[0], *static_cast<const softnpu::DataBuffer*>(inputs[0]),
                          output_descs[0], *static_cast<softnpu::DataBuffer*>(outputs[0]), *queue);
        return;
      }
      std::string described;
      for (int32_t i = 0; i < input_count; ++i) {
        described += (i == 0 ? "" : ", ") + softnpu::Describe(input_descs[i]);
      }
      throw softnpu::Error(softnpu::kAclnnNotImplemented,
                           "the operator " + name + " (" + described +
                               ") needs CANN's operator compiler, which SoftNPU does not have; it "
                               "has no aclnn operator for it");
    } catch (const softnpu::Error& error) {
      device.Set(error);
      throw;
    }
  });
}

int32_t aclrtBinaryLoadFromData(const void*, size_t, const void*, void**) {
  return softnpu::Refuse("aclrtBinaryLoadFromData");
}
int32_t aclrtGetFunctionAddr(void*, void**, void**) {
  return softnpu::Refuse("aclrtGetFunctionAddr");
}
int32_t aclrtProcessReport(int32_t) { return softnpu::Refuse("aclrtProcessReport"); }
int32_t aclrtReserveMemAddress(void**, size_t, size_t, void*, uint64_t) {
  return softnpu::Refuse("aclrtReserveMemAddress");
}
int32_t aclrtReleaseMemAddress(void*) { return softnpu::Refuse("aclrtReleaseMemAddress"); }
int32_t aclrtMallocPhysical(void**, size_t, const void*, uint64_t) {
  return softnpu::Refuse("aclrtMallocPhysical");
}
int32_t aclrtFreePhysical(void*) { return softnpu::Refuse("aclrtFreePhysical"); }
int32_t aclrtMapMem(void*, size_t, size_t, void*, uint64_t) {
  return softnpu::Refuse("aclrtMapMem");
}
int32_t aclrtUnmapMem(void*) { return softnpu::Refuse("aclrtUnmapMem"); }
int32_t aclrtMemExportToShareableHandle(void*, int32_t, uint64_t, uint64_t*) {
  return softnpu::Refuse("aclrtMemExportToShareableHandle");
}
int32_t aclrtMemImportFromShareableHandle(uint64_t, int32_t, void**) {
  return softnpu::Refuse("aclrtMemImportFromShareableHandle");
}
int32_t aclrtMemSetPidToShareableHandle(uint64_t, int32_t*, size_t) {
  return softnpu::Refuse("aclrtMemSetPidToShareableHandle");
}

// Driver and profiler: their headers are in no wheel, so the parameters are unknown here and
// unread. (The C calling convention lets a function ignore its arguments.)
SOFTNPU_EXPORT int32_t rtDevBinaryRegister() { return softnpu::Refuse("rtDevBinaryRegister"); }
SOFTNPU_EXPORT int32_t rtFunctionRegister() { return softnpu::Refuse("rtFunctionRegister"); }
// Where cores meet on a device, for SetSyncBaseAddr; here they need no memory, and this is none.
SOFTNPU_EXPORT int32_t rtGetC2cCtrlAddr(uint64_t* address, uint32_t* bytes) {
  if (address == nullptr || bytes == nullptr) return softnpu::Refuse("rtGetC2cCtrlAddr of null");
  *address = 4096;
  *bytes = 0;
  return softnpu::kOk;
}
SOFTNPU_EXPORT int32_t rtKernelLaunch() { return softnpu::Refuse("rtKernelLaunch"); }

// torch_npu announces itself to the profiler at load time; no profiler ever calls back.
SOFTNPU_EXPORT int32_t MsprofRegisterCallback() { return softnpu::kOk; }
SOFTNPU_EXPORT uint64_t MsprofSysCycleTime() {
  return static_cast<uint64_t>(softnpu::NowNanoseconds());
}
SOFTNPU_EXPORT uint64_t MsprofGetHashId() { return 0; }
SOFTNPU_EXPORT int32_t MsprofReportApi() { return softnpu::Refuse("MsprofReportApi"); }
SOFTNPU_EXPORT int32_t MsprofReportCompactInfo() {
  return softnpu::Refuse("MsprofReportCompactInfo");
}
SOFTNPU_EXPORT int32_t MsprofReportAdditionalInfo() {
  return softnpu::Refuse("MsprofReportAdditionalInfo");
}

// CANN's own log file; SoftNPU writes none.
SOFTNPU_EXPORT void aclAppLog(int32_t, const char*, const char*, uint32_t, const char*, ...) {}

}  // extern "C"
