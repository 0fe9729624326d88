// Memory of arrays that go back to Python, used again: an allocator gives pages of large arrays
// back to the system, which clears them anew for the next operation (4 % of an encoder's time).
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace lapwing {

// Python's lock is held by whoever takes or gives.
class Buffers {
 public:
  static float* take(size_t count) {
    const size_t nbytes = kHeader + count * sizeof(float);
    auto& free = kept();
    size_t best = free.size();
    for (size_t i = 0; i < free.size(); ++i)
      if (free[i]->nbytes >= nbytes && free[i]->nbytes / 2 <= nbytes &&
          (best == free.size() || free[i]->nbytes < free[best]->nbytes))
        best = i;
    Header* header;
    if (best < free.size()) {
      header = free[best];
      free.erase(free.begin() + static_cast<std::ptrdiff_t>(best));
      kept_bytes() -= header->nbytes;
    } else {
      header = new (::operator new(nbytes, std::align_val_t{kHeader})) Header{nbytes};
    }
    return reinterpret_cast<float*>(reinterpret_cast<char*>(header) + kHeader);
  }

  static void give(void* data) noexcept {
    auto* header = reinterpret_cast<Header*>(static_cast<char*>(data) - kHeader);
    if (header->nbytes >= kLeast && kept_bytes() + header->nbytes <= kMost &&
        kept().size() < kMostBuffers) {
      kept_bytes() += header->nbytes;
      kept().push_back(header);  // within what is reserved: does not throw
    } else {
      ::operator delete(header, std::align_val_t{kHeader});
    }
  }

 private:
  struct Header {
    size_t nbytes;  // of all, header included
  };
  static constexpr size_t kHeader = 64;  // and the alignment
  // What allocators keep by themselves is not kept here, and in all no more than a pass of an
  // encoder has.
  static constexpr size_t kLeast = 64 << 10, kMost = 8 << 20, kMostBuffers = 16;
  // Never destroyed: arrays may outlive the module.
  static std::vector<Header*>& kept() {
    static auto& buffers = *[] {
      auto* made = new std::vector<Header*>;
      made->reserve(kMostBuffers);
      return made;
    }();
    return buffers;
  }
  static size_t& kept_bytes() {
    static size_t bytes = 0;
    return bytes;
  }
};

}  // namespace lapwing
