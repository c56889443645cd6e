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
 * without conditions, or with none but our links, there or in a chain that everything gets to,
 * while no rule that is reached from them names all our links and does not drop: whoever wrote
 * such a rule has thought of us. What passes the host needs one for each direction, or one that
 * lets answers through. Whether the chain really stops dynos depends on its other rules, which
 * we do not judge. Tables that are asleep are none.
 *
 * Return: how many, or a negative errno.
 */
int firewall_blockers(Firewall *firewall, const char *instance, LaunchBlocker ret[BLOCKERS_MAX])
        _must_check_;

/* ---- for the readers of the two kinds of tables ---- */

/* What a rule that does not drop names. */
enum {
        FOREIGN_FROM = 1 << 0,    /* packets that our links bring */
        FOREIGN_TO = 1 << 1,      /* packets that our links take */
        FOREIGN_ANSWERS = 1 << 2, /* those of connections that are there, over any link */
};

typedef struct ForeignChain {
        uint8_t kind;   /* FilterKind */
        int8_t hook;    /* FilterHook; -1: reached by jumps alone */
        bool drops;     /* by its policy, or by a rule that all packets of dynos meet */
        bool jumps_far; /* by a map: anything of its table can follow */
        uint8_t knows;  /* FOREIGN_*, by any of its rules */
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
        bool drops, jumps_far, lets_through;
        bool conditional;    /* not all packets meet it */
        bool by_other_means; /* and that depends on more than links and states of connections */
        uint8_t names;       /* FOREIGN_* */
} ForeignRule;

/* Does a name that ends with a wildcard fit all links whose names begin with @prefix? */
bool foreign_covers(const char *name, size_t len, const char *prefix);

/* Return: index of the new chain, or a negative errno. */
int foreign_add_chain(Foreign *foreign, const ForeignChain *chain) _must_check_;
int foreign_add_jump(Foreign *foreign, size_t from, size_t to, bool always) _must_check_;
void foreign_add_rule(ForeignChain *chain, const ForeignRule *rule);

/* Reads the tables of ip_tables (iptables-legacy), if there are any. 0 or a negative errno. */
int firewall_legacy_read(Foreign *foreign) _must_check_;
