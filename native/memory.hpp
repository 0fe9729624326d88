// Anonymous memory straight from the system: zero until touched, returned whole on destruction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace lapwing {

class Region {
 public:
  Region() = default;
  // Throws std::bad_alloc. `dense`: all of it will be filled and read in long runs, so large pages
  // are asked for (fewer TLB misses); otherwise only what is touched is committed.
  explicit Region(size_t nbytes, bool dense = false);
  Region(Region&& other) noexcept { swap(other); }
  Region& operator=(Region&& other) noexcept {
    swap(other);
    return *this;
  }
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  ~Region();

  uint8_t* data() const { return data_; }
  size_t nbytes() const { return nbytes_; }
  // Gives the pages of [begin, end) back; they read as zero afterwards.
  void discard(size_t begin, size_t end);

 private:
  void swap(Region& other) {
    std::swap(data_, other.data_);
    std::swap(nbytes_, other.nbytes_);
  }
  uint8_t* data_ = nullptr;
  size_t nbytes_ = 0;
};

// Makes room for so many bytes; where there was less, what it held is lost.
inline void grow(Region& region, size_t nbytes) {
  if (region.nbytes() < nbytes) region = Region(nbytes + nbytes / 4);
}

}  // namespace lapwing
