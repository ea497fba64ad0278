/* The interface between a PBFT node and a state machine in a shared library. Plain C, self-contained.
 *
 * A plugin is a shared library that exports one symbol, `pbft_plugin`: a function that returns a table of
 * functions. All state lives in an ordered key-value store that the host owns and the plugin reaches through
 * pbft_state; so durability, checkpoints, state transfer and recovery are the host's business.
 *
 * DETERMINISM. Every replica runs the same operations and must reach the same bytes, in the state and in the
 * results. So `execute` may depend on its arguments and on the configuration, and on nothing else: no clock, no
 * random numbers, no threads, no addresses, no files, no environment, no locale, no uninitialised bytes, no order
 * of unordered containers, no memory of its own between operations.
 *
 * OWNERSHIP. Nobody frees what the other side allocated. What the host passes in is valid until the call
 * returns. What the plugin hands out it hands to a pbft_writer, which copies. The table and all that it points to
 * must stay valid and unchanged while the library is loaded.
 *
 * THREADS. Calls of open, execute, query and close on one instance never overlap, but they may come from
 * different threads. parse and format may be called from any thread, also while another call runs: they may only
 * read what open has set up. They also run in programs of clients, where there is no state.
 *
 * ERRORS. No C++ exception may leave a plugin's function, nor the constructor of a global (that ends the process). The
 * host makes a failure of one that leaves a function (and PBFT_EXHAUSTED of std::bad_alloc), if both sides share a C++
 * runtime; pbft/plugin.hpp catches all.
 */
#ifndef PBFT_PLUGIN_H
#define PBFT_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Goes up when a change breaks plugins that were built before it. Fields that are appended to a struct do not:
 * each struct says how large it is, and neither side reads beyond that. */
#define PBFT_PLUGIN_ABI_VERSION 1u

/* Limits, in bytes. A key has at least 1 byte, a value may be empty. */
#define PBFT_MAX_KEY_BYTES 4096u
#define PBFT_MAX_VALUE_BYTES 1048576u
#define PBFT_MAX_OPERATION_BYTES 1048576u
#define PBFT_MAX_RESULT_BYTES 1048576u
/* How much of the state one operation may read and write, in bytes. Counted are the keys and values that it is given
 * and gives, PBFT_WORK_OF_CALL for each call of pbft_state, and PBFT_WORK_OF_PAIR for each pair that a scan comes past.
 * Beyond it the operation fails. Operations that are executed together share it, so less may be left; but 16 KiB and as
 * much as the operation has itself nearly always are. */
#define PBFT_MAX_WORK_BYTES 50331648u
#define PBFT_WORK_OF_CALL 512u
#define PBFT_WORK_OF_PAIR 64u

/* What functions return, on both sides. */
enum {
  PBFT_OK = 0,
  /* From the plugin: the operation failed. What it wrote as its result is a message for people, and none of its
   * changes stays. The failure is a result like any other: all replicas must come to the same one. */
  PBFT_FAILED = 1,
  /* From pbft_state.get: there is no such key. */
  PBFT_NOT_FOUND = 2,
  /* From pbft_state: the call was refused, or the operation has done too much (PBFT_MAX_WORK_BYTES: from any of the
   * calls, for good), or the storage is broken. The operation is lost: whatever the plugin
   * returns, it fails with a message of the host. The plugin should return soon. */
  PBFT_REFUSED = 3,
  /* From the plugin: there was not enough memory. This says nothing about the operation, but something about this
   * replica, so it is no result: the replica stops, and nothing of the batch is applied. Only for that: a size that an
   * operation asks for is checked first, and is PBFT_FAILED where it is too large. */
  PBFT_EXHAUSTED = 4
};

/* A run of bytes that somebody else owns. `data` may be null where size is 0. Not terminated by a zero. */
typedef struct pbft_bytes {
  const uint8_t* data;
  size_t size;
} pbft_bytes;

/* Takes bytes from the plugin. Calls append; what is beyond the limit of what is written is not kept, and the
 * operation fails with a message of the host. */
typedef struct pbft_writer {
  void* handle;
  void (*append)(void* handle, const void* data, size_t size);
} pbft_writer;

/* The state, as of the operation: it sees the operation's own changes and those of all operations before it. Valid
 * during one call of execute or query. */
