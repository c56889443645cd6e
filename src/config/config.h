/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * dynod.conf(5), merged: built-in values, then the file, then the files of its
 * dynod.conf.d in order of name.
 *
 * dynod reads the files and hands the merged text to its children in a sealed memfd,
 * so that all of them run by the same values. A Config is immutable once read.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/names.h"

/* What `allow_missing =` may name. The bit of MISSING_X in a set is 1 << MISSING_X. */
typedef enum MissingLayer {
        MISSING_APPARMOR,
        MISSING_CGROUP_MEMORY,
        MISSING_CGROUP_CPU,
        MISSING_CGROUP_PIDS,
        MISSING_CGROUP_IO,
        MISSING_QUOTA,
        MISSING_TC,
        _MISSING_MAX,
} MissingLayer;

/* Where what a dyno writes goes; see dynod.conf(5). */
typedef enum ScratchKind {
        SCRATCH_IMAGE, /* an image of dynod's own in state_dir, mounted by dynod-scratch */
        SCRATCH_TMPFS, /* a tmpfs for each dyno */
        SCRATCH_PLACE, /* a device that dynod-scratch mounts, or a mount point */
} ScratchKind;

#define CONFIG_SIZES_MAX 48
#define CONFIG_RESOLVERS_MAX 4
#define CONFIG_PUBLIC_PORTS_MAX 16

/* A port of the host. */
typedef struct ConfigPort {
        uint16_t port;
        uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
} ConfigPort;

/* A dyno size: heroku-runtime's table, and [size NAME] sections. */
typedef struct DynoSize {
        char name[SIZE_NAME_SIZE]; /* Heroku's spelling: "Standard-1X" */
        uint64_t memory_quota;     /* bytes: the R14 line */
        uint64_t memory_kill;      /* bytes: the R15 point */
        uint32_t cpu_weight;       /* cgroup v2 cpu.weight */
        uint32_t process_limit;    /* processes and threads */
        uint64_t bandwidth;        /* bytes a second, each direction; 0: not limited */
        uint64_t disk;             /* bytes of scratch; 0: as much as there is */
        uint64_t disk_files;       /* inodes of scratch; 0: as many as there are */
        uint32_t connections;      /* tracked at once; 0: not limited */
        uint32_t connection_rate;  /* new ones a second; 0: not limited */
} DynoSize;

typedef struct Config {
        char instance[INSTANCE_NAME_SIZE];

        /* places, absolute */
        char *state_dir;   /* /var/lib/INSTANCE */
        char *run_dir;     /* /run/INSTANCE */
        char *libexec_dir; /* the other programs */
        char *data_dir;    /* ruleset and seccomp policy */
        char *cgroup_root; /* NULL: dynod-dynos.scope through systemd */

        /* who: names in /etc/passwd and /etc/group, or numbers */
        uid_t supervisor_uid, logger_uid;
        gid_t supervisor_gid, logger_gid;
        gid_t control_gid; /* may use the control socket */
        uint32_t uid_base; /* first of CONFIG_UIDS host uids that belong to this instance */

        uint32_t allow_missing;  /* set of MissingLayer */
        uint32_t max_dynos;      /* at once, at most CONFIG_DYNOS_MAX */
        uint64_t watchdog_usec;  /* in which a service must answer; 0: need not */
        uint32_t start_parallel; /* starts under way at once */
        uint32_t pool;           /* slots made ready ahead */
        uint64_t
                memory_overcommit; /* bytes promised to dynos at most; 0: host memory less 512 MB */
        uint64_t scratch_size;     /* bytes of the image, or of each tmpfs; 0: see dynod.conf(5) */
        ScratchKind scratch;
        char *scratch_place; /* SCRATCH_PLACE: absolute; else NULL */

        struct in_addr network; /* /30s are taken from here */
        uint8_t network_prefix;
        struct in_addr resolvers[CONFIG_RESOLVERS_MAX];
        size_t n_resolvers; /* 0: none usable, dynos cannot resolve names */
        struct in_addr service_address;
        ConfigPort public_ports[CONFIG_PUBLIC_PORTS_MAX]; /* dynos may open at public addresses */
        size_t n_public_ports;
        uint32_t web_port;

        /* limits of imports */
        uint64_t import_max_entries, import_max_ratio;
        uint64_t stack_max_bytes, slug_max_bytes;

        /* defaults of apps' settings, µs */
        uint64_t boot_timeout_usec, stop_grace_usec;

        DynoSize sizes[CONFIG_SIZES_MAX];
        size_t n_sizes;

        struct ConfigText *text; /* internal: every value with its origin, for config_print() */
} Config;

/*
 * The host uids of an instance, from uid_base. Neither of the first two ever owns a
 * process: a tree's owner is nobody that could be attacked or that could attack.
 */
#define CONFIG_UID_STACK_ROOT 0 /* what dynos see as root, the owner of the stack */
#define CONFIG_UID_TREES 1      /* on-disk owner of every stack and slug */
#define CONFIG_UID_SWEEPER 2    /* removes what dynos left, one at a time */
#define CONFIG_UID_SWEPT 3      /* what it sees the owner of root's files there as */
#define CONFIG_UID_KEEPER 4     /* keeps the scope of dynos, and does nothing */
#define CONFIG_UID_IMPORTS 16   /* first of CONFIG_IMPORT_UIDS, one per import */
#define CONFIG_IMPORT_UIDS 1008
#define CONFIG_UID_DYNOS 1024 /* first of CONFIG_DYNOS_MAX, one per slot */
#define CONFIG_DYNOS_MAX 16384
#define CONFIG_UIDS (CONFIG_UID_DYNOS + CONFIG_DYNOS_MAX)

/* Where and why a configuration was refused. */
typedef struct ConfigError {
        char file[256];
        unsigned line;
        char text[256];
} ConfigError;

/**
 * config_read() - read and merge the configuration files
 * @ret:       owned by the caller, release with config_free()
 * @instance:  name of the instance
 * @path:      the file, or NULL for /etc/INSTANCE/dynod.conf, which may be absent
 * @reterr:    filled on -EINVAL: a value or line is wrong
 *
 * Return: 0, -EINVAL with @reterr filled, or a negative errno with @reterr naming the file.
 */
int config_read(Config **ret, const char *instance, const char *path, ConfigError *reterr)
        _must_check_;

/* Reads what config_to_memfd() wrote. Same results. */
int config_read_fd(Config **ret, int fd, ConfigError *reterr) _must_check_;
int config_to_memfd(const Config *config, int *ret_fd) _must_check_;

/* `dynod --check`: one "key = value    # file:line" per line. */
void config_print(const Config *config, FILE *out);

Config *config_free(Config *config);
DEFINE_CLEANUP(Config, config_free)

/* The size of that name, in any case; NULL if there is none. Borrowed. */
const DynoSize *config_find_size(const Config *config, const char *name);

const char *missing_layer_to_string(MissingLayer layer); /* "apparmor", "cgroup-memory", … */
