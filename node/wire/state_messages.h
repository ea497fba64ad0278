// The messages of state transfer: how each is written whole, and how what follows its type is read.
#pragma once

#include "node/wire/parts.h"

namespace pbft::wire {

[[nodiscard]] Bytes encode_one(const FetchTree& message);
[[nodiscard]] Bytes encode_one(const Tree& message);
[[nodiscard]] Bytes encode_one(const FetchBucket& message);
[[nodiscard]] Bytes encode_one(const BucketPart& message);

[[nodiscard]] FetchTree read_fetch_tree(Reader& reader);
[[nodiscard]] Tree read_tree(Reader& reader);
[[nodiscard]] FetchBucket read_fetch_bucket(Reader& reader);
[[nodiscard]] BucketPart read_bucket_part(Reader& reader);

}  // namespace pbft::wire
