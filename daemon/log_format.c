/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/base/cleanup.h"
#include "core/base/error.h"
#include "daemon/log.h"

struct kind_row {
	const char *id; /* MESSAGE_ID; never change one, make a new kind */
	bool limited;
};
static const struct kind_row kinds[LOG_KIND_MAX] = {
    [LOG_KIND_START] = {"8b19415d129d47428832a2eafa201502", false},      [LOG_KIND_READY] = {"716b373e43bf4bb1a3888ec750e93453", false},
    [LOG_KIND_STOP] = {"2af13f5cd75a46da93aedb35a046c9ff", false},       [LOG_KIND_FLAG] = {"9689b8898e244c2c8af61e577d420d2f", false},
    [LOG_KIND_TRANSITION] = {"246adcc38f2741c2bebd172d65470bcf", false}, [LOG_KIND_REQUEST] = {"71a48b9de28b4dc0a762778c12f1a597", true},
    [LOG_KIND_KUBELET] = {"42caa517f2ce48cea8776646020da8c3", true},     [LOG_KIND_RUNTIME] = {"a67dfb066e4b46d58de15f17d4b0727a", true},
    [LOG_KIND_API] = {"adf426da272546a291bed92acf4fc7eb", true},         [LOG_KIND_KERNEL] = {"acae22ea76d2436194ae1d181c946ed9", true},
    [LOG_KIND_STORE] = {"0c6f3ff5804347de93e10791e367aad2", true},       [LOG_KIND_TOKEN] = {"28ec7301daf34e9385f1112f10e90969", true},
    [LOG_KIND_LEASE] = {"5d2f0c7a94d74a1f8b3ce2a1674e90b6", true},       [LOG_KIND_EVENT] = {"4db9c971876c4d15a61d9801b444ec1b", true},
    [LOG_KIND_INTERNAL] = {"7bcc3e8c770d42d6aa3987f79881ff6b", true},
};

const char *log_kind_id(enum log_kind kind)
{
	return kinds[kind].id;
}

bool log_kind_limited(enum log_kind kind)
{
	return kinds[kind].limited;
}

/* What a record is about, each thing under its name in JSON and plain lines and under its name in the journal. */
enum field { CLAIM, CLAIM_UID, POD, POD_UID, DEVICE, PCI, INTERFACE, SANDBOX, NETNS, FROM, TO, CAUSE, DURATION, ERRNO, ERROR, FIELD_MAX };

static const struct {
	const char *json, *journal;
	bool number;
} names[FIELD_MAX] = {
    [CLAIM] = {"claim", "CLAIM", false},
    [CLAIM_UID] = {"claimUID", "CLAIM_UID", false},
    [POD] = {"pod", "POD", false},
    [POD_UID] = {"podUID", "POD_UID", false},
    [DEVICE] = {"device", "DEVICE", false},
    [PCI] = {"pciAddress", "PCI_ADDRESS", false},
    [INTERFACE] = {"interface", "INTERFACE", false},
    [SANDBOX] = {"sandbox", "SANDBOX_ID", false},
    [NETNS] = {"netns", "NETNS", false},
    [FROM] = {"from", "STATE_FROM", false},
    [TO] = {"to", "STATE_TO", false},
    [CAUSE] = {"cause", "CAUSE", false},
    [DURATION] = {"durationMs", "DURATION_MS", true},
    [ERRNO] = {"errno", "ERRNO", true}, /* systemd.journal-fields(7): the positive number */
    [ERROR] = {"error", "ERROR", false},
};

struct fields {
	const char *value[FIELD_MAX]; /* NULL = left out */
	char claim[NAMESPACE_SIZE + NAME_SIZE], pod[NAMESPACE_SIZE + NAME_SIZE], duration[16], number[16], name[16];
};

static const char *given(const char *text)
{
	return text && *text ? text : NULL;
}

