/* SPDX-License-Identifier: Apache-2.0 */
/* What a marked build (core/base/mark.h) does at its points, by two variables of the environment:
 *
 *   DRANETD_MARK_TRACE=FILE  appends a line "NAME" to it for each point that is passed
 *   DRANETD_KILL_AT=FILE     which holds "NAME#N": the process kills itself at the N-th time it comes by since it found that text there.
 *                            The file is read at each point, so that a test can name the next one without a new start; "" or no file:
 *                            live on.
 *
 * The line is in the trace before the process dies. */
#pragma once

#include "core/base/mark.h"
#include "core/core.h"

#ifdef DRANETD_MARKS
void mark_listen(void);
/* The effect's name for its points. */
const char *mark_effect(enum effect_type type);
#endif
