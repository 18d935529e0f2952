/* SPDX-License-Identifier: Apache-2.0 */
/* The device state machine as a table, and nothing else. The picture in the README is printed from it (`dranetd --print-states`). */
#pragma once

#include "core/claim.h"

enum device_event {
	DEVICE_EVENT_ACCEPTED,      /* the API server accepted a slice that names it */
	DEVICE_EVENT_WITHDRAWN,     /* became an uplink, was filtered, or lost its netdev: no longer offered */
	DEVICE_EVENT_PREPARED,      /* NodePrepareResources of a claim that holds it, record on disk */
	DEVICE_EVENT_ATTACHED,      /* the worker moved and configured it */
	DEVICE_EVENT_ATTACH_FAILED, /* undone: it is on the host as before */
	DEVICE_EVENT_RELEASED,      /* back on the host, host state restored and read back */
	DEVICE_EVENT_RELEASE_FAILED,
	DEVICE_EVENT_UNPREPARED, /* the claim is gone from this node */
	DEVICE_EVENT_MAX
};

struct device_transition {
	enum device_state from;
	enum device_event event;
	enum device_state to;
	const char *action; /* what is done on the way, for people */
};

extern const struct device_transition device_transitions[];
extern const size_t device_transitions_n;

const char *device_state_name(enum device_state s);
const char *device_event_name(enum device_event e);
/* The row, or NULL: the event is impossible in this state. */
const struct device_transition *device_transition_find(enum device_state from, enum device_event event);