static void fields_of(const struct log_about *a, struct fields *f)
{
	*f = (struct fields){.value = {
				 [DEVICE] = given(a->device),
				 [PCI] = given(a->pci_address),
				 [INTERFACE] = given(a->interface),
				 [SANDBOX] = given(a->sandbox),
				 [NETNS] = given(a->netns),
				 [FROM] = given(a->from),
				 [TO] = given(a->to),
				 [CAUSE] = given(a->cause),
			     }};
	if (a->claim && a->claim->uid[0]) {
		snprintf(f->claim, sizeof(f->claim), "%s/%s", a->claim->namespace_, a->claim->name);
		f->value[CLAIM] = a->claim->name[0] ? f->claim : NULL;
		f->value[CLAIM_UID] = a->claim->uid;
	}
	if (a->pod && a->pod->uid[0]) {
		snprintf(f->pod, sizeof(f->pod), "%s/%s", a->pod->namespace_, a->pod->name);
		f->value[POD] = a->pod->name[0] ? f->pod : NULL;
		f->value[POD_UID] = a->pod->uid;
	}
	if (a->has_duration) {
		snprintf(f->duration, sizeof(f->duration), "%u", a->duration_ms);
		f->value[DURATION] = f->duration;
	}
	if (a->result < 0) {
		snprintf(f->number, sizeof(f->number), "%d", -a->result);
		f->value[ERRNO] = f->number;
		f->value[ERROR] = error_name(a->result, f->name);
	}
}

/* The length of the UTF-8 sequence at `p`, 0 when there is none (RFC 3629: no surrogates, no overlong forms, nothing above 10FFFF). */
static size_t utf8_sequence(const unsigned char *p)
{
	if (p[0] < 0x80)
		return 1;
	size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

/* Add foreign text so that it stays on its line and is UTF-8. `json` picks JSON's escapes, else C's; `quoted` escapes the quote. */
static void add_escaped(struct buf *b, const char *text, bool json, bool quoted)
{
	for (const unsigned char *p = (const unsigned char *)text; *p;) {
		size_t len = utf8_sequence(p);
		if (len == 0) {
			/* A byte that is no UTF-8: JSON has no way to say it but a replacement character. */
			if (json)
				buf_puts(b, "\xef\xbf\xbd");
			else
				buf_printf(b, "\\x%02x", *p);
			p++;
			continue;
		}
		if (*p == '\n')
			buf_puts(b, "\\n");
		else if (*p == '\t')
			buf_puts(b, "\\t");
		else if (*p < 0x20 || *p == 0x7f)
			buf_printf(b, json ? "\\u%04x" : "\\x%02x", *p);
		else if (quoted && (*p == '"' || *p == '\\'))
			buf_printf(b, "\\%c", *p);
		else
			buf_add(b, p, len);
		p += len;
	}
}

static void add_time(struct buf *b, uint64_t realtime_us)
{
	time_t s = (time_t)(realtime_us / 1000000);
	struct tm tm;
	if (!gmtime_r(&s, &tm))
		tm = (struct tm){.tm_mday = 1, .tm_year = 70};
	buf_printf(b, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
	           (unsigned)(realtime_us / 1000 % 1000));
}

static const char *priority_name(int priority)
{
	static const char *const words[] = {"emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"};
	return priority >= 0 && priority < 8 ? words[priority] : "info";
}

/* A text with a space, a quote or a control character is quoted in plain lines. */
static bool needs_quotes(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || *text == '"' || *text == '=')
			return true;
	return false;
}

void log_format_plain(const struct log_record *r, struct buf *ret)
{
	struct fields f;
	fields_of(&r->about, &f);
	add_time(ret, r->realtime_us);
	buf_printf(ret, " %-7s ", priority_name(r->priority));
	add_escaped(ret, r->message, false, false);
	for (int i = 0; i < FIELD_MAX; i++) {
		if (!f.value[i])
			continue;
		bool quote = needs_quotes(f.value[i]);
		buf_printf(ret, " %s=%s", names[i].json, quote ? "\"" : "");
		add_escaped(ret, f.value[i], false, quote);
		if (quote)
			buf_puts(ret, "\"");
	}
	buf_puts(ret, "\n");
}

