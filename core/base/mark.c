/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/mark.h"

#ifdef DRANETD_MARKS
void (*mark_listener)(const char *group, const char *what, const char *step);
#endif
