/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * dynod (root) <-> dynod-supervisor.
 *
 * The supervisor asks for what should happen ("start this dyno"); the launcher
 * decides how: uid, address, paths and mounts are never the supervisor's to name. No
 * byte that a tenant or a client wrote is in a message: command, environment and
 * config vars travel in a sealed memfd that root hands on unread (ipc/dyno_spec.h).
 *
 * Every message is one fixed-size struct that begins with LaunchHeader. @seq is
 * chosen by the supervisor, and a reply carries that of its request; events carry 0.
 * launch_message_check() holds length, descriptor count and every field's range.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/names.h"
#include "base/parse.h"

typedef enum LaunchType {
        _LAUNCH_INVALID, /* a zeroed buffer is not a message */

        /* requests, supervisor to launcher */
        LAUNCH_START,   /* LaunchStart; fds: spec memfd [, attach socket] */
        LAUNCH_SIGNAL,  /* LaunchSignal */
        LAUNCH_KILL,    /* LaunchDyno: SIGKILL to everything in the dyno at once */
        LAUNCH_EXEC,    /* LaunchDyno; fds: spec memfd, attach socket */
        LAUNCH_INSPECT, /* LaunchDyno; answered by LAUNCH_INSPECTED */
        LAUNCH_FETCH, /* LaunchFetch; fds: report socket, with the archive in it (UnpackArchive) */
        LAUNCH_EXTRACT, /* LaunchExtract; fds: report socket */
        LAUNCH_COMMIT,  /* LaunchImport: what was fetched and extracted becomes part of the store */
        LAUNCH_ABANDON, /* LaunchImport: kill and forget; always works */
        LAUNCH_REMOVE,  /* LaunchObject: out of the store, tree and archive */
        LAUNCH_HOST,    /* LaunchHeader: state of the host's layers; answered by LAUNCH_HOSTED */
        LAUNCH_POLICY,  /* LaunchPolicy: what an app's dynos, running ones too, may reach */

        /* replies and events, launcher to supervisor */
        LAUNCH_HELLO, /* LaunchHello; fds: config memfd, listening socket, cgroup root, run folder */
        LAUNCH_LOGGER,    /* LaunchHeader; fds: a fresh channel to the logger */
        LAUNCH_DYNO,      /* LaunchDynoFacts: one living dyno, between HELLO and READY: adopted */
        LAUNCH_READY,     /* LaunchHeader: all living dynos were told */
        LAUNCH_REPLY,     /* LaunchReply: to all requests but the two below and START */
        LAUNCH_STARTED,   /* LaunchStarted: to START */
        LAUNCH_INSPECTED, /* LaunchInspected */
        LAUNCH_HOSTED,    /* LaunchInspected */
        LAUNCH_BOUND,     /* LaunchDyno: something listens on the web port */
        LAUNCH_EXITED,    /* LaunchExited: the dyno is gone */
        LAUNCH_FETCHED,   /* LaunchFetched: the copy in the store's temporary place is complete */
        LAUNCH_EXTRACTED, /* LaunchExtracted with @seq of EXTRACT: the extractor ended */
        LAUNCH_RELOADED,  /* LaunchHeader; fds: config memfd */
        LAUNCH_SOURCE,    /* LaunchSource: whether the host has an app's fixed source */
        _LAUNCH_TYPE_MAX,
} LaunchType;

/* The layers of `ps:inspect`, in its order. Names: launch_layer_to_string(). */
typedef enum LaunchLayer {
        LAYER_NAMESPACES,
        LAYER_USER,
        LAYER_CGROUP,
        LAYER_SECCOMP,
        LAYER_APPARMOR,
        LAYER_CAPABILITIES,
        LAYER_NO_NEW_PRIVS,
        LAYER_ROOTFS,
        LAYER_NETWORK,
        LAYER_LIMITS,
        _LAYER_MAX,
        /* places where a start can fail that are no layer of isolation */
        LAYER_STORE = _LAYER_MAX, /* stack or slug is not there: -ENOENT; or damaged: -EBADMSG */
        LAYER_MEMORY,             /* the host's memory is promised away: -ENOMEM */
        LAYER_PROCESS,            /* clone, exec, dyno-init itself */
        _LAYER_ANY_MAX,
} LaunchLayer;

