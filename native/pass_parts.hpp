// How a pass over whole sequences is cut so that its threads need not wait for one another: each
// takes sequences through all operations, its activations stay in its own caches, and what the
// threads share is read only. A token's bits are the same in every company, so they are here.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace lapwing {

// Tokens of a part, at least: fewer do not pay for weights that every part unpacks for itself.
inline constexpr size_t kPartTokens = 64;
// From twice as many tokens a thread on, it has several parts: their activations stay in its
// caches, and what a busy machine holds up is less.
inline constexpr size_t kLargePart = 192;

// Neighbouring sequences, and their tokens.
struct PassPart {
  size_t first_sequence, last_sequence;
  size_t first_token, last_token;
  size_t tokens() const { return last_token - first_token; }
};

// `count` parts of about as many tokens; fewer where sequences are too long for that.
inline std::vector<PassPart> parts_of(std::span<const size_t> lengths, size_t tokens,
                                      size_t count) {
  std::vector<PassPart> parts;
  PassPart part{};
  for (const size_t length : lengths) {
    part.last_sequence += 1;
    part.last_token += length;
    // This part ends where its border is nearer to an equal share than the next sequence's end.
    const size_t border = (parts.size() + 1) * tokens / count;
    const size_t next = part.last_sequence < lengths.size() ? lengths[part.last_sequence] : 0;
    if (next == 0 || 2 * part.last_token + next > 2 * border) {
      parts.push_back(part);
      part = {part.last_sequence, part.last_sequence, part.last_token, part.last_token};
    }
  }
  return parts;
}

// Parts for so many threads, each with as many parts as the others and about as many tokens; none
// where all threads had better work on every operation together.
inline std::vector<PassPart> parts_for(std::span<const size_t> lengths, size_t tokens,
                                       size_t threads) {
  if (lengths.size() < threads || tokens < threads * kPartTokens) return {};
  for (size_t each = std::max<size_t>(1, tokens / threads / kLargePart); each > 0; --each) {
    auto parts = parts_of(lengths, tokens, each * threads);
    const auto most = std::ranges::max(parts, {}, &PassPart::tokens).tokens();
    // Nobody waits for more than an eighth of a share.
    if (parts.size() == each * threads && 8 * most * parts.size() <= 9 * tokens)
      return parts.size() > 1 ? parts : std::vector<PassPart>{};
  }
  return {};
}

}  // namespace lapwing
