// cc/softnpu/base/handle_table_test.cc: handles that are live, stale, of another kind, or none.
#include "cc/softnpu/base/handle_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

namespace softnpu {
namespace {

using ::testing::HasSubstr;

class Handles : public ::testing::Test {
 protected:
  template <typename Body>
  static std::string ErrorOf(Body&& body) {
    try {
      body();
    } catch (const Error& error) {
      return std::to_string(error.code()) + " " + error.what();
    }
    return "";
  }

  HandleTable<int> events_{HandleKind::kEvent, 107000};
  HandleTable<int> streams_{HandleKind::kStream, 107003};
};

TEST_F(Handles, GiveTheirObject) {
  void* one = events_.Add(std::make_shared<int>(1));
  void* two = events_.Add(std::make_shared<int>(2));
  EXPECT_EQ(*events_.Get(one), 1);
  EXPECT_EQ(*events_.Get(two), 2);
  EXPECT_EQ(events_.All().size(), 2u);
}

TEST_F(Handles, AreStaleOnceTheirObjectIsDestroyedAlsoWhenItsPlaceIsTakenAgain) {
  std::set<void*> seen;
  void* first = events_.Add(std::make_shared<int>(1));
  for (int i = 0; i < 1000; ++i) {
    void* handle = events_.Add(std::make_shared<int>(i));
    EXPECT_TRUE(seen.insert(handle).second);
    EXPECT_EQ(*events_.Remove(handle), i);
    EXPECT_THAT(ErrorOf([&] { events_.Get(handle); }), HasSubstr("107000 0x2"));
    EXPECT_THAT(ErrorOf([&] { events_.Remove(handle); }),
                HasSubstr("event of this process: it was destroyed"));
  }
  EXPECT_EQ(*events_.Get(first), 1);
  EXPECT_EQ(events_.All().size(), 1u);
}

TEST_F(Handles, OfAnotherKindAreRefusedByTheirKind) {
  void* stream = streams_.Add(std::make_shared<int>(3));
  EXPECT_THAT(ErrorOf([&] { events_.Get(stream); }),
              HasSubstr("is not a live event of this process: it is a handle of the kind stream"));
  EXPECT_EQ(*streams_.Get(stream), 3);
}

TEST_F(Handles, ThatAreNoneAreRefused) {
  int object = 0;
  EXPECT_EQ(ErrorOf([&] { streams_.Get(nullptr); }), "107003 the stream is null");
  EXPECT_THAT(ErrorOf([&] { streams_.Get(&object); }),
              HasSubstr("is not a live stream of this process"));
  char* handle = static_cast<char*>(streams_.Add(std::make_shared<int>(3)));
  EXPECT_NE(ErrorOf([&] { streams_.Get(handle + 1); }), "");
  EXPECT_NE(ErrorOf([&] { streams_.Get(handle + 16); }), "");
}

TEST_F(Handles, AnObjectThatIsInUseOutlivesItsHandle) {
  void* handle = events_.Add(std::make_shared<int>(7));
  const std::shared_ptr<int> used = events_.Get(handle);
  events_.Remove(handle);
  EXPECT_EQ(*used, 7);
  EXPECT_EQ(used.use_count(), 1);
}

TEST_F(Handles, ManyThreadsMakeAndDestroyThem) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        void* handle = events_.Add(std::make_shared<int>(t));
        EXPECT_EQ(*events_.Get(handle), t);
        events_.Remove(handle);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(events_.All().empty());
}

}  // namespace
}  // namespace softnpu
