// What to do about a store that lost something: one text for all errors that say so.
#pragma once

namespace pbft::storage {

// An older copy is worse than none: it votes again, and perhaps differently, in slots that it has forgotten.
inline constexpr const char* leave_down =
    "leave this replica down, and do not start it from an older copy of the store: it would vote again on what it has "
    "forgotten, which is a Byzantine fault. The cluster bears the loss of at most f replicas";

// Where nothing is lost but what the other replicas have as well.
inline constexpr const char* repair = "what this replica promised is whole, and the others can give it the state again";

// A store of an earlier format.
inline constexpr const char* older_store =
    "it was made by an earlier version of this program, in another format; run the version that wrote it, or move the "
    "directory away and start this replica with --rejoin: without its memory it takes part again once that is safe";

// Where there is no store at all.
inline constexpr const char* create_or_leave_down =
    "create it with `pbftctl init` if this replica has never run before. A replica that lost its store must not simply "
    "start with an empty one: where it has run, leave it down, and do not start it from an older copy of the store "
    "either: it would vote again on what it has forgotten, which is a Byzantine fault. The cluster bears the loss of "
    "at "
    "most f replicas";

}  // namespace pbft::storage
