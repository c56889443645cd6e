/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The tables of ip_tables, which iptables-legacy writes and nft does not show. The kernel
 * hands a table out as one piece: entries side by side, chains where the hooks say and behind
 * each entry of the target ERROR, which carries the name of the chain that begins there.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* After the C library's, which the kernel's headers then leave alone. */
#include <net/if.h>
#include <netinet/in.h>

#include <linux/netfilter_ipv4/ip_tables.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/names.h"
#include "sandbox/firewall_others.h"

/* What this network namespace has of them. Asking for another one would load its module. */
#define NAMES_PATH "/proc/net/ip_tables_names"
#define NAMES_SIZE 256 /* bytes: there are five tables */

#define TABLE_SIZE_MAX (UINT32_C(64) * 1024 * 1024) /* bytes */

#define TARGET_ERROR "ERROR"
#define TARGET_REJECT "REJECT"

static const char *const hook_chain[NF_INET_NUMHOOKS] = {
        [NF_INET_PRE_ROUTING] = "PREROUTING",
        [NF_INET_LOCAL_IN] = "INPUT",
        [NF_INET_FORWARD] = "FORWARD",
        [NF_INET_LOCAL_OUT] = "OUTPUT",
        [NF_INET_POST_ROUTING] = "POSTROUTING",
};

typedef struct LegacyTable {
        struct ipt_getinfo info;
        struct ipt_get_entries *entries;
        /* Where chains begin, in the order of their offsets, and which of @foreign they are. */
        size_t first, n;
        unsigned *begin;
} LegacyTable;

static int fetch(int fd, const char *name, LegacyTable *ret) {
        socklen_t size = sizeof(ret->info);

        field_set(ret->info.name, sizeof(ret->info.name), name);
        /* Safe: only reads, and the name is one that the kernel has just told. */
        if (getsockopt(fd, SOL_IP, IPT_SO_GET_INFO, &ret->info, &size) < 0)
                return -errno;
        if (ret->info.size > TABLE_SIZE_MAX)
                return -E2BIG;
        if (ret->info.num_entries > ret->info.size / sizeof(struct ipt_entry))
                return -EBADMSG; /* room for the chains is made by this number */
        size = (socklen_t)(sizeof(*ret->entries) + ret->info.size);
        ret->entries = calloc(1, size);
        if (!ret->entries)
                return -ENOMEM;
        field_set(ret->entries->name, sizeof(ret->entries->name), name);
        ret->entries->size = ret->info.size;
        if (getsockopt(fd, SOL_IP, IPT_SO_GET_ENTRIES, ret->entries, &size) < 0)
                return -errno;
        return 0;
}

static const struct ipt_entry *entry_at(const LegacyTable *table, unsigned offset) {
        return (const void *)((const char *)table->entries->entrytable + offset);
}

static const struct xt_entry_target *target_of(const struct ipt_entry *entry) {
        return (const void *)((const char *)entry + entry->target_offset);
}

/* The kernel checked them as they came in; a mistake of ours shall not run off the end. */
static bool entry_fits(const LegacyTable *table, unsigned offset) {
        unsigned room = table->info.size - offset;
        const struct ipt_entry *entry = entry_at(table, offset);

        return room >= sizeof(*entry) && entry->next_offset <= room &&
               entry->target_offset >= sizeof(*entry) &&
               entry->target_offset % _Alignof(struct xt_entry_target) == 0 &&
               entry->next_offset >= entry->target_offset + sizeof(struct xt_entry_target) &&
               entry->next_offset % _Alignof(struct ipt_entry) == 0;
}

static bool is_target(const struct ipt_entry *entry, const char *name) {
        return strcmp(target_of(entry)->u.user.name, name) == 0;
}

static bool has_name(const struct ipt_entry *entry) {
        const struct xt_error_target *error = (const void *)target_of(entry);

        return entry->next_offset - entry->target_offset >= (int)sizeof(*error) &&
               memchr(error->errorname, '\0', sizeof(error->errorname));
}

static int hook_at(const LegacyTable *table, unsigned offset) {
        for (int hook = 0; hook < NF_INET_NUMHOOKS; hook++)
                if ((table->info.valid_hooks & (1U << hook)) != 0 &&
                    table->info.hook_entry[hook] == offset)
                        return hook;
        return -1;
}

static int
begin_chain(Foreign *foreign, LegacyTable *table, unsigned offset, int hook, const char *name) {
        ForeignChain chain = {.kind = FILTER_LEGACY, .hook = (int8_t)hook};
        int r;

        memcpy(chain.table, table->info.name, sizeof(table->info.name));
        field_set(chain.chain, sizeof(chain.chain), name);
        r = foreign_add_chain(foreign, &chain);
        if (r < 0)
                return r;
        if (table->n == 0)
                table->first = (size_t)r;
        table->begin[table->n++] = offset;
        return 0;
}

static int find_chains(Foreign *foreign, LegacyTable *table) {
        unsigned offset = 0;

        table->begin = calloc(table->info.num_entries + 1, sizeof(*table->begin));
        if (!table->begin)
                return -ENOMEM;
        while (offset < table->info.size) {
                const struct ipt_entry *entry = entry_at(table, offset);
                int hook = hook_at(table, offset), r = 0;
                unsigned next;

                if (!entry_fits(table, offset) || table->n == table->info.num_entries)
                        return -EBADMSG;
                next = offset + entry->next_offset;
                if (is_target(entry, TARGET_ERROR) && !has_name(entry))
                        return -EBADMSG;
                if (hook >= 0)
                        r = begin_chain(foreign, table, offset, hook, hook_chain[hook]);
                else if (is_target(entry, TARGET_ERROR) && next < table->info.size)
                        r = begin_chain(
                                foreign, table, next, -1, (const char *)target_of(entry)->data);
                if (r < 0)
                        return r;
                offset = next;
        }
        return 0;
}

