/* SPDX-License-Identifier: Apache-2.0 */
/* `dranetd --print-states`: the table of core/states.h as a Mermaid state diagram, the README's picture. */
#pragma once

#include "core/base/buf.h"

void print_states(struct buf *ret);