typedef struct pbft_state {
  size_t struct_size;
  void* handle;
  /* PBFT_OK: *value is set; it is valid until the next call of get, put or erase or the end of the operation.
   * PBFT_NOT_FOUND. PBFT_REFUSED: the key is beyond the limits, or storage is broken. */
  int (*get)(void* handle, pbft_bytes key, pbft_bytes* value);
  /* PBFT_OK. PBFT_REFUSED: key or value are beyond the limits; or it is called from a query or a visitor. */
  int (*put)(void* handle, pbft_bytes key, pbft_bytes value);
  /* As put. Erasing what is not there is PBFT_OK. */
  int (*erase)(void* handle, pbft_bytes key);
  /* Visits the keys in [from, to) in ascending order of their bytes, as unsigned numbers; an empty `to` means to the
   * end. `visit` returns 0 to stop. The bytes that it is given are valid until it returns. It may call get and scan,
   * but neither put nor erase. PBFT_OK, or PBFT_REFUSED: the visits were ended, or storage is broken. */
  int (*scan)(void* handle, pbft_bytes from, pbft_bytes to, int (*visit)(void* user, pbft_bytes key, pbft_bytes value),
              void* user);
} pbft_state;

typedef struct pbft_context {
  size_t struct_size;
  /* The batch's place in the order. Several operations share it. In a query: the last batch that was executed. */
  uint64_t sequence_number;
  /* The time that the replicas have agreed on, in microseconds since the Unix epoch. Never goes back; the only clock
   * that execute may use. */
  uint64_t time_us;
  /* Who asked: the client's public key. Authenticated. */
  uint8_t client[32];
} pbft_context;

/* One command of the text form, for help and shell completion. */
typedef struct pbft_command {
  const char* name;  /* "put": the first word */
  const char* usage; /* "put KEY VALUE" */
  const char* help;  /* one line, without a full stop */
  int read_only;     /* 1: it may be answered without being ordered */
} pbft_command;

typedef struct pbft_plugin_v1 {
  uint32_t abi_version; /* PBFT_PLUGIN_ABI_VERSION of the header that the plugin was built with; always first */
  uint32_t struct_size; /* sizeof(pbft_plugin_v1) */
  const char* name;     /* "kv"; not empty. Name and configuration have to be the same on all replicas */
  const char* version;  /* "1.0.0"; not empty */

  /* Makes an instance. `config` is the text from the cluster's genesis. PBFT_OK with *instance set to whatever the
   * other functions are to get (null is allowed), or anything else after a message has been written to `error`.
   * Optional: without it the configuration must be empty and the instance is null. */
  int (*open)(pbft_bytes config, pbft_writer error, void** instance);
  /* Frees an instance. Optional. */
  void (*close)(void* instance);

  /* Runs one operation. Required. PBFT_OK or PBFT_FAILED, or PBFT_EXHAUSTED; anything else is a failure, too. */
  int (*execute)(void* instance, const pbft_context* context, const pbft_state* state, pbft_bytes operation,
                 pbft_writer result);
  /* Runs one operation that only reads. The result must be a function of state, operation and configuration:
   * replicas are compared, and they may be asked at different sequence numbers and times. Optional: without it
   * every query fails. */
  int (*query)(void* instance, const pbft_context* context, const pbft_state* state, pbft_bytes operation,
               pbft_writer result);

  /* The text form, so that people and HTTP can use the plugin. Optional. */
  const pbft_command* commands;
  size_t command_count;
  /* Words, as on a command line, to an operation. PBFT_OK: `output` has got the operation, and *read_only is 1 if it
   * may go to query. PBFT_FAILED: `output` has got a message that says what is allowed. Optional. */
  int (*parse)(void* instance, const pbft_bytes* words, size_t count, int* read_only, pbft_writer output);
  /* The result of a successful operation as text, without a line break at the end. Optional: without it, results
   * are shown as they are. */
  int (*format)(void* instance, pbft_bytes operation, pbft_bytes result, pbft_writer text);
} pbft_plugin_v1;

#if defined(__GNUC__)
#define PBFT_PLUGIN_EXPORT __attribute__((visibility("default")))
#else
#define PBFT_PLUGIN_EXPORT
#endif

/* The one exported symbol. A program that links a plugin's sources in gives it another name. */
#ifndef PBFT_PLUGIN_SYMBOL
#define PBFT_PLUGIN_SYMBOL pbft_plugin
#endif
PBFT_PLUGIN_EXPORT const pbft_plugin_v1* PBFT_PLUGIN_SYMBOL(void);

#ifdef __cplusplus
}
#endif

#endif /* PBFT_PLUGIN_H */
