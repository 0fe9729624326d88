// CRC-32C (Castagnoli; RFC 3720 B.4): what a plane store names its tensors' bytes by.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lapwing {

// Of `count` bytes that follow those `value` is of; 0 at the beginning.
uint32_t crc32c(uint32_t value, const uint8_t* data, size_t count);

// The same from tables alone, for processors without an instruction for it.
uint32_t crc32c_tables(uint32_t value, const uint8_t* data, size_t count);

}  // namespace lapwing