void log_format_json(const struct log_record *r, struct buf *ret)
{
	struct fields f;
	fields_of(&r->about, &f);
	buf_puts(ret, "{\"ts\":\"");
	add_time(ret, r->realtime_us);
	buf_printf(ret, "\",\"level\":\"%s\",\"msg\":\"", priority_name(r->priority));
	add_escaped(ret, r->message, true, true);
	buf_printf(ret, "\",\"messageID\":\"%s\"", log_kind_id(r->kind));
	for (int i = 0; i < FIELD_MAX; i++) {
		if (!f.value[i])
			continue;
		buf_printf(ret, ",\"%s\":%s", names[i].json, names[i].number ? "" : "\"");
		add_escaped(ret, f.value[i], true, true);
		if (!names[i].number)
			buf_puts(ret, "\"");
	}
	buf_puts(ret, "}\n");
}

size_t log_format_journal(const struct log_record *r, struct buf *storage, struct iovec ret[LOG_JOURNAL_FIELDS_MAX])
{
	struct fields f;
	size_t starts[LOG_JOURNAL_FIELDS_MAX + 1], n = 0;
	fields_of(&r->about, &f);
	starts[n++] = storage->len;
	buf_printf(storage, "MESSAGE=%s", r->message);
	starts[n++] = storage->len;
	buf_printf(storage, "PRIORITY=%d", r->priority);
	starts[n++] = storage->len;
	buf_printf(storage, "MESSAGE_ID=%s", log_kind_id(r->kind));
	starts[n++] = storage->len;
	buf_puts(storage, "SYSLOG_IDENTIFIER=dranetd");
	for (int i = 0; i < FIELD_MAX; i++) {
		if (!f.value[i])
			continue;
		starts[n++] = storage->len;
		buf_printf(storage, "%s=%s", names[i].journal, f.value[i]);
	}
	starts[n] = storage->len;
	if (storage->failed)
		return 0;
	for (size_t i = 0; i < n; i++)
		ret[i] = (struct iovec){storage->data + starts[i], starts[i + 1] - starts[i]};
	return n;
}

/* FNV-1a, 64 bits: the key only has to tell a handful of texts apart. */
static uint64_t hash_add(uint64_t h, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)(text ? text : ""); *p; p++)
		h = (h ^ *p) * 0x100000001b3ULL;
	return (h ^ 0xff) * 0x100000001b3ULL;
}

uint64_t log_record_key(const struct log_record *r)
{
	uint64_t h = 0xcbf29ce484222325ULL;
	h = hash_add(h, log_kind_id(r->kind));
	h = hash_add(h, r->message);
	h = hash_add(h, r->about.device);
	h = hash_add(h, r->about.claim ? r->about.claim->uid : NULL);
	h = hash_add(h, r->about.pod ? r->about.pod->uid : NULL);
	return h ? h : 1;
}

enum { LIMIT_BURST = 5, LIMIT_INTERVAL_MS = 10000 };

bool log_limit_pass(struct log_limit *l, uint64_t key, uint64_t now_ms, uint32_t *ret_suppressed)
{
	struct log_limit_slot *slot = &l->slots[key % ELEMENTS(l->slots)];
	uint32_t suppressed = 0;
	/* Two keys of one slot push each other out: that loses a count, never a record. */
	if (slot->key != key || now_ms - slot->since_ms >= LIMIT_INTERVAL_MS) {
		suppressed = slot->key == key ? slot->suppressed : 0;
		*slot = (struct log_limit_slot){.key = key, .since_ms = now_ms};
	}
	if (slot->passed == LIMIT_BURST) {
		slot->suppressed++;
		return false;
	}
	slot->passed++;
	*ret_suppressed = suppressed;
	return true;
}

bool log_stream_is(const char *journal_stream, uint64_t device, uint64_t inode)
{
	unsigned long long d, i;
	int end = 0;
	if (!journal_stream || sscanf(journal_stream, "%llu:%llu%n", &d, &i, &end) != 2 || journal_stream[end])
		return false;
	return d == device && i == inode;
}