typedef enum ObjectKind {
        OBJECT_STACK,
        OBJECT_SLUG,
        _OBJECT_KIND_MAX,
} ObjectKind;

typedef struct LaunchHeader {
        uint32_t type; /* LaunchType */
        uint32_t seq;
} LaunchHeader;

#define LAUNCH_FLAG_ONE_OFF (UINT32_C(1) << 0) /* `run`: ends when its command ends */
#define LAUNCH_FLAG_ATTACHED                                                                       \
        (UINT32_C(1) << 1) /* a client holds the other end of the attach socket */
#define LAUNCH_FLAGS_ALL (LAUNCH_FLAG_ONE_OFF | LAUNCH_FLAG_ATTACHED)

typedef struct LaunchStart {
        LaunchHeader header;
        uint32_t flags;           /* LAUNCH_FLAG_* */
        uint32_t number;          /* N of TYPE.N, from 1 */
        uint32_t release;         /* N of vN, from 1 */
        uint32_t web_port;        /* what $PORT says; 0: not a web dyno */
        uint32_t cpu_weight;      /* cgroup v2 cpu.weight, 1 to 10000 */
        uint32_t process_limit;   /* Heroku's: processes and threads; also RLIMIT_NPROC */
        uint64_t memory_quota;    /* bytes: R14 line and memory.limit_in_bytes */
        uint64_t memory_kill;     /* bytes: R15 point, at least memory_quota */
        uint64_t bandwidth;       /* bytes a second, each direction; 0: not limited */
        uint64_t disk;            /* bytes of scratch; 0: as much as there is */
        uint64_t disk_files;      /* inodes of scratch; 0: as many as there are */
        uint32_t connections;     /* tracked at once, each direction; 0: not limited */
        uint32_t connection_rate; /* new ones a second, each direction; 0: not limited */
        uint64_t policy;          /* serial of the app's LaunchPolicy, 0: it has none */
        uint32_t app_number;      /* which LaunchPolicy; never used again for another app */
        uint32_t reserved;
        uint8_t stack[DIGEST_SIZE];
        uint8_t slug[DIGEST_SIZE];
        char id[DYNO_ID_SIZE];
        char app[APP_NAME_SIZE];
        char type[PROCESS_TYPE_SIZE];
        char size[SIZE_NAME_SIZE];
        /* New ones here, and zero is what was so before: ipc/dyno_state.h. */
} LaunchStart;

typedef enum SignalTarget {
        SIGNAL_ALL,  /* every process of the dyno but dyno-init: Heroku's way */
        SIGNAL_MAIN, /* the command alone */
        _SIGNAL_TARGET_MAX,
} SignalTarget;

typedef struct LaunchSignal {
        LaunchHeader header;
        uint32_t signo;  /* 1 to 31 */
        uint32_t target; /* SignalTarget */
        char id[DYNO_ID_SIZE];
} LaunchSignal;

typedef struct LaunchDyno {
        LaunchHeader header;
        char id[DYNO_ID_SIZE];
} LaunchDyno;

typedef struct LaunchFetch {
        LaunchHeader header;
        uint32_t import; /* chosen by the supervisor, unique among its imports */
        uint32_t reserved;
        uint64_t max_bytes; /* of the archive as it is; root knows a limit too */
} LaunchFetch;

typedef struct LaunchFetched {
        LaunchHeader header; /* seq: that of FETCH */
        uint32_t import;
        int32_t result; /* 0 or a negative errno */
        uint64_t bytes;
        uint8_t digest[DIGEST_SIZE]; /* computed by a process that parsed nothing */
} LaunchFetched;

typedef struct LaunchExtract {
        LaunchHeader header;
        uint32_t import; /* of a FETCH that ended well, or 0: from the store's archive of @digest */
        uint32_t kind;   /* ObjectKind */
        uint64_t max_entries, max_bytes, max_ratio; /* the configured limits, see Archives */
        uint8_t digest[DIGEST_SIZE];                /* must be what FETCHED said */
} LaunchExtract;

