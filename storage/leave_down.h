// What to do about a store that lost something: one text for all errors that say so.
#pragma once

namespace pbft::storage {

// An older copy is worse than none: it votes again, and perhaps differently, in slots that it has forgotten.
inline constexpr const char* leave_down =
    "do not start it from an older copy of the store: it would vote again on what it has forgotten, which is a "
    "Byzantine "
    "fault. Move the directory away, and start this replica with --rejoin (`pbftctl up CLUSTER --only NAME --rejoin`): "
    "it gets its state from the others, and votes again once that is safe. Until then it is one of the f replicas that "
    "the cluster can do without";

// Where nothing is lost but what the other replicas have as well.
inline constexpr const char* repair = "what this replica promised is whole, and the others can give it the state again";

// A store of an earlier format.
inline constexpr const char* older_store =
    "it was made by an earlier version of this program, in another format; run the version that wrote it, or move the "
    "directory away and start this replica with --rejoin: without its memory it takes part again once that is safe";

// Where there is no store at all.
inline constexpr const char* create_or_leave_down =
    "`pbftctl init` makes the store of a replica of a new cluster. Where this replica has run before, start it with "
    "--rejoin (`pbftctl up CLUSTER --only NAME --rejoin`): it gets its state from the others, and votes again once "
    "that "
    "is safe. Do not start it from an older copy of the store: it would vote again on what it has forgotten, which is "
    "a "
    "Byzantine fault";

inline constexpr const char* unfinished_store =
    "a store was being made here when the process that did so ended; start again with what made it: with --rejoin, "
    "which begins anew, or, where that was `pbftctl init`, remove the directory of the cluster first";

}  // namespace pbft::storage
