#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""mutations.py [--schedules N] [--seed S] [--jobs J] [NAME...] - prove that the simulator can fail.

Each row of the table is one breakage of core: a text of a file, which must occur in it exactly once,
and what takes its place. Core is built with it and the simulator runs until a schedule breaks the
promise the row names; that no schedule does is a failure of the simulator, not a success of core.
Rare ones begin at a seed that is known to catch them; should the simulator change, they are searched
for from there. The sources are copied first, nothing is changed in the tree.
"""
import argparse
import concurrent.futures
import glob
import os
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
CC = os.environ.get("CC", "gcc")
# As in CMakeLists.txt, without the warnings: what a mutation leaves unused is no news.
FLAGS = ["-std=c17", "-O1", "-D_GNU_SOURCE", '-DDRANETD_VERSION="0"', "-I.", "-w", "-fno-strict-aliasing",
         "-fno-common"]
FOLDERS = ("core", "core/base", "tests/sim")
SCHEDULE_SECONDS = 120  # for one mutation: an endless loop is found, not waited for


class Mutation(NamedTuple):
    name: str
    breaks: str  # how the simulator's verdict must begin
    file: str    # of core/
    old: str
    new: str
    seed: int = 1  # where to begin: a schedule that is known to catch what few do


MUTATIONS = [
    # ---- promise 1: one place, one owner
    Mutation("a device is reserved twice", "promise 1", "prepare.c",
             "\tif (d->owner)\n", "\tif (false)\n"),
    Mutation("a device is let go before its record is off the disk", "promise 1", "reconcile.c",
             "\tif (claim->phase != CLAIM_UNPREPARED || claim->store_op || claim->status_op ||",
             "\tif (claim->phase == CLAIM_UNPREPARED)\n\t\tclaim_let_go(c, claim);\n"
             "\tif (claim->phase != CLAIM_UNPREPARED || claim->store_op || claim->status_op ||", 986),
    Mutation("a namespace is let go while a device is inside", "promise 1", "sandbox.c",
             "(a->op || a->place == PLACE_POD || a->place == PLACE_UNKNOWN))\n\t\t\t\treturn true;",
             "a->op)\n\t\t\t\treturn true;"),
    Mutation("a namespace is let go while it is not known what is inside", "promise 1", "sandbox.c",
             "(a->op || a->place == PLACE_POD || a->place == PLACE_UNKNOWN))\n\t\t\t\treturn true;",
             "(a->op || a->place == PLACE_POD))\n\t\t\t\treturn true;", 4503),
    Mutation("every pin that failed is taken for a dead namespace", "promise 1", "sandbox.c",
             "p->dead = e->done.result == -ENOENT || e->done.result == -EINVAL;", "p->dead = true;", 850),
    Mutation("Unprepare is answered before the devices are home", "promise 1", "waiters.c",
             "(claim->phase == CLAIM_UNPREPARED && claim->stored == claim->version)", "claim->unprepare"),
    Mutation("no device is looked for after a start", "promise 1", "recover.c",
             "a->place = PLACE_UNKNOWN;", "a->place = PLACE_HOST;", 35398),
    Mutation("a stop is answered though the namespace is not held", "promise 1", "waiters.c",
             "((p->state == PIN_HELD && !c->options.synchronous_hooks) ||", "(p->state != PIN_OPENING ||", 10391),
    Mutation("every failed attach is taken for undone", "promise 1", "reconcile.c",
             "\tmove_fail(c, a, text);\n\tif (a->op_type == EFFECT_PROBE)",
             "\tmove_fail(c, a, text);\n\tif (attach)\n\t\ta->place = PLACE_HOST;\n"
             "\tif (a->op_type == EFFECT_PROBE)", 9166),
    Mutation("Unprepare does not wait until the devices are home", "promise 1", "reconcile.c",
             "!claim_is_home(claim) || ", ""),
    Mutation("a record of this boot is taken for one of an earlier boot", "promise 1", "recover.c",
             "bool stale = attachment_is_stale(c, a);", "bool stale = true;"),
    Mutation("the new host state need not be on disk before the attach", "promise 1", "reconcile.c",
             "\tclaim_changed(a->claim);\n\ta->claim->intent = a->claim->version;\n",
             "\tclaim_changed(a->claim);\n", 11441),
    Mutation("a PF is handed out while one of its VFs is used", "promise 1", "prepare.c",
             "\tif (device_vfs_used(c, d, true, why, sizeof(why)))\n", "\tif (false)\n"),
    Mutation("a PF is offered while one of its VFs is used", "promise 1", "inventory.c",
             "!a && (d->vfs_used || d->pf_held ||", "!a && (d->pf_held ||"),
    Mutation("a PF is not offered though its VFs are free", "promise 6", "inventory.c",
             "!a && (d->vfs_used || d->pf_held ||", "!a && (d->facts.sriov || d->pf_held ||"),
    Mutation("a VF is handed out while a claim has its PF", "promise 1", "prepare.c",
             "\tconst struct device *pf = device_held_pf(c, d, why, sizeof(why));\n", "\tconst struct device *pf = NULL;\n"),
    Mutation("a PF and its VF are handed out in one claim", "promise 1", "prepare.c",
             "\tif (pf && pf->owner->claim == claim)\n\t\treturn error_set(",
             "\tif (pf && pf->owner->claim == claim)\n\t\treturn 0;\n\tif (false)\n\t\treturn error_set("),
    Mutation("a VF is offered while a claim has its PF", "promise 1", "inventory.c",
             "!a && (d->vfs_used || d->pf_held ||", "!a && (d->vfs_used ||"),
    Mutation("VFs are not offered again when their PF is home", "promise 6", "inventory.c",
             "\t\tc->devices[i]->pf_held = false;\n", ""),
    Mutation("what has nothing that a pod could be given is offered", "promise 6", "inventory.c",
             " || !device_is_whole(&d->facts));", ");"),
    Mutation("what came home from half way is published as it was there", "promise 6", "inventory.c",
             "\td->revision = 0; /* what the monitor tells", "\t/* what the monitor tells", 702053),
    Mutation("half of a NIC is handed out", "promise 6", "device.c",
             "(f->rdma_device[0] && !(f->is_nic && over_ethernet))", "f->rdma_device[0]"),
    Mutation("a PF that an older version prepared beside its VFs is not attached", "promise 2", "reconcile.c",
             "device_vfs_used(c, a->device, false, why, sizeof(why))", "device_vfs_used(c, a->device, true, why, sizeof(why))",
             21638),
    Mutation("a PF is attached while one of its VFs carries the node's route", "promise 1", "reconcile.c",
             "if (a->place == PLACE_HOST && device_vfs_used(c, a->device, false, why, sizeof(why))) {",
             "if (false) {"),
    Mutation("VFs that nobody claimed do not count", "promise 1", "inventory.c",
             "\tint32_t n = pf->facts.vfs_away;", "\tint32_t n = 0;"),
    Mutation("VFs that are away with their claims count as nobody's", "promise 2", "inventory.c",
             "\t\tn -= d->owner && (", "\t\tn -= false && (", 80678),
    # ---- promise 2: no container without its devices, and none locked out for ever
    Mutation("the file is final before the record says attached", "promise 2", "reconcile.c",
             "claim_is_attached(claim) && claim->stored >= claim->attached)", "claim_is_attached(claim))", 11585),
    Mutation("the file is not removed before the device goes", "promise 2", "reconcile.c",
             "claim->token == TOKEN_FINAL || claim->token == TOKEN_UNSURE)\n\t\treturn;", "false)\n\t\treturn;", 1620),
    Mutation("the file of an earlier run is trusted", "promise 2", "reconcile.c",
             "claim->token == TOKEN_FINAL || claim->token == TOKEN_UNSURE)", "claim->token == TOKEN_FINAL)", 1620),
    Mutation("a pending file though the namespace is not held", "promise 2", "reconcile.c",
             "p && p->state == PIN_HELD)\n\t\treturn TOKEN_PENDING;", "p)\n\t\treturn TOKEN_PENDING;"),
    Mutation("a pending file though no hook will hold the container back", "promise 2", "reconcile.c",
             "if (c->runtime_up && c->can_gate &&", "if (c->can_gate &&"),
    Mutation("CreateContainer is answered before the devices are there", "promise 2", "waiters.c",
             "\tif (claim_is_attached(claim) && (!claim_has_movable(claim) ||", "\tif (true || ("),
    Mutation("CreateContainer is answered before the marker is there", "promise 2", "waiters.c",
             "(claim->token == TOKEN_FINAL && !claim->token_op)))", "true))"),
    Mutation("a stop is matched by the pod, not by the sandbox", "promise 2", "sandbox.c",
             "str_equal(c->claims[i]->record.sandbox.id, s->id)) {",
             "str_equal(c->claims[i]->record.pod.uid, s->pod.uid)) {", 3199),
    Mutation("a reconnect repairs nothing", "promise 2", "sandbox.c",
             "\t\tsandbox_synchronize(c, e);\n", ""),
    Mutation("an attach that failed is not tried again", "promise 2", "core.c",
             "sooner(&at, claim->attachments[k].retry_at);", "(void)k;"),
    Mutation("a file that was not written is not tried again", "promise 2", "core.c",
             "sooner(&at, claim->token_retry.at);", ""),
    Mutation("a device counts as attached in whatever sandbox", "promise 2", "claims.c",
             "a->record->state == DEVICE_ATTACHED &&\n\t       str_equal(a->where, a->claim->record.sandbox.id);",
             "a->record->state == DEVICE_ATTACHED;", 594),
    Mutation("a device that moved unasked is not looked for", "promise 2", "inventory.c",
             "\tif (attachment_is_shown(a) == away) {", "\tif (!away && !attachment_is_shown(a)) {", 4651),
    Mutation("a detach begins while the file is just becoming final", "promise 2", "reconcile.c",
             "if (claim->token_op || claim->token == TOKEN_FINAL", "if (claim->token == TOKEN_FINAL", 124181),
    Mutation("the file need not be gone before Unprepare is answered", "promise 2", "reconcile.c",
             " || claim->token != TOKEN_NONE || claim->token_op)", ")", 1967),
    Mutation("a claim with a record of its last use is not held again", "the state table", "prepare.c",
             "\tclaim->stored = claim->storing;\n\tclaim->status_gone = false;\n\tclaim->status_earlier = "
             "claim->status_op;\n\tclaim->status_digest = 0;\n\tprepare_hold(c, claim);",
             "\tbool first = !claim->stored;\n\tclaim->stored = claim->storing;\n\tclaim->status_gone = false;\n"
             "\tclaim->status_digest = 0;\n\tif (first)\n\t\tprepare_hold(c, claim);", 297),
    Mutation("a claim whose Prepare failed is never let go", "promise 2", "prepare.c",
             "\tclaim->phase = CLAIM_UNPREPARED;\n\tclaim->record.unprepared = true;\n\tclaim_changed(claim);\n", ""),
    Mutation("a claim that is on its way home is prepared", "promise 2", "prepare.c",
             "} else if (claim->unprepare || claim->phase >= CLAIM_UNPREPARED) {",
             "} else if (claim->phase >= CLAIM_UNPREPARED) {"),
    Mutation("a pending file without the character devices that the move makes", "promise 2", "reconcile.c",
             "\tif (claim_moves_nodes(claim))\n\t\treturn TOKEN_NONE;\n", ""),
    Mutation("the file gives the character devices of before the move", "promise 2", "reconcile.c",
             "return token == TOKEN_FINAL ? &r->pod.rdma : &r->plan->host.rdma;", "return &r->plan->host.rdma;"),
    Mutation("a container is let in with the character devices of before", "promise 2", "waiters.c",
             "!w->run && waiter_nodes(c, w) != w->nodes)", "false)", 13544),
    Mutation("a device without a netdev is taken for gone", "promise 2", "claims.c",
             "\treturn a->record->plan->facts.ifindex ? d->facts.ifindex != 0 : d->facts.rdma_device[0] != 0;",
             "\treturn d->facts.ifindex != 0;"),
    # ---- promise 3: home as it was
    Mutation("a stop does not send the devices home", "promise 3", "sandbox.c",
             "str_equal(c->claims[i]->record.sandbox.id, s->id)) {\n\t\t\tclaim_set_wish(c->claims[i], false, NULL);",
             "str_equal(c->claims[i]->record.sandbox.id, s->id)) {"),
    Mutation("nothing is restored after a start", "promise 3", "recover.c",
             "a->restore = true;", "a->restore = false;"),
    Mutation("nothing is restored after a failed attach", "promise 3", "reconcile.c",
             "a->restore = a->place != PLACE_POD && (!attach || a->place != PLACE_HOST || changed || a->from_pod);",
             "a->restore = false;"),
    Mutation("Unprepare does not wait for the restoration", "promise 3", "claims.c",
             "a->op || a->restore || a->record->state == DEVICE_ATTACHED)", "a->op)", 513),
    Mutation("what an undo left changed on the host is not restored", "promise 3", "reconcile.c",
             "PLACE_HOST || changed ||", "PLACE_HOST ||"),
    Mutation("what was restored is not what the host has since it booted", "promise 3", "claims.c",
             "return *c->boot_id && *a->record->boot_id &&", "return false &&"),
    # ---- promise 4: one answer for each call, in time
    Mutation("an answer comes at the deadline, not before", "promise 4", "waiters.c",
             "w->deadline = deadline - (margin < c->options.hook_margin_ms ? margin : c->options.hook_margin_ms);", ""),
    Mutation("no caller is ever late", "promise 4", "waiters.c",
             "bool late = w->deadline != NEVER && w->deadline <= c->now;", "bool late = false;"),
    Mutation("a Prepare that failed is not answered", "promise 4", "prepare.c",
             "\twaiters_settle(c, claim->record.ref.uid, text);\n", ""),
    Mutation("a Prepare of what is prepared is refused", "promise 4", "prepare.c",
             "(claim->unprepare || claim->phase >= CLAIM_UNPREPARED) {", "(claim->phase >= CLAIM_READY) {"),
    Mutation("what failed is tried again at once", "promise 4", "claims.c",
             "\tuint64_t wait = c->options.retry_min_ms;", "\tuint64_t wait = 0;"),
    Mutation("a refused sandbox hurries what has just failed", "promise 4", "claims.c",
             "\tclaim_hurry_moves(claim, true);\n}", "\tclaim_hurry(claim);\n}"),
    Mutation("a pod that removes links has its devices looked for each time", "promise 4", "claims.c",
             "\t\ta->retry_at = earliest;\n", "\t\t(void)a;\n", 21390),
    # ---- promise 5: a crash changes nothing
    Mutation("an attach does not wait for the record to say so", "promise 5", "reconcile.c",
             "\tif (claim->stored < claim->intent) {", "\tif (false) {"),
    Mutation("Unprepare is answered before a crash cannot undo it", "promise 5", "waiters.c",
             "claim->phase == CLAIM_UNPREPARED && claim->stored == claim->version)",
             "claim->phase == CLAIM_UNPREPARED)"),
    Mutation("a record stays for ever", "promise 5", "reconcile.c",
             "\tclaim_finish_forget(c, claim);\n", ""),
    Mutation("a record that could not be written is not tried again", "promise 5", "reconcile.c",
             "\tclaim->stored = claim->storing;\n\tclaim->store_retry",
             "\tclaim->stored = claim->version;\n\tclaim->store_retry"),
    Mutation("a namespace is held for ever", "promise 5", "sandbox.c",
             "\t\tif (p->state == PIN_HELD)\n\t\t\t"
             "STR_COPY(effect_add(c, EFFECT_UNPIN, false)->unpin, p->sandbox.id);\n"
             "\t\tLIST_REMOVE", "\t\tLIST_REMOVE"),
    Mutation("a Prepare that failed keeps its devices", "promise 4", "prepare.c",
             "\tif (!claim->version) {\n\t\tclaim_remove(c, claim);\n", "\tif (!claim->version) {\n"),
    Mutation("the record of a Prepare that failed stays", "promise 5", "prepare.c",
             "\tclaim->phase = CLAIM_UNPREPARED;\n\tclaim->record.unprepared = true;\n\tclaim_changed(claim);\n",
             "\tclaim_remove(c, claim);\n"),
    Mutation("what goes into the same sandbox again may be there by the record", "promise 5", "reconcile.c",
             "\tclaim->intent = claim->version;\n}", "}"),
    # ---- promise 6: the status tells the truth
    Mutation("no status after a move", "promise 6", "reconcile.c",
             "\ta->op = 0;\n\ta->claim->status_dirty = true;\n\tif (a->op_type == EFFECT_SNAPSHOT)",
             "\ta->op = 0;\n\tif (a->op_type == EFFECT_SNAPSHOT)"),
    Mutation("no status after a stop", "promise 6", "reconcile.c",
             "\tif (claim->status_retry.at == NEVER && !claim->unprepare)\n",
             "\tclaim->status_dirty = false;\n\tif (false)\n"),
    Mutation("the status of an unprepared claim stays", "promise 6", "reconcile.c",
             "\tclaim_changed(claim);\n\tclaim->status_dirty = true;\n\tclaim->status_retry.at = NEVER;\n",
             "\tclaim_changed(claim);\n\tclaim->status_dirty = false;\n\tclaim->status_retry.at = NEVER;\n"),
    Mutation("a status that was not written is not tried again", "promise 6", "status.c",
             "\t\tclaim->status_dirty = true;\n\t\tclaim->status_digest = 0;\n", ""),
    Mutation("a status that was not written counts as told", "promise 6", "status.c",
             "\t\tclaim->status_dirty = true;\n\t\tclaim->status_digest = 0;\n", "\t\tclaim->status_dirty = true;\n"),
    Mutation("a status that is owed is forgotten with the record", "promise 6", "reconcile.c",
             "\tif (!claim->status_dirty) {\n\t\tclaim_remove(", "\tif (true) {\n\t\tclaim_remove("),
    Mutation("what is answered about the last use of a claim silences the next", "promise 6", "status.c",
             "if (gone && !earlier) {", "if (gone) {"),
    Mutation("a failed undo is told to nobody", "promise 6", "reconcile.c",
             "\t\tif (!a->stranded)\n", "\t\tif (false)\n"),
    Mutation("a failed undo is told again with every attempt", "promise 6", "reconcile.c",
             "\t\tif (!a->stranded)\n", "", 1482),
    Mutation("a failed undo is not in the status", "promise 6", "reconcile.c",
             "\t\tstr_cut(a->warning, sizeof(a->warning), text);\n", "", 36672),
    Mutation("what could not be restored is told to nobody", "promise 6", "reconcile.c",
             "\tif (a->warning[0] && e->done.place == PLACE_HOST)\n", "\tif (false)\n"),
    Mutation("a device pulled in a pod is told to nobody", "promise 6", "reconcile.c",
             "\tif (!a->gone_told)\n", "\tif (false)\n", 2336),
    Mutation("a device pulled in a pod is not looked for", "promise 6", "sandbox.c",
             "\t\t\t\t\tattachment_doubt_calmly(c, a);\n", "\t\t\t\t\t(void)a;\n"),
    Mutation("a device pulled in a pod during an operation is not looked for", "promise 6", "sandbox.c",
             "\t\t\t\t\ta->lost = true;\n", "\t\t\t\t\t(void)a;\n", 33148),
    Mutation("a link that left a pod under an unknown name is nobody's", "promise 6", "sandbox.c",
             "all < 2 && !matched", "all < 1"),
    Mutation("a device that is gone stays attached", "promise 6", "reconcile.c",
             "\tif (a->record->state == DEVICE_ATTACHED) {\n\t\tdevice_apply(c, a->device, DEVICE_EVENT_RELEASED",
             "\tif (false) {\n\t\tdevice_apply(c, a->device, DEVICE_EVENT_RELEASED"),
    Mutation("a device pulled right after its detach is published", "promise 6", "reconcile.c",
             "!shown && a->stirred) {", "false) {", 6209),
    Mutation("an RDMA device that vanished while it was given is not looked for", "promise 6", "reconcile.c",
             "a->stirred && (stays ? !shown : attachment_is_away(a) && shown)", "a->stirred && attachment_is_away(a) && shown",
             926300),
    Mutation("a slice that a device joins or leaves has the version it had", "promise 6", "inventory.c",
             "\t\td->slice = slice_with_room(c);\n\tslice_touch(c, d->slice);\n", "\t\td->slice = slice_with_room(c);\n"),
    Mutation("a slice whose device says something else has the version it had", "promise 6", "inventory.c",
             "\t\t\td->revision = revision;\n\t\t\tslice_touch(c, d->slice);\n", "\t\t\td->revision = revision;\n"),
    # ---- promise 7: the node keeps its own connectivity
    Mutation("an uplink is handed out by Prepare", "promise 7", "prepare.c",
             "\tif (d->uplink)\n", "\tif (false)\n"),
    Mutation("what became an uplink since Prepare is moved", "promise 7", "reconcile.c",
             "\tif (a->device->uplink && a->place == PLACE_HOST) {", "\tif (false) {"),
    Mutation("what an uplink stands on is free", "promise 7", "inventory.c",
             "ifindex == d->facts.lower || ", ""),
    Mutation("what an uplink is a member of is free", "promise 7", "inventory.c",
             "ifindex == d->facts.master || ", ""),
    Mutation("the members of an uplink are free", "promise 7", "inventory.c",
             " || (ours && other->facts.master == ours)", ""),
    # ---- promise 8: bad input is refused
    Mutation("a fault in the configuration is ignored", "promise 8", "prepare.c",
             "\tif (rc < 0)\n\t\treturn error_prefix(e, \"device %s\", result->device);\n", ""),
    Mutation("an RDMA device alone is given what only a netdev has", "promise 8", "plan.c",
             "\telse if (!facts->ifindex)\n", "\telse if (false)\n"),
    Mutation("two devices of one pod get one name", "promise 8", "prepare.c",
             "\tif (prepare_check_pod(c, claim, &e) < 0) {", "\tif (false) {"),
    # ---- leases: they are a part of what a pod was promised, and of what is given back
    Mutation("a pod goes on without a lease", "promise 2", "reconcile.c",
             "attachment_wants_leases(a) && !a->record->leases", "false"),
    Mutation("a device is attached before its lease is on disk", "promise 2", "leasing.c",
             "\ta->claim->intent = a->claim->version;\n", "", 95628),
    Mutation("nobody renews", "promise 2", "reconcile.c",
             "bool keep = attachment_wants_leases(a) && !a->kept;", "bool keep = false;"),
    Mutation("a lease that ended before the attach is tried again", "promise 2", "reconcile.c",
             "\t\tlease_ended(a);", "\t\t;"),
    Mutation("leases of an earlier boot are used", "promise 2", "recover.c",
             "\t\tleases_unref(r->leases);\n\t\tr->leases = NULL;\n", ""),
    Mutation("a lease is kept when the device leaves the pod", "promise 3", "reconcile.c",
             "\tlease_drop(c, a, r == REACH_HELD ? a->where : \"\");\n", ""),
    Mutation("a lease that no pod used is not given back", "promise 3", "reconcile.c",
             "\t\treturned &= lease_return(c, &claim->attachments[i]);", "\t\t;"),
    Mutation("a link goes up to give a lease back, and the record does not say so", "promise 5", "leasing.c",
             "\tif (claim->record.leasing && claim->stored < claim->intent) {", "\tif (false) {"),
    Mutation("the answer to an Unprepare hangs on a disk that takes no record of a lease", "promise 4", "leasing.c",
             "\treturn claim->store_error[0] && !claim->store_op && claim->storing >= claim->intent;", "\treturn false;"),
    Mutation("a lease of an earlier run is not given back", "promise 3", "leasing.c",
             "\tf->move.release = a->record->leases;", "\tf->move.release = a->kept;"),
    Mutation("a lease of an earlier run that no pod used is not given back", "promise 3", "recover.c",
             "\tif (stale) { /* the times", "\tif (true) { /* the times"),
    Mutation("a lease is forgotten before it is given back", "promise 3", "leasing.c",
             "\tf->move.leases = leases_ref(a->record->leases);\n\tf->move.release = true;",
             "\tf->move.leases = leases_ref(a->record->leases);\n\tf->move.release = true;\n\tlease_ended(a);"),
    Mutation("containers are not told of another lease", "promise 6", "reconcile.c",
             " && claim->token_told == told;", ";"),
    Mutation("containers are told once of what they have", "promise 6", "leasing.c",
             "\t\tstatus_read_back(a->claim);\n", ""),
    Mutation("a link stays up when its lease was given back badly", "promise 3", "leasing.c",
             "\ta->restore = e->done.result < 0 && !a->record->plan->host.up;", "\t;"),
    Mutation("the lease of a device that is gone is renewed", "promise 3", "reconcile.c",
             "\tlease_drop(c, a, \"\");\n\ta->where[0] = 0;", "\ta->where[0] = 0;", 53214),
    Mutation("a link stays up when a crash came while a lease was asked for", "promise 3", "recover.c",
             "\tif (claim->record.leasing)\n\t\ta->touched", "\tif (false)\n\t\ta->touched"),
    Mutation("a link stays up when there was no lease", "promise 3", "prepare.c",
             "claim->attachments[i].restore = claim->attachments[i].touched;", ";"),
    Mutation("a lease is asked for before the record says so", "promise 5", "prepare.c",
             "claim->record.leasing |= attachment_wants_leases(a);",
             "if (attachment_wants_leases(a))\n\t\t\tlease_start(c, a);"),
]


def units(folder):
    return sorted(path for where in FOLDERS for path in glob.glob(f"{folder}/{where}/*.c"))


def compiled(folder, source, target):
    subprocess.run([CC, *FLAGS, "-c", source, "-o", target], cwd=folder, check=True)
    return target


def object_of(folder, source):
    return os.path.join(folder, "objects", os.path.relpath(source, folder).replace("/", "-") + ".o")


def caught(folder, mutation, options):
    """What the simulator said, or raise ValueError with what is wrong."""
    source = f"{folder}/core/{mutation.file}"
    with open(source, encoding="utf-8") as file:
        text = file.read()
    if text.count(mutation.old) != 1:
        raise ValueError(f"its text occurs {text.count(mutation.old)} times in core/{mutation.file}")
    with tempfile.TemporaryDirectory(dir=folder) as work:
        mutated = f"{work}/{mutation.file}"
        with open(mutated, "w", encoding="utf-8") as file:
            file.write(text.replace(mutation.old, mutation.new))
        try:
            objects = [compiled(folder, mutated, f"{work}/mutated.o")]
        except subprocess.CalledProcessError as error:
            raise ValueError("it does not compile") from error
        objects += [object_of(folder, unit) for unit in units(folder) if unit != source]
        subprocess.run([CC, "-o", f"{work}/sim", *objects], check=True)
        try:
            ran = subprocess.run([f"{work}/sim", "--until", mutation.breaks, "--schedules", str(options.schedules),
                                  "--seed", str(options.seed or mutation.seed)],
                                 stdout=subprocess.PIPE, encoding="utf-8",
                                 timeout=SCHEDULE_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise ValueError(f"the simulator did not end within {SCHEDULE_SECONDS} s") from error
    if ran.returncode == 1 and ran.stdout.startswith("seed "):
        seed, verdict = ran.stdout[len("seed "):].strip().split(": ", 1)
        return f"{verdict}, seed {seed}"
    if ran.returncode == 0:
        raise ValueError(f"no schedule of {options.schedules} broke {mutation.breaks}")
    raise ValueError(f"the simulator ended with status {ran.returncode}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--schedules", type=int, default=20000)
    parser.add_argument("--seed", type=int, help="begin here with all of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    chosen = [m for m in MUTATIONS if not options.names or m.name in options.names]
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder, \
            concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for where in ("core", "tests/sim"):
            shutil.copytree(f"{ROOT}/{where}", f"{folder}/{where}")
        os.mkdir(f"{folder}/objects")
        list(pool.map(lambda unit: compiled(folder, unit, object_of(folder, unit)), units(folder)))
        runs = [(m, pool.submit(caught, folder, m, options)) for m in chosen]
        for mutation, run in runs:
            try:
                print(f"PASS caught {mutation.name} ({run.result()})", flush=True)
                passed += 1
            except ValueError as error:
                print(f"FAIL not caught {mutation.name}: {error}", flush=True)
                failed += 1
    print(f"mutations: {passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