typedef struct LaunchImport {
        LaunchHeader header;
        uint32_t import;
        uint32_t reserved;
} LaunchImport;

typedef struct LaunchObject {
        LaunchHeader header;
        uint32_t kind; /* ObjectKind */
        uint32_t reserved;
        uint8_t digest[DIGEST_SIZE];
} LaunchObject;

#define NETWORK_RULES_MAX 64    /* of egress; more make a wall that nobody can read */
#define NETWORK_TRUSTED_MAX 20  /* networks, as many as Heroku has trusted ranges */
#define NETWORK_SERVICES_MAX 32 /* ports of the host */
#define NETWORK_PUBLISHED_MAX 16
#define NETWORK_SHARES 64 /* of an app's published ports: with more dynos some get none */

/* One line of an app's egress policy. The first that fits a packet decides. */
typedef struct NetworkRule {
        uint32_t network;    /* IPv4, network byte order, no bit set beyond @prefix */
        uint8_t prefix;      /* 0 to 32 */
        uint8_t protocol;    /* IPPROTO_TCP, _UDP, _ICMP; 0: any */
        uint8_t allow;       /* 1: allow, 0: deny */
        uint8_t reserved;    /* 0 */
        uint16_t port_first; /* of TCP and UDP; 0 with port_last 0: all, and of all others */
        uint16_t port_last;
} NetworkRule;

typedef struct NetworkRange {
        uint32_t network; /* as a rule's */
        uint32_t prefix;
} NetworkRange;

typedef struct NetworkPort {
        uint16_t port;    /* of the host, 1 to 65535 */
        uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP; published ports are TCP */
        uint8_t reserved; /* 0 */
} NetworkPort;

/*
 * The network policy of one app, whole: it replaces what was there, for running dynos in
 * one transaction. A START names the serial that must be in force, else it is refused.
 */
typedef struct LaunchPolicy {
        LaunchHeader header;
        uint64_t serial; /* grows with every change; 0: the app has none any more, all else 0 */
        uint32_t app_number;
        uint32_t fixed_source; /* IPv4 of the host, network byte order; 0: masquerade */
        uint8_t egress_closed; /* what no rule fits is 1: denied, 0: allowed */
        uint8_t n_rules;
        uint8_t n_trusted; /* 0: everybody may connect to published ports, or nobody at all */
        uint8_t n_services;
        uint8_t n_published;
        uint8_t ingress_closed; /* 1: nobody may connect to them, and n_trusted is 0 */
        /*
         * 1: somebody asks for it: a port or a source that is new is refused where the host
         * cannot give it now. 0: from the store, taken whatever the host lacks at the moment, but
         * no port of the host's own services.
         */
        uint8_t asked;
        uint8_t reserved;
        NetworkRule rules[NETWORK_RULES_MAX];
        NetworkRange trusted[NETWORK_TRUSTED_MAX];
        NetworkPort services[NETWORK_SERVICES_MAX];
        NetworkPort published[NETWORK_PUBLISHED_MAX];
} LaunchPolicy;

typedef struct LaunchReply {
        LaunchHeader header;
        int32_t result; /* 0 or a negative errno; EXTRACT: -EEXIST: the tree is already there */
        uint32_t layer; /* LaunchLayer, where one is to blame, else _LAYER_ANY_MAX */
        uint32_t port;  /* POLICY: a published port that somebody has, too; else 0 */
        uint32_t reserved;
} LaunchReply;

/* Before the reply to a POLICY with a fixed source, and whenever it changes. */
typedef struct LaunchSource {
        LaunchHeader header;
        uint32_t app_number;
        uint32_t gone; /* 1: the host has not that address now: the app's dynos reach nothing */
} LaunchSource;

typedef struct LaunchExtracted {
        LaunchHeader header;
        int32_t result; /* as a reply's */
        uint32_t layer;
        uint8_t digest[DIGEST_SIZE]; /* import 0: that of the store's archive as it is, or zeroes */
} LaunchExtracted;

