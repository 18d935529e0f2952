/* SPDX-License-Identifier: Apache-2.0 */
/* Which RDMA device belongs to which of the devices that discovery found. Pure.
 *
 * The netdev at a port (nldev.h) has it: alone, because in exclusive mode it leaves with the RDMA device. VLANs, macvlans and IPoIB
 * children on that netdev, which the GID table or sysfs would give it to as well, do not have it. Of the members of a bond none has it but
 * the bond: it is the link whose addresses the GIDs are made of, and the port's netdev is now this member, now that. InfiniBand ports have
 * no netdev. An IPoIB netdev has the GUID of its port in its hardware address (dranet-behaviour §2.8). What sysfs said stands where nothing
 * here contradicts it. */
#pragma once

#include "core/device.h"
#include "rdma/nldev.h"

/* Sets or clears all the facts that begin with rdma. */
void rdma_facts_add(const struct rdma_table *t, struct device_facts *facts);
/* Whether the table may be older than these facts: the netdev joined or left a bond, or may be one that a port misses. */
bool rdma_facts_are_news(const struct rdma_table *t, const struct device_facts *facts);
