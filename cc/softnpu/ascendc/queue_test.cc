// cc/softnpu/ascendc/queue_test.cc: queues, buffers, tensors and scalar accesses that work.
#include "ascendc/hccl.h"
#include "cc/softnpu/ascendc/testing/vector.h"

namespace {

using namespace AscendC;
using namespace softnpu::ascendc;
using namespace softnpu::ascendc::testing;

std::function<void(GM_ADDR x)> g_kernel;

void FrameKernel(GM_ADDR x) { g_kernel(x); }

std::vector<float> Launched(uint32_t blocks, const std::function<void(GM_ADDR x)>& kernel) {
  softnpu::twin::Bind(CoreApi());
  HostMemory memory;
  const uintptr_t x = memory.Put(std::vector<float>(64, 2.0f), "x");
  g_kernel = kernel;
  const Slots slots(x);
  Launch(Chip910B(), memory, softnpu::twin::MakeEntry<&FrameKernel>("frame", __FILE__, __LINE__),
         slots.data(), slots.bytes(), blocks, true);
  return memory.Get<float>(x);
}

TEST(Queue, QueuesCountTheirTensors) {
  Launched(1, [](GM_ADDR) {
    TPipe pipe;
    TQue<QuePosition::VECIN, 2> queue;
    pipe.InitBuffer(queue, 2, 64);
    EXPECT_EQ(GetTPipePtr(), &pipe);
    EXPECT_TRUE(queue.HasIdleBuffer());
    LocalTensor<float> a = queue.AllocTensor<float>();
    LocalTensor<float> b;
    queue.AllocTensor(b);
    EXPECT_FALSE(queue.HasIdleBuffer());
    EXPECT_FALSE(queue.HasTensorInQue());
    queue.EnQue(a);
    EXPECT_TRUE(queue.HasTensorInQue());
    EXPECT_EQ(queue.GetTensorCountInQue(), 1);
    EXPECT_TRUE(queue.VacantInQue());
    queue.EnQue(b);
    EXPECT_FALSE(queue.VacantInQue());
    queue.DeQue(a);
    queue.FreeTensor(a);
    b = queue.DeQue<float>();
    queue.FreeTensor(b);
  });
}

// Buffers without a type of elements: the order of a queue for data that the kernel knows by
// itself.
TEST(Queue, Buffers) {
  const std::vector<float> x = Launched(1, [](GM_ADDR address) {
    GlobalTensor<float> gm;
    gm.SetGlobalBuffer(reinterpret_cast<float*>(address));
    TPipe pipe;
    TQueBind<TPosition::VECIN, TPosition::VECOUT, 1> queue;
    pipe.InitBuffer(queue, 1, 64);
    LocalTensor<float> data = queue.AllocTensor<float>();
    DataCopy(data, gm, 16);
    queue.EnQue(data);
    const TBufHandle held = queue.DeQue();
    SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
    Adds(data, data, 1.0f, 16);
    SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
    WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
    DataCopy(gm, data, 16);
    queue.FreeBuffer(held);
    TBufHandle next = queue.AllocBuffer();
    EXPECT_FALSE(queue.HasIdleBuffer());
    queue.EnQue(next);
    queue.FreeBuffer(queue.DeQue());
    EXPECT_TRUE(queue.HasIdleBuffer());
  });
  for (size_t i = 0; i < 64; ++i) EXPECT_EQ(x[i], i < 16 ? 3.0f : 2.0f) << i;
}

// The only buffer of a queue holds what it held before it was freed.
TEST(Queue, OneBufferKeepsItsValues) {
  const std::vector<float> x = Launched(1, [](GM_ADDR address) {
    GlobalTensor<float> gm;
    gm.SetGlobalBuffer(reinterpret_cast<float*>(address));
    TPipe pipe;
    TQue<TPosition::VECIN, 1> in;
    TQue<TPosition::VECOUT, 1> out;
    pipe.InitBuffer(in, 1, 64);
    pipe.InitBuffer(out, 1, 64);
    LocalTensor<float> data = in.AllocTensor<float>();
    DataCopy(data, gm, 16);
    in.EnQue(data);
    data = in.DeQue<float>();
    Muls(data, data, 5.0f, 16);
    in.FreeTensor(data);
    PipeBarrier<PIPE_V>();
    LocalTensor<float> again = in.AllocTensor<float>();
    LocalTensor<float> result = out.AllocTensor<float>();
    Adds(result, again, 1.0f, 16);
    in.FreeTensor(again);
    out.EnQue(result);
    result = out.DeQue<float>();
    DataCopy(gm, result, 16);
    out.FreeTensor(result);
  });
  for (size_t i = 0; i < 16; ++i) EXPECT_EQ(x[i], 11.0f) << i;
}

// What compiles for the sake of other chips' branches is refused when a kernel comes to it.
TEST(Queue, OtherChipsCopiesAreRefusedByName) {
  const auto fault = [](auto&& call) -> std::string {
    try {
      Launched(1, [&call](GM_ADDR) { call(); });
    } catch (const KernelError& error) {
      return error.fault();
    }
    return "";
  };
  EXPECT_EQ(fault([] {
              const DataCopyEnhancedParams params(BlockMode::BLOCK_MODE_MATRIX, DeqScale::DEQ_NONE,
                                                  0, 0, false, pad_t::PAD_NONE, 0);
              DataCopy(LocalTensor<half>(), LocalTensor<int32_t>(), DataCopyParams(), params);
            }),
            "DataCopy on the chip with DataCopyEnhancedParams is not supported by SoftNPU");
  EXPECT_EQ(fault([] {
              FixpipeParams<float> params(1, 2, 0, 0);
              Fixpipe(GlobalTensor<half>(), LocalTensor<float>(), params);
            }),
            "Fixpipe with FixpipeParams is not supported by SoftNPU");
}

// Communication inside a kernel: the kernel runs up to the first call.
TEST(Queue, HcclIsRefusedByName) {
  const auto fault = [](auto&& call) -> std::string {
    try {
      Launched(1, [&call](GM_ADDR) {
        ASCENDC_ASSERT(GetBlockNum() == 1, "one block");
        Hccl<HCCL_SERVER_TYPE_AICPU> hccl;
        call(hccl);
      });
    } catch (const KernelError& error) {
      return error.fault();
    }
    return "";
  };
  EXPECT_EQ(fault([](auto&) {}), "");
  EXPECT_EQ(fault([](auto& hccl) { hccl.GetRankId(); }),
            "Hccl::GetRankId is not supported by SoftNPU");
  EXPECT_EQ(fault([](auto& hccl) {
              const HcclHandle handle = hccl.template AllReduce<true>(
                  nullptr, nullptr, 16, HCCL_DATA_TYPE_FP16, HCCL_REDUCE_SUM);
              hccl.Wait(handle);
            }),
            "Hccl::AllReduce is not supported by SoftNPU");
  EXPECT_EQ(fault([](auto& hccl) { hccl.Init(GetHcclContext<HCCL_GROUP_ID_0>()); }),
            "GetHcclContext is not supported by SoftNPU");
}

TEST(Queue, EventIdsAreGivenOnce) {
  Launched(1, [](GM_ADDR) {
    TPipe pipe;
    const TEventID first = pipe.AllocEventID<HardEvent::V_S>();
    const TEventID second = pipe.AllocEventID<HardEvent::V_S>();
    EXPECT_NE(first, second);
    pipe.ReleaseEventID<HardEvent::V_S>(first);
    EXPECT_EQ(pipe.FetchEventID(HardEvent::V_S), first);
    pipe.ReleaseEventID<HardEvent::V_S>(second);
  });
}

TEST(Queue, TensorsArePlaces) {
  Launched(1, [](GM_ADDR x) {
    TPipe pipe;
    TBuf<> buffer;
    pipe.InitBuffer(buffer, 256);
    LocalTensor<float> a = buffer.Get<float>();
    EXPECT_EQ(a.GetSize(), 64u);
    EXPECT_EQ(a[8].GetSize(), 56u);
    a.SetSize(16);
    EXPECT_EQ(a.GetSize(), 16u);
    const LocalTensor<half> part = buffer.GetWithOffset<half>(32, 64);
    EXPECT_EQ(part.GetPhyAddr(), a.GetPhyAddr() + 64);
    EXPECT_EQ(part.GetPhyAddr(2), a.GetPhyAddr() + 68);
    EXPECT_EQ(part.GetSize(), 32u);
    EXPECT_EQ(a.ReinterpretCast<int4b_t>().GetSize(), 128u);
    EXPECT_EQ(a.ReinterpretCast<int4b_t>()[6].GetPhyAddr(), a.GetPhyAddr() + 3);
    GlobalTensor<float> gm;
    gm.SetGlobalBuffer(reinterpret_cast<float*>(x), 64);
    EXPECT_EQ(gm.GetSize(), 64u);
    EXPECT_EQ(gm[10].GetSize(), 54u);
  });
}

TEST(Queue, ScalarsAndBlocks) {
  const auto x = Launched(3, [](GM_ADDR address) {
    EXPECT_EQ(GetBlockNum(), 3);
    EXPECT_EQ(GetSubBlockIdx(), 0);
    EXPECT_EQ(GetSubBlockNum(), 1);
    GlobalTensor<float> gm;
    gm.SetGlobalBuffer(reinterpret_cast<float*>(address), 64);
    // A cache line for each block.
    const uint64_t at = static_cast<uint64_t>(GetBlockIdx()) * 16;
    TPipe pipe;
    TBuf<> buffer;
    pipe.InitBuffer(buffer, 32);
    LocalTensor<float> ub = buffer.Get<float>();
    ub.SetValue(3, gm.GetValue(at) + 0.5f);
    gm.SetValue(at, ub.GetValue(3) + static_cast<float>(at));
  });
  EXPECT_EQ((std::vector<float>{x[0], x[16], x[32], x[48]}),
            (std::vector<float>{2.5, 18.5, 34.5, 2}));
}

TEST(Queue, OldParametersOfDataCopyPad) {
  Launched(1, [](GM_ADDR address) {
    GlobalTensor<float> gm;
    gm.SetGlobalBuffer(reinterpret_cast<float*>(address), 64);
    TPipe pipe;
    TBuf<> buffer;
    pipe.InitBuffer(buffer, 32);
    LocalTensor<float> ub = buffer.Get<float>();
    DataCopyPad(ub, gm, DataCopyParams(1, 20, 0, 0), DataCopyPadParams(true, 1, 2, 0x3f800000));
    PipeBarrier<PIPE_ALL>();
    EXPECT_EQ(ub.GetValue(0), 1.0f);
    EXPECT_EQ(ub.GetValue(1), 2.0f);
    EXPECT_EQ(ub.GetValue(7), 1.0f);
  });
}

}  // namespace
