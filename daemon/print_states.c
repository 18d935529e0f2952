/* SPDX-License-Identifier: Apache-2.0 */
#include "core/states.h"
#include "daemon/print_states.h"

void print_states(struct buf *ret)
{
	buf_puts(ret, "stateDiagram-v2\n");
	buf_printf(ret, "    [*] --> %s\n", device_state_name(DEVICE_DISCOVERED));
	for (size_t i = 0; i < device_transitions_n; i++) {
		const struct device_transition *t = &device_transitions[i];
		buf_printf(ret, "    %s --> %s: %s", device_state_name(t->from), device_state_name(t->to), device_event_name(t->event));
		if (t->action && *t->action)
			buf_printf(ret, " / %s", t->action);
		buf_puts(ret, "\n");
	}
}
