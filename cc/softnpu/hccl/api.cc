// cc/softnpu/hccl/api.cc: the exported functions of HCCL.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cc/softnpu/base/handle_table.h"
#include "cc/softnpu/hccl/collectives.h"
#include "cc/softnpu/hccl/communicator.h"
#include "cc/softnpu/hccl/exchange.h"
#include "cc/softnpu/hccl/hccl_abi.h"
#include "cc/softnpu/hccl/rank_table.h"

namespace softnpu::hccl {
namespace {

HandleTable<Communicator>& Communicators() {
  static auto* table = new HandleTable<Communicator>(HandleKind::kCommunicator, kPara);
  return *table;
}

// Runs `body`; an exception becomes HCCL's code, and its sentence is what aclGetRecentErrMsg gives.
template <typename Body>
int32_t Answer(const char* function, Body&& body) noexcept {
  try {
    body();
    return kSuccess;
  } catch (const Error& error) {
    const auto result = static_cast<Result>(error.code());
    return softnpu_report(
        result, Format("%s: %s [%s, %d]", function, error.what(), NameOf(result), result).c_str());
  } catch (const std::exception& error) {
    return softnpu_report(kInternal, (std::string(function) + ": " + error.what()).c_str());
  }
}

template <typename T>
T& Required(T* pointer, const char* name) {
  if (pointer == nullptr) throw Error(kPointer, std::string("the argument '") + name + "' is null");
  return *pointer;
}

int32_t CurrentDevice() {
  const int32_t device = softnpu_device();
  if (device < 0) throw Error(kRuntime, softnpu_own_message());
  return device;
}

// The same, of one that is not in error.
int32_t WorkingDevice() {
  const int32_t device = CurrentDevice();
  const std::string fault = softnpu_fault(device);
  if (!fault.empty()) throw Error(kRuntime, fault);
  return device;
}

RootInfo ReadRootInfo(const void* bytes) {
  RootInfo info;
  std::memcpy(&info, &Required(static_cast<const char*>(bytes), "rootInfo"), sizeof(info));
  info.Check();
  return info;
}

void CheckPlace(uint32_t ranks, uint32_t rank) {
  if (ranks < 1 || ranks > kMaxRanks) {
    throw Error(kPara, Format("a communicator of %u ranks: SoftNPU has 1 to %u", ranks, kMaxRanks));
  }
  if (rank >= ranks) throw Error(kPara, Format("rank %u of %u does not exist", rank, ranks));
}

Settings ReadSettings(const CommConfig* config) {
  Settings out = Settings::FromEnvironment();
  if (config == nullptr) return out;
  if (config->magic != kConfigMagic) {
    throw Error(kPara, "the configuration was not made by HcclCommConfigInit");
  }
  const auto has = [config](const auto& field) {
    const auto* const end = reinterpret_cast<const char*>(&field) + sizeof(field);
    return static_cast<uint64_t>(end - reinterpret_cast<const char*>(config)) <= config->bytes;
  };
  if (has(config->name)) out.name = std::string(config->name, strnlen(config->name, kNameBytes));
  if (has(config->buffer_megabytes) && config->buffer_megabytes != static_cast<uint32_t>(kNotSet)) {
    if (config->buffer_megabytes < 1) throw Error(kPara, "hcclBufferSize is 0 MB");
    out.buffer_megabytes = config->buffer_megabytes;
  }
  if (has(config->run_timeout_s) && config->run_timeout_s != kNotSet) {
    if (config->run_timeout_s < 0) {
      throw Error(kPara, Format("hcclExecTimeOut is %d s", config->run_timeout_s));
    }
    out.run_timeout = std::chrono::seconds(config->run_timeout_s);
  }
  return out;
}

// Null where there is none.
std::shared_ptr<Communicator> Find(const char* group, int32_t device) {
  for (const auto& one : Communicators().All()) {
    if (one->name() == group && one->device() == device) return one;
  }
  return nullptr;
}

// Whoever asks goes on to a collective. Where the device is in error, nobody gets that far, and the
// other ranks are told: an operator's own fault may come before its collective is queued.
std::shared_ptr<Communicator> OfGroup(const char* group) {
  const int32_t device = CurrentDevice();
  std::shared_ptr<Communicator> found = Find(group, device);
  if (found == nullptr) {
    throw Error(kPara, Format("device %d has no communicator '%s'", device, group));
  }
  const std::string fault = softnpu_fault(device);
  if (fault.empty()) return found;
  found->Fail(kRuntime, "its device is in error: " + fault);
  throw Error(kRuntime, fault);
}

uint32_t RanksOf(const char* group) {
  uint32_t ranks = 0;
  Answer("communicator", [&] { ranks = OfGroup(group)->ranks(); });
  return ranks;
}

int32_t RankOf(const char* group) {
  int32_t rank = -1;
  Answer("communicator", [&] { rank = static_cast<int32_t>(OfGroup(group)->rank()); });
  return rank;
}

uint64_t BufferOf(const char* group) {
  uint64_t bytes = 0;
  Answer("communicator",
         [&] { bytes = static_cast<uint64_t>(OfGroup(group)->settings().buffer_megabytes) << 20; });
  return bytes;
}

int32_t ExchangeIn(const char* group, const softnpu_exchange* exchange, void* stream) {
  // It is told of the end in any case, also here.
  std::shared_ptr<void> context(exchange->context, exchange->drop);
  return Answer(exchange->name,
                [&] { EnqueueExchange(OfGroup(group), *exchange, std::move(context), stream); });
}

void GiveUp(const char* group, const char* why) {
  const std::string sentence = why;
  Answer("communicator", [&] {
    if (const auto found = Find(group, CurrentDevice())) found->Fail(kRuntime, sentence);
  });
}

DType OfAcl(int32_t dtype) {
  switch (dtype) {
    case 0:
      return DType::kFloat32;
    case 1:
      return DType::kFloat16;
    case 27:
      return DType::kBfloat16;
    default:
      throw Error(kPara, Format("operators do not reduce the type %d of ACL", dtype));
  }
}

int32_t ReduceIn(const char* group, void* buffer, uint64_t count, int32_t dtype, void* stream);

constexpr softnpu_groups kGroups{RanksOf, ReduceIn, RankOf, BufferOf, ExchangeIn, GiveUp};

// How communicators are made is counted: torch_npu takes another way in silence when one fails.
void* Add(const char* function, const RootInfo& info, uint32_t ranks, uint32_t rank, int32_t device,
          Settings settings, bool early, uint64_t roots = 0) {
  auto made =
      std::make_shared<Communicator>(info, ranks, rank, device, std::move(settings), early, roots);
  softnpu_count(function);
  softnpu_offer_groups(&kGroups);
  return Communicators().Add(std::move(made));
}

Arguments Buffers(const void* send, void* receive, uint64_t count, int32_t dtype) {
  Arguments out;
  out.send = send;
  out.receive = receive;
  out.count = count;
  out.dtype = static_cast<DType>(dtype);
  return out;
}

int32_t ReduceIn(const char* group, void* buffer, uint64_t count, int32_t dtype, void* stream) {
  return Answer("HcclAllReduce", [&] {
    Arguments arguments = Buffers(buffer, buffer, count, 0);
    arguments.dtype = OfAcl(dtype);
    arguments.reduction = Reduction::kSum;
    Enqueue(OfGroup(group), Kind::kAllReduce, arguments, stream);
  });
}

std::vector<uint64_t> Numbers(const void* values, uint32_t count, const char* name) {
  const auto* const begin = &Required(static_cast<const uint64_t*>(values), name);
  return {begin, begin + count};
}

std::atomic<int32_t> g_deterministic{1};

// Messages that this thread has put between HcclGroupStart and HcclGroupEnd: those of one
// communicator and stream go at the same time.
struct Bundle {
  std::shared_ptr<Communicator> communicator;
  void* stream;
  std::vector<Message> messages;
};
thread_local int t_groups = 0;
thread_local std::vector<Bundle> t_bundles;

void Pass(const char* name, void* comm, const Message& message, void* stream) {
  std::shared_ptr<Communicator> communicator = Communicators().Get(comm);
  if (t_groups == 0) return EnqueueMessages(communicator, name, {message}, stream);
  for (Bundle& bundle : t_bundles) {
    if (bundle.communicator == communicator && bundle.stream == stream) {
      bundle.messages.push_back(message);
      return;
    }
  }
  t_bundles.push_back({std::move(communicator), stream, {message}});
}

}  // namespace
}  // namespace softnpu::hccl

