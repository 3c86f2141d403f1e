// Many short runs, so that helpers come early, late and not at all: every part is done exactly once, by a lane that exists.
#include <chrono>
#include <stdexcept>

#include "core/workers.h"
#include "test/driver.h"

using namespace ultramem;
using namespace ultramem::test;

int main(int argc, char** argv) {
  answerIsas(argc, argv);
  Random random(3);
  for (uint32_t lanes : {1u, 2u, 5u}) {
    Workers workers(lanes);
    for (int run = 0; run < 3000; run++) {
      const auto parts = static_cast<uint32_t>(random.below(40));
      std::vector<int> done(parts);
      workers.run(parts, [&](uint32_t part, uint32_t lane) {
        if (lane >= lanes) fail("lane", part, lane, lanes);
        done[part]++;
      });
      for (uint32_t part = 0; part < parts; part++)
        if (done[part] != 1) fail("part", part, done[part], 1);
      if (run % 500 != 0 || parts == 0) continue;
      // A part that throws: the others are done all the same, and the exception arrives.
      std::atomic<uint32_t> others = 0;
      bool thrown = false;
      try {
        workers.run(parts, [&](uint32_t part, uint32_t) {
          if (part == parts / 2) throw std::runtime_error("part");
          others++;
        });
      } catch (const std::runtime_error&) {
        thrown = true;
      }
      if (!thrown || (lanes > 1 && parts > 1 && others != parts - 1)) fail("thrown", run, others, parts - 1);
      std::this_thread::sleep_for(std::chrono::microseconds(50));  // long enough for helpers to go to sleep
    }
  }
  std::printf("9000 runs");
}