typedef struct LaunchHello {
        LaunchHeader header;
        uint32_t allow_missing; /* bit per MissingLayer of config/config.h that really is missing */
        uint32_t last_app;      /* the highest number that something on this host is an app's by */
        uint64_t memory_total;  /* bytes that dynos may be promised, all together */
        char instance[INSTANCE_NAME_SIZE];
        char padding[6];
} LaunchHello;

/* What is fixed for the life of one dyno. In its state file: ipc/dyno_state.h. */
typedef struct LaunchDynoFacts {
        LaunchHeader header;
        LaunchStart start;     /* as it was asked for */
        uint32_t pid;          /* of dyno-init, on the host */
        uint32_t uid;          /* on the host */
        uint32_t address;      /* IPv4, network byte order */
        uint32_t bound;        /* 1: something listened on the web port */
        uint64_t started_usec; /* CLOCK_REALTIME, when START was received */
} LaunchDynoFacts;

/* Phases of a start, µs since START was received: `ps:inspect --timing`. */
typedef enum LaunchPhase {
        PHASE_SLOT,    /* uid, network and namespaces are there */
        PHASE_CGROUP,  /* cgroup made, limits written */
        PHASE_CLONE,   /* child runs in its namespaces and cgroup */
        PHASE_ROOTFS,  /* all mounts made, root changed */
        PHASE_CONFINE, /* ids, capabilities, AppArmor, seccomp */
        PHASE_EXEC,    /* dyno-init runs */
        PHASE_VERIFY,  /* every layer read back; dyno-init was told to go on */
        _PHASE_MAX,
} LaunchPhase;

typedef struct LaunchStarted {
        LaunchHeader header;
        int32_t result;
        uint32_t layer;
        LaunchDynoFacts facts; /* if result is 0 */
        uint32_t phase_usec[_PHASE_MAX];
        uint32_t reserved;
        char detail[128]; /* root's own words on a failure: "is unconfined, must be …" */
} LaunchStarted;

typedef enum LayerVerdict {
        VERDICT_OK,
        VERDICT_ALLOWED, /* missing, and allow_missing says so */
        VERDICT_FAILED,
        _VERDICT_MAX,
} LayerVerdict;

typedef struct LaunchLayerReport {
        uint32_t verdict; /* LayerVerdict */
        char detail[160]; /* one line, ASCII, from the kernel's answers; may be empty */
} LaunchLayerReport;

/* Hooks of the packet filter that a dyno's packets, or the host's to it, pass; as in the kernel. */
typedef enum FilterHook {
        HOOK_PREROUTING,
        HOOK_INPUT,
        HOOK_FORWARD,
        HOOK_OUTPUT,
        HOOK_POSTROUTING,
        _FILTER_HOOK_MAX,
} FilterHook;

typedef enum FilterKind {
        FILTER_NFT_INET,
        FILTER_NFT_IP,
        FILTER_LEGACY, /* ip_tables, which nft does not show */
        _FILTER_KIND_MAX,
} FilterKind;

/* Whose rules those are: each program has its own way to say what shall last. */
typedef enum FilterOwner {
        OWNER_UNKNOWN,
        OWNER_FIREWALLD,
        OWNER_UFW,
        OWNER_DOCKER,
        _FILTER_OWNER_MAX,
} FilterOwner;

#define FILTER_NAME_SIZE 64 /* of what is reported; nftables has names of up to 255 bytes */
#define BLOCKERS_MAX 8
#define SHADOWED_MAX 8

/* A chain that is not ours and may drop packets of or for dynos. */
typedef struct LaunchBlocker {
        uint8_t hook, kind, owner;
        char table[FILTER_NAME_SIZE], chain[FILTER_NAME_SIZE];
} LaunchBlocker;

/* What BPF programs keep from dynos: sandbox/guards.h */
typedef enum Guard {
        GUARD_MODULES,    /* having the host start modprobe */
        GUARD_LOCKS,      /* more record locks than they may have */
        GUARD_SOCKETS,    /* more sockets, or what nobody is charged for in them */
        GUARD_FOLDERS,    /* more lists of folders, which nobody is charged for either */
        GUARD_FLIGHT,     /* more descriptors in flight than they may have */
        GUARD_INTERRUPTS, /* more work in one interrupt */
        GUARD_TERMINALS,  /* opening terminals again and again */
        GUARD_SEMAPHORES, /* keeping the kernel's semaphores */
        _GUARD_MAX,
} Guard;