/* Of "dynod-+" the mask ends before the plus; of a link's whole name it has the NUL in it. */
static bool names_us(const char *name, const unsigned char *mask, const char *prefix) {
        size_t len = 0;

        while (len < IFNAMSIZ && mask[len] != 0)
                len++;
        return foreign_covers(name, len, prefix);
}

static uint8_t links_of(const struct ipt_ip *ip, const char *prefix) {
        uint8_t links = 0;

        if ((ip->invflags & IPT_INV_VIA_IN) == 0 && names_us(ip->iniface, ip->iniface_mask, prefix))
                links |= FOREIGN_FROM;
        if ((ip->invflags & IPT_INV_VIA_OUT) == 0 &&
            names_us(ip->outiface, ip->outiface_mask, prefix))
                links |= FOREIGN_TO;
        return links;
}

/* One match, the state of the connection, and nothing else beside links. */
static bool is_by_state(const struct ipt_entry *entry) {
        const struct xt_entry_match *match = (const void *)((const char *)entry + sizeof(*entry));

        return entry->target_offset >= sizeof(*entry) + sizeof(*match) &&
               match->u.match_size == entry->target_offset - sizeof(*entry) &&
               (strcmp(match->u.user.name, "conntrack") == 0 ||
                strcmp(match->u.user.name, "state") == 0);
}

static void take_conditions(const struct ipt_entry *entry, const char *prefix, ForeignRule *ret) {
        static const struct ipt_ip anything;
        struct ipt_ip rest = entry->ip;
        bool matches = entry->target_offset != sizeof(*entry);

        ret->conditional = matches || memcmp(&rest, &anything, sizeof(anything)) != 0;
        ret->names = links_of(&rest, prefix);
        if ((ret->names & FOREIGN_FROM) != 0) {
                memset(rest.iniface, 0, sizeof(rest.iniface));
                memset(rest.iniface_mask, 0, sizeof(rest.iniface_mask));
        }
        if ((ret->names & FOREIGN_TO) != 0) {
                memset(rest.outiface, 0, sizeof(rest.outiface));
                memset(rest.outiface_mask, 0, sizeof(rest.outiface_mask));
        }
        if (is_by_state(entry))
                ret->names |= FOREIGN_ANSWERS;
        ret->by_other_means =
                memcmp(&rest, &anything, sizeof(anything)) != 0 || (matches && !is_by_state(entry));
}

/* Return: the offset that it jumps to, or -1. */
static int sum_up(const struct ipt_entry *entry, const char *prefix, ForeignRule *ret) {
        int verdict;

        *ret = (ForeignRule){.drops = is_target(entry, TARGET_REJECT)};
        take_conditions(entry, prefix, ret);
        if (!is_target(entry, XT_STANDARD_TARGET) ||
            target_of(entry)->u.target_size < sizeof(struct xt_standard_target))
                return -1;
        memcpy(&verdict, target_of(entry)->data, sizeof(verdict));
        ret->drops = verdict == -NF_DROP - 1;
        ret->lets_through = verdict == -NF_ACCEPT - 1;
        return verdict;
}

static int find_target(const LegacyTable *table, unsigned offset, size_t *ret) {
        for (size_t i = 0; i < table->n; i++)
                if (table->begin[i] == offset) {
                        *ret = table->first + i;
                        return 0;
                }
        return -ENOENT; /* the next rule */
}

static int read_rules(Foreign *foreign, const LegacyTable *table) {
        size_t chain = 0;

        for (unsigned offset = 0; offset < table->info.size;) {
                const struct ipt_entry *entry = entry_at(table, offset);
                ForeignRule rule;
                size_t to;
                int jump, r;

                while (chain + 1 < table->n && table->begin[chain + 1] <= offset)
                        chain++;
                jump = sum_up(entry, foreign->prefix, &rule);
                if (table->n > 0)
                        foreign_add_rule(&foreign->chains[table->first + chain], &rule);
                if (table->n > 0 && jump >= 0 && find_target(table, (unsigned)jump, &to) == 0) {
                        r = foreign_add_jump(foreign, table->first + chain, to, !rule.conditional);
                        if (r < 0)
                                return r;
                }
                offset += entry->next_offset;
        }
        return 0;
}

static int read_table(int fd, const char *name, Foreign *foreign) {
        LegacyTable table = {.n = 0};
        int r;

        r = fetch(fd, name, &table);
        if (r == 0)
                r = find_chains(foreign, &table);
        if (r == 0)
                r = read_rules(foreign, &table);
        free(table.entries);
        free(table.begin);
        return r;
}

int firewall_legacy_read(Foreign *foreign) {
        char names[NAMES_SIZE], *rest = names;
        _cleanup_close_ int fd = -EBADF;
        ssize_t n;

        assert(foreign);

        n = read_text_at(AT_FDCWD, NAMES_PATH, names, sizeof(names));
        if (n < 0)
                return n == -ENOENT ? 0 : (int)n; /* a kernel without ip_tables */
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        for (char *name = strsep(&rest, "\n"); name; name = strsep(&rest, "\n")) {
                int r;

                if (name[0] == '\0' || strlen(name) >= XT_TABLE_MAXNAMELEN)
                        continue;
                r = read_table(fd, name, foreign);
                /* Somebody may be changing it right now: then it is seen the next time. */
                if (r < 0 && r != -EAGAIN && r != -ENOENT && r != -E2BIG)
                        return r;
        }
        return 0;
}
