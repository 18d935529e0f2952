/* SPDX-License-Identifier: Apache-2.0 */
/* The journal. One record is a priority, a kind (which gives the MESSAGE_ID), a text for people, and what it is about (struct log_about),
 * and goes to one sink: journald's native socket with a field for each thing, plain lines, or JSON lines on stderr.
 *
 *   log_write ─▶ rate limit ─▶ log_format_* (pure) ─▶ sink
 *
 * Texts come from peers and the kernel, so every formatter escapes control characters and bytes that are not UTF-8; a text that is too
 * long is cut between characters. Only the loop's thread logs: library folders and the worker return errors. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include <syslog.h> /* LOG_ERR … LOG_DEBUG */

#include "core/base/buf.h"
#include "core/claim.h"

/* Kinds of records; a kind keeps its MESSAGE_ID for ever (log_format.c), so that `journalctl MESSAGE_ID=…` finds it in any version. */
enum log_kind {
	LOG_KIND_START,
	LOG_KIND_READY,
	LOG_KIND_STOP,
	LOG_KIND_FLAG,
	LOG_KIND_TRANSITION,
	LOG_KIND_REQUEST, /* kubelet's calls and the runtime's hooks, verbose */
	LOG_KIND_KUBELET,
	LOG_KIND_RUNTIME,
	LOG_KIND_API,
	LOG_KIND_KERNEL, /* the monitor */
	LOG_KIND_STORE,
	LOG_KIND_TOKEN,
	LOG_KIND_LEASE, /* DHCP */
	LOG_KIND_EVENT, /* what was also told as a Kubernetes Event */
	LOG_KIND_INTERNAL,
	LOG_KIND_MAX
};

/* What a record is about; zero and NULL members are left out. */
struct log_about {
	const struct claim_ref *claim;
	const struct pod_ref *pod;
	const char *device, *pci_address, *interface, *sandbox, *netns;
	const char *from, *to, *cause; /* state transition */
	bool has_duration;
	uint32_t duration_ms;
	int result; /* negative errno */
};

struct log_record {
	int priority; /* LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG */
	enum log_kind kind;
	const char *message;
	struct log_about about;
	uint64_t realtime_us; /* Unix time */
};

enum log_sink { LOG_SINK_AUTO, LOG_SINK_JOURNAL, LOG_SINK_PLAIN, LOG_SINK_JSON };

enum { LOG_MESSAGE_MAX = 1536 }; /* bytes of text; longer ones are cut */

/* Open the log. AUTO: the journal when stderr is connected to it (JOURNAL_STREAM names stderr's device and inode), plain lines on a
 * terminal, else JSON lines. `verbosity` is klog's -v: from 2 on LOG_DEBUG is written. Before log_open records go to stderr as plain lines.
 */
void log_open(enum log_sink sink, int verbosity);
bool log_is_verbose(void);
const char *log_sink_name(void); /* "journal", "plain", "json" */

/* Write one record; `about` may be NULL. */
void log_write(int priority, enum log_kind kind, const struct log_about *about, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- pure parts, for tests ------------------------------------------------------------------------------------------------------- */

/* One line with its newline. Plain: `time LEVEL text key=value …`; JSON: an object. */
void log_format_plain(const struct log_record *r, struct buf *ret);
void log_format_json(const struct log_record *r, struct buf *ret);
enum { LOG_JOURNAL_FIELDS_MAX = 24 };
/* Fields in journald's form, "NAME=value", which point into `storage`. Returns how many. */
size_t log_format_journal(const struct log_record *r, struct buf *storage, struct iovec ret[LOG_JOURNAL_FIELDS_MAX]);
/* The 128-bit MESSAGE_ID as 32 hex digits. */
const char *log_kind_id(enum log_kind kind);
/* Repeated records of this kind may be suppressed. */
bool log_kind_limited(enum log_kind kind);

/* Whether JOURNAL_STREAM ("device:inode") names this descriptor's file. */
bool log_stream_is(const char *journal_stream, uint64_t device, uint64_t inode);

/* Rate limit of equal records: the first five in ten seconds pass, the next one after that time carries the number left out. */
struct log_limit {
	struct log_limit_slot {
		uint64_t key, since_ms;
		uint32_t passed, suppressed;
	} slots[64];
};
/* Whether the record with this key (log_record_key) passes; `*ret_suppressed` gets how many equal ones were left out before it. */
bool log_limit_pass(struct log_limit *l, uint64_t key, uint64_t now_ms, uint32_t *ret_suppressed);
uint64_t log_record_key(const struct log_record *r); /* never 0 */
