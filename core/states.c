/* SPDX-License-Identifier: Apache-2.0 */
#include "core/states.h"

/* clang-format off */
const struct device_transition device_transitions[] = {
	{DEVICE_DISCOVERED, DEVICE_EVENT_ACCEPTED,       DEVICE_PUBLISHED,  "the scheduler may hand it out"},
	/* The scheduler may act on a slice of an earlier run of this daemon before the new one is accepted. */
	{DEVICE_DISCOVERED, DEVICE_EVENT_PREPARED,       DEVICE_PREPARED,   "claim checked, host state kept, record on disk"},
	{DEVICE_PUBLISHED,  DEVICE_EVENT_WITHDRAWN,      DEVICE_DISCOVERED, "no longer offered"},
	{DEVICE_PUBLISHED,  DEVICE_EVENT_PREPARED,       DEVICE_PREPARED,   "claim checked, host state kept, record on disk"},
	{DEVICE_PREPARED,   DEVICE_EVENT_ATTACHED,       DEVICE_ATTACHED,   "moved into the pod and configured"},
	{DEVICE_PREPARED,   DEVICE_EVENT_ATTACH_FAILED,  DEVICE_PREPARED,   "undone, tried again"},
	{DEVICE_PREPARED,   DEVICE_EVENT_RELEASED,       DEVICE_RELEASED,   "a half-done attach of an earlier run was undone"},
	{DEVICE_PREPARED,   DEVICE_EVENT_RELEASE_FAILED, DEVICE_PREPARED,   "tried again"},
	{DEVICE_PREPARED,   DEVICE_EVENT_UNPREPARED,     DEVICE_PUBLISHED,  "record removed"},
	{DEVICE_ATTACHED,   DEVICE_EVENT_RELEASED,       DEVICE_RELEASED,   "back on the host, restored and read back"},
	{DEVICE_ATTACHED,   DEVICE_EVENT_RELEASE_FAILED, DEVICE_ATTACHED,   "tried again"},
	{DEVICE_RELEASED,   DEVICE_EVENT_ATTACHED,       DEVICE_ATTACHED,   "moved into the pod's next sandbox"},
	{DEVICE_RELEASED,   DEVICE_EVENT_ATTACH_FAILED,  DEVICE_RELEASED,   "undone, tried again"},
	{DEVICE_RELEASED,   DEVICE_EVENT_RELEASED,       DEVICE_RELEASED,   "restored once more after a restart"},
	{DEVICE_RELEASED,   DEVICE_EVENT_RELEASE_FAILED, DEVICE_RELEASED,   "tried again"},
	{DEVICE_RELEASED,   DEVICE_EVENT_UNPREPARED,     DEVICE_PUBLISHED,  "record removed"},
};
/* clang-format on */
const size_t device_transitions_n = sizeof(device_transitions) / sizeof(device_transitions[0]);

const char *device_state_name(enum device_state s)
{
	static const char *const names[DEVICE_STATE_MAX] = {
	    [DEVICE_DISCOVERED] = "discovered", [DEVICE_PUBLISHED] = "published", [DEVICE_PREPARED] = "prepared",
	    [DEVICE_ATTACHED] = "attached",     [DEVICE_RELEASED] = "released",
	};
	return (unsigned)s < DEVICE_STATE_MAX ? names[s] : "?";
}

const char *device_event_name(enum device_event e)
{
	static const char *const names[DEVICE_EVENT_MAX] = {
	    [DEVICE_EVENT_ACCEPTED] = "accepted",
	    [DEVICE_EVENT_WITHDRAWN] = "withdrawn",
	    [DEVICE_EVENT_PREPARED] = "prepared",
	    [DEVICE_EVENT_ATTACHED] = "attached",
	    [DEVICE_EVENT_ATTACH_FAILED] = "attach-failed",
	    [DEVICE_EVENT_RELEASED] = "released",
	    [DEVICE_EVENT_RELEASE_FAILED] = "release-failed",
	    [DEVICE_EVENT_UNPREPARED] = "unprepared",
	};
	return (unsigned)e < DEVICE_EVENT_MAX ? names[e] : "?";
}

const struct device_transition *device_transition_find(enum device_state from, enum device_event event)
{
	for (size_t i = 0; i < device_transitions_n; i++)
		if (device_transitions[i].from == from && device_transitions[i].event == event)
			return &device_transitions[i];
	return NULL;
}