using namespace softnpu;        // NOLINT(google-build-using-namespace): the functions stand outside
using namespace softnpu::hccl;  // NOLINT(google-build-using-namespace)

extern "C" {

int32_t HcclGetRootInfo(void* root_info) {
  return Answer("HcclGetRootInfo", [&] {
    auto& out = Required(static_cast<char*>(root_info), "rootInfo");
    const RootInfo info = RootInfo::Make();
    Listen(info, JoinTimeout());
    std::memset(&out, 0, kRootInfoBytes);
    std::memcpy(&out, &info, sizeof(info));
  });
}

int32_t HcclCommInitRootInfo(uint32_t ranks, const void* root_info, uint32_t rank, void** comm) {
  return HcclCommInitRootInfoConfig(ranks, root_info, rank, nullptr, comm);
}

int32_t HcclCommInitRootInfoConfig(uint32_t ranks, const void* root_info, uint32_t rank,
                                   const void* config, void** comm) {
  return Answer("HcclCommInitRootInfoConfig", [&] {
    void*& out = Required(comm, "comm");
    CheckPlace(ranks, rank);
    out = Add("HcclCommInitRootInfoConfig", ReadRootInfo(root_info), ranks, rank, WorkingDevice(),
              ReadSettings(static_cast<const CommConfig*>(config)), /*early=*/false);
  });
}

int32_t HcclCommInitClusterInfo(const char* cluster_info, uint32_t rank, void** comm) {
  return HcclCommInitClusterInfoConfig(cluster_info, rank, nullptr, comm);
}

int32_t HcclCommInitClusterInfoConfig(const char* cluster_info, uint32_t rank, void* config,
                                      void** comm) {
  return Answer("HcclCommInitClusterInfoConfig", [&] {
    const std::string path = &Required(cluster_info, "clusterInfo");
    void*& out = Required(comm, "comm");
    const RankTable table = ReadRankTable(path);
    const auto ranks = static_cast<uint32_t>(table.devices.size());
    if (rank >= ranks) {
      throw Error(kPara, Format("rank table '%s': it has %u ranks, and this is rank %u",
                                path.c_str(), ranks, rank));
    }
    const int32_t device = WorkingDevice();
    const int32_t number = softnpu_physical_device(device);
    if (table.devices[rank] != number) {
      throw Error(kPara, Format("rank table '%s': device_id of rank %u is \"%d\", but it is on "
                                "device %d",
                                path.c_str(), rank, table.devices[rank], number));
    }
    const Settings settings = ReadSettings(static_cast<const CommConfig*>(config));
    if (rank == 0) Listen(table.meeting, JoinTimeout());
    out = Add("HcclCommInitClusterInfoConfig", table.meeting, ranks, rank, device, settings,
              /*early=*/true);
  });
}

int32_t HcclGetRootInfoScalable(void* root_info) { return HcclGetRootInfo(root_info); }

// Several roots share the work of a large cluster. One is enough for a machine: all ranks meet at
// the first one.
int32_t HcclCommInitRootInfoScalable(uint32_t ranks, uint32_t roots, const void* root_infos,
                                     uint32_t rank, uint32_t further_roots, const void* config,
                                     void** comm) {
  return Answer("HcclCommInitRootInfoScalable", [&] {
    void*& out = Required(comm, "comm");
    CheckPlace(ranks, rank);
    if (roots < 1 || roots > ranks) {
      throw Error(kPara, Format("there are %u roots; %u ranks have 1 to %u", roots, ranks, ranks));
    }
    if (further_roots != 0)
      throw Error(kPara, Format("nExtRoot is %u; it has to be 0", further_roots));
    const auto* const bytes = &Required(static_cast<const char*>(root_infos), "rootInfoList");
    std::vector<RootInfo> infos;
    uint64_t list = roots;
    for (uint32_t i = 0; i < roots; ++i) {
      infos.push_back(ReadRootInfo(bytes + i * kRootInfoBytes));
      list = list * 31 + std::hash<std::string>()(infos.back().name);
    }
    out = Add("HcclCommInitRootInfoScalable", infos[0], ranks, rank, WorkingDevice(),
              ReadSettings(static_cast<const CommConfig*>(config)), /*early=*/false, list);
    for (uint32_t i = 1; rank == 0 && i < roots; ++i) Dismiss(infos[i]);
  });
}

int32_t HcclCommInitAll(uint32_t count, int32_t* devices, void** comms) {
  return Answer("HcclCommInitAll", [&] {
    Required(devices, "devices");
    Required(comms, "comms");
    CheckPlace(count, 0);
    // A rank that does not come would let the others wait for it.
    for (uint32_t rank = 0; rank < count; ++rank) {
      softnpu_memory memory = {};
      if (softnpu_device_memory(devices[rank], &memory) != 0) {
        throw Error(kRuntime, Format("devices[%u]: %s", rank, softnpu_own_message()));
      }
    }
    const RootInfo info = RootInfo::Make();
    Listen(info, JoinTimeout());
    const Settings settings = Settings::FromEnvironment();
    std::vector<void*> made(count);
    // The first one: ranks that wait for one that has failed fail later.
    std::mutex mutex;
    std::exception_ptr reason;
    std::vector<std::thread> threads;
    for (uint32_t rank = 0; rank < count; ++rank) {
      threads.emplace_back([&, rank] {
        try {
          made[rank] =
              Add("HcclCommInitAll", info, count, rank, devices[rank], settings, /*early=*/false);
        } catch (...) {
          std::lock_guard<std::mutex> lock(mutex);
          if (reason == nullptr) reason = std::current_exception();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    if (reason != nullptr) {
      for (void* const comm : made) {
        if (comm != nullptr) Communicators().Remove(comm)->Destroy();
      }
      std::rethrow_exception(reason);
    }
    std::copy(made.begin(), made.end(), comms);
  });
}

int32_t HcclCreateSubCommConfig(void** comm, uint32_t ranks, uint32_t* rank_ids, uint64_t id,
                                uint32_t rank, void* config, void** sub_comm) {
  return Answer("HcclCreateSubCommConfig", [&] {
    const std::shared_ptr<Communicator> parent = Communicators().Get(Required(comm, "comm"));
    void*& out = Required(sub_comm, "subComm");
    if (rank_ids == nullptr) {
      // CANN's way of saying that this rank is in no part.
      out = nullptr;
      return;
    }
    parent->RequireWorking();
    CheckPlace(ranks, rank);
    const std::vector<uint32_t> ids(rank_ids, rank_ids + ranks);
    for (size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] >= parent->ranks() || std::count(ids.begin(), ids.end(), ids[i]) != 1) {
        throw Error(kPara, Format("rankIds[%zu] is %u: it has to be one of the %u ranks, once", i,
                                  ids[i], parent->ranks()));
      }
    }
    if (ids[rank] != parent->rank()) {
      throw Error(kPara, Format("rankIds[%u], this rank's, is %u, but this is rank %u", rank,
                                ids[rank], parent->rank()));
    }
    const RootInfo info = parent->info().Part(id);
    if (rank == 0) Listen(info, JoinTimeout());
    out = Add("HcclCreateSubCommConfig", info, ranks, rank, parent->device(),
              ReadSettings(static_cast<const CommConfig*>(config)), /*early=*/true);
  });
}

int32_t HcclCommDestroy(void* comm) {
  return Answer("HcclCommDestroy", [&] { Communicators().Remove(comm)->Destroy(); });
}

int32_t HcclGetCommAsyncError(void* comm, int32_t* error) {
  return Answer("HcclGetCommAsyncError",
                [&] { Required(error, "asyncError") = Communicators().Get(comm)->result(); });
}

int32_t HcclGetCommName(void* comm, char* name) {
  return Answer("HcclGetCommName", [&] {
    const std::string& text = Communicators().Get(comm)->name();
    std::memcpy(&Required(name, "commName"), text.c_str(), std::min(text.size() + 1, kNameBytes));
  });
}

int32_t HcclGetRankSize(void* comm, uint32_t* ranks) {
  return Answer("HcclGetRankSize",
                [&] { Required(ranks, "rankSize") = Communicators().Get(comm)->ranks(); });
}

int32_t HcclGetRankId(void* comm, uint32_t* rank) {
  return Answer("HcclGetRankId",
                [&] { Required(rank, "rank") = Communicators().Get(comm)->rank(); });
}

// All that the headers have; those without a meaning here change nothing.
uint32_t HcclGetCommConfigCapability() { return 12; }

const char* HcclGetErrorString(int32_t code) { return NameOf(static_cast<Result>(code)); }

// 0: whether results are to be the same each time. They always are.
int32_t HcclSetConfig(int32_t config, ConfigValue value) {
  return Answer("HcclSetConfig", [&] {
    if (config != 0) throw Error(kPara, Format("the setting %d is unknown (0 is known)", config));
    g_deterministic = value.value;
  });
}

int32_t HcclGetConfig(int32_t config, ConfigValue* value) {
  return Answer("HcclGetConfig", [&] {
    if (config != 0) throw Error(kPara, Format("the setting %d is unknown (0 is known)", config));
    Required(value, "configValue").value = g_deterministic;
  });
}

int32_t HcclAllReduce(void* send, void* receive, uint64_t count, int32_t dtype, int32_t reduction,
                      void* comm, void* stream) {
  return Answer("HcclAllReduce", [&] {
    Arguments arguments = Buffers(send, receive, count, dtype);
    arguments.reduction = static_cast<Reduction>(reduction);
    Enqueue(Communicators().Get(comm), Kind::kAllReduce, arguments, stream);
  });
}

int32_t HcclReduce(void* send, void* receive, uint64_t count, int32_t dtype, int32_t reduction,
                   uint32_t root, void* comm, void* stream) {
  return Answer("HcclReduce", [&] {
    Arguments arguments = Buffers(send, receive, count, dtype);
    arguments.reduction = static_cast<Reduction>(reduction);
    arguments.root = root;
    Enqueue(Communicators().Get(comm), Kind::kReduce, arguments, stream);
  });
}

int32_t HcclReduceScatter(void* send, void* receive, uint64_t count, int32_t dtype,
                          int32_t reduction, void* comm, void* stream) {
  return Answer("HcclReduceScatter", [&] {
    Arguments arguments = Buffers(send, receive, count, dtype);
    arguments.reduction = static_cast<Reduction>(reduction);
    Enqueue(Communicators().Get(comm), Kind::kReduceScatter, arguments, stream);
  });
}

int32_t HcclReduceScatterV(void* send, const void* send_counts, const void* send_places,
                           void* receive, uint64_t count, int32_t dtype, int32_t reduction,
                           void* comm, void* stream) {
  return Answer("HcclReduceScatterV", [&] {
    const std::shared_ptr<Communicator> communicator = Communicators().Get(comm);
    Arguments arguments = Buffers(send, receive, count, dtype);
    arguments.reduction = static_cast<Reduction>(reduction);
    arguments.send_counts = Numbers(send_counts, communicator->ranks(), "sendCounts");
    arguments.send_places = Numbers(send_places, communicator->ranks(), "sendDispls");
    Enqueue(communicator, Kind::kReduceScatterV, arguments, stream);
  });
}

int32_t HcclAllGather(void* send, void* receive, uint64_t count, int32_t dtype, void* comm,
                      void* stream) {
  return Answer("HcclAllGather", [&] {
    Enqueue(Communicators().Get(comm), Kind::kAllGather, Buffers(send, receive, count, dtype),
            stream);
  });
}

int32_t HcclAllGatherV(void* send, uint64_t count, void* receive, const void* receive_counts,
                       const void* receive_places, int32_t dtype, void* comm, void* stream) {
  return Answer("HcclAllGatherV", [&] {
    const std::shared_ptr<Communicator> communicator = Communicators().Get(comm);
    Arguments arguments = Buffers(send, receive, count, dtype);
    arguments.receive_counts = Numbers(receive_counts, communicator->ranks(), "recvCounts");
    arguments.receive_places = Numbers(receive_places, communicator->ranks(), "recvDispls");
    Enqueue(communicator, Kind::kAllGatherV, arguments, stream);
  });
}

int32_t HcclAlltoAll(const void* send, uint64_t send_count, int32_t send_type, const void* receive,
                     uint64_t receive_count, int32_t receive_type, void* comm, void* stream) {
  return Answer("HcclAlltoAll", [&] {
    const std::shared_ptr<Communicator> communicator = Communicators().Get(comm);
    Arguments arguments = Buffers(send, const_cast<void*>(receive), 0, send_type);
    arguments.received = static_cast<DType>(receive_type);
    for (uint64_t rank = 0; rank < communicator->ranks(); ++rank) {
      arguments.send_counts.push_back(send_count);
      arguments.send_places.push_back(send_count * rank);
      arguments.receive_counts.push_back(receive_count);
      arguments.receive_places.push_back(receive_count * rank);
    }
    Enqueue(communicator, Kind::kAlltoAll, arguments, stream);
  });
}

int32_t HcclAlltoAllV(const void* send, const void* send_counts, const void* send_places,
                      int32_t send_type, const void* receive, const void* receive_counts,
                      const void* receive_places, int32_t receive_type, void* comm, void* stream) {
  return Answer("HcclAlltoAllV", [&] {
    const std::shared_ptr<Communicator> communicator = Communicators().Get(comm);
    const uint32_t ranks = communicator->ranks();
    Arguments arguments = Buffers(send, const_cast<void*>(receive), 0, send_type);
    arguments.received = static_cast<DType>(receive_type);
    arguments.send_counts = Numbers(send_counts, ranks, "sendCounts");
    arguments.send_places = Numbers(send_places, ranks, "sdispls");
    arguments.receive_counts = Numbers(receive_counts, ranks, "recvCounts");
    arguments.receive_places = Numbers(receive_places, ranks, "rdispls");
    Enqueue(communicator, Kind::kAlltoAllV, arguments, stream);
  });
}

// counts[i][j]: what rank i sends to rank j. Blocks lie one after another, by rank.
int32_t HcclAlltoAllVC(const void* send, const void* counts, int32_t send_type, const void* receive,
                       int32_t receive_type, void* comm, void* stream) {
  return Answer("HcclAlltoAllVC", [&] {
    const std::shared_ptr<Communicator> communicator = Communicators().Get(comm);
    const uint32_t ranks = communicator->ranks();
    const uint32_t rank = communicator->rank();
    const std::vector<uint64_t> matrix = Numbers(counts, ranks * ranks, "sendCountMatrix");
    Arguments arguments = Buffers(send, const_cast<void*>(receive), 0, send_type);
    arguments.received = static_cast<DType>(receive_type);
    uint64_t sent = 0;
    uint64_t received = 0;
    for (uint32_t other = 0; other < ranks; ++other) {
      arguments.send_counts.push_back(matrix[rank * ranks + other]);
      arguments.send_places.push_back(sent);
      arguments.receive_counts.push_back(matrix[other * ranks + rank]);
      arguments.receive_places.push_back(received);
      sent += arguments.send_counts.back();
      received += arguments.receive_counts.back();
    }
    Enqueue(communicator, Kind::kAlltoAllVC, arguments, stream);
  });
}

int32_t HcclBroadcast(void* buffer, uint64_t count, int32_t dtype, uint32_t root, void* comm,
                      void* stream) {
  return Answer("HcclBroadcast", [&] {
    Arguments arguments = Buffers(buffer, buffer, count, dtype);
    arguments.root = root;
    Enqueue(Communicators().Get(comm), Kind::kBroadcast, arguments, stream);
  });
}

int32_t HcclScatter(void* send, void* receive, uint64_t count, int32_t dtype, uint32_t root,
                    void* comm, void* stream) {
  return Answer("HcclScatter", [&] {
    Arguments arguments = Buffers(send, receive, count, dtype);
    arguments.root = root;
    Enqueue(Communicators().Get(comm), Kind::kScatter, arguments, stream);
  });
}

int32_t HcclBarrier(void* comm, void* stream) {
  return Answer("HcclBarrier",
                [&] { Enqueue(Communicators().Get(comm), Kind::kBarrier, {}, stream); });
}

int32_t HcclSend(void* send, uint64_t count, int32_t dtype, uint32_t to, void* comm, void* stream) {
  return Answer("HcclSend", [&] {
    Pass("HcclSend", comm, {true, send, count, static_cast<DType>(dtype), to}, stream);
  });
}

int32_t HcclRecv(void* receive, uint64_t count, int32_t dtype, uint32_t from, void* comm,
                 void* stream) {
  return Answer("HcclRecv", [&] {
    Pass("HcclRecv", comm, {false, receive, count, static_cast<DType>(dtype), from}, stream);
  });
}

int32_t HcclBatchSendRecv(void* items, uint32_t count, void* comm, void* stream) {
  return Answer("HcclBatchSendRecv", [&] {
    const auto* const item = static_cast<const SendRecvItem*>(items);
    if (count > 0) Required(item, "sendRecvInfo");
    std::vector<Message> messages;
    for (uint32_t i = 0; i < count; ++i) {
      if (item[i].kind != 0 && item[i].kind != 1) {
        throw Error(kPara, Format("sendRecvInfo[%u] has the kind %d (0 sends, 1 receives)", i,
                                  item[i].kind));
      }
      messages.push_back({item[i].kind == 0, item[i].buffer, item[i].count,
                          static_cast<DType>(item[i].dtype), item[i].rank});
    }
    EnqueueMessages(Communicators().Get(comm), "HcclBatchSendRecv", messages, stream);
  });
}

int32_t HcclGroupStart() {
  ++t_groups;
  return kSuccess;
}

// Collectives within a group were queued when they were called.
int32_t HcclGroupEnd() {
  return Answer("HcclGroupEnd", [&] {
    if (t_groups == 0) throw Error(kPara, "there was no HcclGroupStart");
    if (--t_groups > 0) return;
    for (const Bundle& bundle : std::exchange(t_bundles, {})) {
      EnqueueMessages(bundle.communicator, "HcclGroup", bundle.messages, bundle.stream);
    }
  });
}

}  // extern "C"