typedef enum GuardState {
        GUARD_HOLDS,
        GUARD_NOT_NEEDED, /* kernel.modprobe is empty, or the kernel has no modules at all */
        GUARD_NO_LSM,     /* bpf is none of the kernel's security modules */
        GUARD_NO_PIN,     /* it could not be made, or others removed it */
        _GUARD_STATE_MAX,
} GuardState;

typedef struct LaunchInspected {
        LaunchHeader header;
        int32_t result;
        uint32_t duration_usec;
        uint32_t phase_usec
                [_PHASE_MAX]; /* of the start; zeroes for an adopted dyno and for HOSTED */
        LaunchLayerReport layers[_LAYER_MAX];
        /* HOSTED alone: other firewalls' chains that may stop dynos; published ports that
         * something on the host listens on, too. */
        uint8_t n_blockers, n_shadowed;
        uint16_t shadowed[SHADOWED_MAX];
        LaunchBlocker blockers[BLOCKERS_MAX];
        uint8_t guards[_GUARD_MAX]; /* GuardState; HOSTED alone */
        /* HOSTED alone: public addresses of the host that public_ports are not open at, 255: or more */
        uint8_t public_left_out;
} LaunchInspected;

#define EXITED_OOM (UINT32_C(1) << 0)      /* memory.events counted an oom_kill */
#define EXITED_UNKNOWN (UINT32_C(1) << 1)  /* nobody was there to see the status */
#define EXITED_PIDS_MAX (UINT32_C(1) << 2) /* pids.events counted a refused fork */

typedef struct LaunchExited {
        LaunchHeader header;
        uint32_t status; /* as a shell: 0 to 255, 128+n for signal n */
        uint32_t flags;  /* EXITED_* */
        uint64_t usec;   /* CLOCK_REALTIME */
        char id[DYNO_ID_SIZE];
} LaunchExited;

/* Makes a detail one line of ASCII, as all of them are: the rest becomes '?'. */
void launch_line_clean(char *text);

/* A name of a table or chain that people can type and terminals can show. */
bool filter_name_is_plain(const char *name);

/* Room for any message of this protocol. */
typedef union LaunchMessage {
        LaunchHeader header;
        LaunchStart start;
        LaunchSignal signal;
        LaunchDyno dyno;
        LaunchFetch fetch;
        LaunchExtract extract;
        LaunchImport import;
        LaunchObject object;
        LaunchPolicy policy;
        LaunchHello hello;
        LaunchDynoFacts facts;
        LaunchReply reply;
        LaunchSource source;
        LaunchStarted started;
        LaunchInspected inspected;
        LaunchExited exited;
        LaunchFetched fetched;
        LaunchExtracted extracted;
} LaunchMessage;

typedef enum LaunchSide {
        LAUNCH_FROM_SUPERVISOR,
        LAUNCH_FROM_LAUNCHER,
} LaunchSide;

/**
 * launch_message_check() - check one received message
 * @msg:    the message
 * @size:   bytes received
 * @n_fds:  descriptors received
 * @from:   who sent it
 *
 * Checks that the type may come from @from, the exact size and number of descriptors
 * for its type, and the range and cleanliness of every field.
 *
 * Return: 0 or -EBADMSG: drop the connection, the peer is broken or hostile.
 */
int launch_message_check(const LaunchMessage *msg, size_t size, size_t n_fds, LaunchSide from)
        _must_check_;

/* The exact size of a message of @type, 0 for an invalid one. */
size_t launch_message_size(LaunchType type);

const char *launch_layer_to_string(LaunchLayer layer); /* "namespaces", … "store" */
const char *launch_phase_to_string(LaunchPhase phase);
const char *layer_verdict_to_string(LayerVerdict verdict); /* "ok", "allowed", "failed" */
