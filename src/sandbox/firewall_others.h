/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Other firewalls of this host: which of their chains may drop what dynos send or get.
 * They are looked at and never changed.
 */

#include <stdbool.h>
#include <stddef.h>

#include "ipc/launch_proto.h"
#include "sandbox/firewall.h"

/**
 * firewall_blockers() - foreign chains that may drop packets of dynos
 * @firewall:  the instance's own
 * @instance:  its name, which its links and its table begin with
 * @ret:       BLOCKERS_MAX of them; what is more is left out
 *
 * Base chains of the families inet and ip, and of ip_tables, that drop by policy or by a rule
 * without conditions, there or in a chain that everything gets to, while no rule that is
 * reached from them names our links: whoever wrote such a rule has thought of us. Whether the
 * chain really stops dynos depends on its other rules, which we do not judge.
 *
 * Return: how many, or a negative errno.
 */
int firewall_blockers(Firewall *firewall, const char *instance, LaunchBlocker ret[BLOCKERS_MAX])
        _must_check_;

/* ---- for the readers of the two kinds of tables ---- */

typedef struct ForeignChain {
        uint8_t kind;   /* FilterKind */
        int8_t hook;    /* FilterHook; -1: reached by jumps alone */
        bool drops;     /* by its policy, or by a rule without conditions */
        bool knows_us;  /* a rule of it names our links */
        bool jumps_far; /* by a map: anything of its table can follow */
        uint8_t walked;
        char table[FILTER_NAME_SIZE], chain[FILTER_NAME_SIZE]; /* cut */
} ForeignChain;

typedef struct ForeignJump {
        size_t from, to;
        bool always;
} ForeignJump;

typedef struct Foreign {
        const char *prefix; /* of our links: "dynod-" */
        ForeignChain *chains;
        ForeignJump *jumps;
        size_t n_chains, n_jumps;
} Foreign;

/* What a rule does, whatever it is written in. */
typedef struct ForeignRule {
        bool conditional, drops, knows_us, jumps_far;
} ForeignRule;

/* Return: index of the new chain, or a negative errno. */
int foreign_add_chain(Foreign *foreign, const ForeignChain *chain) _must_check_;
int foreign_add_jump(Foreign *foreign, size_t from, size_t to, bool always) _must_check_;
void foreign_add_rule(ForeignChain *chain, const ForeignRule *rule);

/* Reads the tables of ip_tables (iptables-legacy), if there are any. 0 or a negative errno. */
int firewall_legacy_read(Foreign *foreign) _must_check_;
