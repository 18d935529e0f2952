/* SPDX-License-Identifier: Apache-2.0 */
/* Marked points: the places at which tests/node/kill.py has the process die, named "group.what.step", such as "netlink.newlink-move.begin".
 *
 * Only a build with DRANETD_MARKS has them (the dev preset's); any other calls nothing and holds none of the names. The base only passes
 * them on, because it knows neither files nor signals: daemon/mark.c hears them. */
#pragma once

#ifdef DRANETD_MARKS
/* Set once, before there is a second thread; NULL = nobody listens. Called from every thread. */
extern void (*mark_listener)(const char *group, const char *what, const char *step);

static inline void mark(const char *group, const char *what, const char *step)
{
	if (mark_listener)
		mark_listener(group, what, step);
}
#else
#define mark(group, what, step) ((void)0)
#endif
