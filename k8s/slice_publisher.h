/* SPDX-License-Identifier: Apache-2.0 */
/* The publisher's insides: slice_publisher.c decides when to look and what to tell, slice_write.c does the requests. */
#pragma once

#include "k8s/api_private.h"
#include "k8s/backoff.h"
#include "k8s/objects.h"
#include "k8s/slice_plan.h"

enum { OBSERVED_MAX = 8192 };

/* What is out of order at the moment; one outage is told once, whatever it consists of. */
enum publisher_trouble { TROUBLE_DISCOVERY = 1, TROUBLE_WATCH = 2, TROUBLE_NODE = 4, TROUBLE_WRITE = 8 };

struct publisher {
	struct api *api;
	struct publisher_options options;
	char driver[NAME_SIZE], node[NAME_SIZE];
	char node_uid[UID_SIZE]; /* "" = has to be asked for */
	uv_timer_t timer;
	bool closed;
	unsigned troubles;

	/* the API server's side */
	struct api_watch *watch;
	bool discovering;
	bool listed; /* `observed` is complete */
	struct slice_observed *observed;
	size_t n_observed, cap_observed;
	int64_t highest, unfinished;

	/* ours */
	uint64_t revision;
	bool asked; /* publisher_changed() was called */
	bool dirty; /* `digests` are to be made again */
	bool told;  /* `published` was called for this state */
	struct slice_digest *digests;
	uint64_t *versions; /* of the slices that they were made of */
	size_t n_digests;

	/* the request under way */
	struct api_request *request;
	struct slice_step step;
	char target[NAME_SIZE]; /* name of the slice it is about */
	struct slice_digest sent;
	unsigned conflicts; /* in a row */
	bool removals;      /* the watch told of one while a write was under way */
	int failure;        /* of the last write, while the timer waits to try again */
	struct backoff backoff, wiped;
};

void publisher_look(struct publisher *p); /* do what is next, if anything can be done now */
void publisher_look_in(struct publisher *p, uint64_t delay_ms);
void publisher_trouble_set(struct publisher *p, enum publisher_trouble what, int result, const char *text);
void publisher_trouble_clear(struct publisher *p, enum publisher_trouble what);
void publisher_restart(struct publisher *p); /* the version we use is not served: find another */
struct slice_identity publisher_identity(const struct publisher *p);

struct slice_observed *publisher_find(struct publisher *p, const char *name);
void publisher_forget(struct publisher *p, struct slice_observed *o);
/* Take the API server's copy; older ones than we know are ignored. `sent`: what we wrote when this was the answer, or NULL. NULL with no
 * memory to keep it. */
struct slice_observed *publisher_observe(struct publisher *p, const struct slice_observed *copy, const struct slice_digest *sent);

void publisher_write(struct publisher *p, const struct slice_step *step);
void publisher_read_node(struct publisher *p);
