// What a stream is given to do, recorded once and launched again as one.
#pragma once

#include "gpu.hpp"

namespace swinir::plugin {

class Graph {
 public:
  // Records what `action` enqueues in the stream, which does none of it. Throws Failure.
  template <typename Action>
  Graph(const Driver& driver, const Stream& stream, Action action) : driver_(driver) {
    // Other threads may go on taking memory meanwhile.
    driver.check(driver.cuStreamBeginCapture_v2(stream.get(), CU_STREAM_CAPTURE_MODE_THREAD_LOCAL),
                 "Beginning a graph");
    CUgraph recorded = nullptr;
    try {
      action();
    } catch (...) {
      driver.cuStreamEndCapture(stream.get(), &recorded);
      if (recorded != nullptr) driver.cuGraphDestroy(recorded);
      throw;
    }
    driver.check(driver.cuStreamEndCapture(stream.get(), &recorded), "Ending a graph");
    const CUresult result = driver.cuGraphInstantiateWithFlags(&graph_, recorded, 0);
    driver.cuGraphDestroy(recorded);
    driver.check(result, "Making a graph");
  }
  ~Graph() { driver_.cuGraphExecDestroy(graph_); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void launch(const Stream& stream) const {
    driver_.check(driver_.cuGraphLaunch(graph_, stream.get()), "Launching a graph");
  }

 private:
  const Driver& driver_;
  CUgraphExec graph_ = nullptr;
};

}  // namespace swinir::plugin
