#include "memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

namespace lapwing {

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

Region::Region(size_t nbytes, bool dense) : nbytes_(nbytes) {
  if (nbytes == 0) return;
  // NORESERVE: a context reserves address space for its whole length and commits what it fills.
  void* p = mmap(nullptr, nbytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    nbytes_ = 0;
    throw std::bad_alloc();
  }
  data_ = static_cast<uint8_t*>(p);
#ifdef MADV_HUGEPAGE
  constexpr size_t kLarge = size_t{2} << 20;
  if (dense && nbytes >= kLarge) madvise(p, nbytes, MADV_HUGEPAGE);
#else
  (void)dense;
#endif
}

Region::~Region() {
  if (data_ != nullptr) munmap(data_, nbytes_);
}

void Region::discard(size_t begin, size_t end) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  begin = (begin + page - 1) / page * page;
  end = end / page * page;
  if (begin < end) madvise(data_ + begin, end - begin, MADV_DONTNEED);
}

}  // namespace lapwing
