/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <net/if.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/build_config.h"
#include "base/parse.h"
#include "config/config_internal.h"

#define MB (UINT64_C(1) << 20)
#define GB (UINT64_C(1) << 30)
#define IMAGE_MIN (64 * MB) /* below, mke2fs makes a file system too odd to be worth it */

typedef struct ConfigKey ConfigKey;
struct ConfigKey {
        const char *name;
        int (*set)(Config *config, const ConfigKey *key, const char *value);
        void (*write)(const Config *config, const ConfigKey *key, FILE *out);
        size_t offset;      /* of the field in Config */
        uint64_t min, max;  /* of a number, size or duration */
        const char *wanted; /* what a value looks like, for the error */
        const char *value;  /* the default; %s stands for the instance */
};

#define FIELD(type) ((type *)(void *)((char *)config + key->offset))
#define CONST_FIELD(type) ((type const *)(const void *)((const char *)config + key->offset))

/* ---- kinds of values ---- */

static int set_path(Config *config, const ConfigKey *key, const char *value) {
        char *copy;

        if (value[0] != '/' || strstr(value, "/../") || strlen(value) > 200)
                return -EINVAL;
        copy = strdup(value);
        if (!copy)
                return -ENOMEM;
        free(*FIELD(char *));
        *FIELD(char *) = copy;
        return 0;
}

static void write_path(const Config *config, const ConfigKey *key, FILE *out) {
        const char *path = *CONST_FIELD(char *);

        if (path)
                (void)fprintf(out, "%s = %s\n", key->name, path);
}

static int in_range(const ConfigKey *key, uint64_t value) {
        return value >= key->min && value <= key->max ? 0 : -ERANGE;
}

static int set_u32(Config *config, const ConfigKey *key, const char *value) {
        uint32_t number;
        int r = parse_u32(value, &number);

        if (r == 0)
                r = in_range(key, number);
        if (r == 0)
                *FIELD(uint32_t) = number;
        return r;
}

static void write_u32(const Config *config, const ConfigKey *key, FILE *out) {
        (void)fprintf(out, "%s = %" PRIu32 "\n", key->name, *CONST_FIELD(uint32_t));
}

static int set_u64(Config *config, const ConfigKey *key, const char *value) {
        uint64_t number;
        int r = parse_u64(value, &number);

        if (r == 0)
                r = in_range(key, number);
        if (r == 0)
                *FIELD(uint64_t) = number;
        return r;
}

static void write_u64(const Config *config, const ConfigKey *key, FILE *out) {
        (void)fprintf(out, "%s = %" PRIu64 "\n", key->name, *CONST_FIELD(uint64_t));
}

static int set_size(Config *config, const ConfigKey *key, const char *value) {
        uint64_t bytes;
        int r = parse_size(value, &bytes);

        if (r == 0)
                r = in_range(key, bytes);
        if (r == 0)
                *FIELD(uint64_t) = bytes;
        return r;
}

static int set_duration(Config *config, const ConfigKey *key, const char *value) {
        uint64_t usec;
        int r = parse_duration(value, &usec);

        if (r == 0)
                r = in_range(key, usec);
        if (r == 0)
                *FIELD(uint64_t) = usec;
        return r;
}

static void write_duration(const Config *config, const ConfigKey *key, FILE *out) {
        (void)fprintf(
                out, "%s = %" PRIu64 "ms\n", key->name, *CONST_FIELD(uint64_t) / USEC_PER_MSEC);
}

/* The user or group files are read directly: NSS would load modules into the root process. */
static int set_user(Config *config, const ConfigKey *key, const char *value) {
        _cleanup_fclose_ FILE *file = NULL;
        struct passwd *entry;
        uid_t *uid = FIELD(uid_t);
        gid_t *gid = uid == &config->supervisor_uid ? &config->supervisor_gid : &config->logger_gid;
        uint32_t number;

        if (parse_u32(value, &number) == 0) {
                *uid = *gid = number;
                return 0;
        }

        file = fopen("/etc/passwd", "re");
        if (!file)
                return -errno;
        while ((entry = fgetpwent(file)))
                if (strcmp(entry->pw_name, value) == 0) {
                        *uid = entry->pw_uid;
                        *gid = entry->pw_gid;
                        return 0;
                }

        return -ESRCH;
}

static int set_group(Config *config, const ConfigKey *key, const char *value) {
        _cleanup_fclose_ FILE *file = NULL;
        struct group *entry;
        uint32_t number;

        if (parse_u32(value, &number) == 0) {
                *FIELD(gid_t) = number;
                return 0;
        }

        file = fopen("/etc/group", "re");
        if (!file)
                return -errno;
        while ((entry = fgetgrent(file)))
                if (strcmp(entry->gr_name, value) == 0) {
                        *FIELD(gid_t) = entry->gr_gid;
                        return 0;
                }

        return -ESRCH;
}

static int set_network(Config *config, const ConfigKey *key, const char *value) {
        struct in_addr network;
        uint8_t prefix;
        int r = parse_ipv4_net(value, &network, &prefix);

        if (r < 0)
                return r;
        if (prefix < 8 || prefix > 28)
                return -ERANGE;
        config->network = network;
        config->network_prefix = prefix;
        return 0;
}

static void write_network(const Config *config, const ConfigKey *key, FILE *out) {
        char text[INET_ADDRSTRLEN];

        (void)inet_ntop(AF_INET, &config->network, text, sizeof(text));
        (void)fprintf(out, "%s = %s/%u\n", key->name, text, config->network_prefix);
}

static int set_address(Config *config, const ConfigKey *key, const char *value) {
        return parse_ipv4(value, FIELD(struct in_addr));
}

static void write_address(const Config *config, const ConfigKey *key, FILE *out) {
        char text[INET_ADDRSTRLEN];

        (void)inet_ntop(AF_INET, CONST_FIELD(struct in_addr), text, sizeof(text));
        (void)fprintf(out, "%s = %s\n", key->name, text);
}

/* Calls @take for each word of @value, words parted by spaces or commas. */
static int for_each_word(Config *config, const char *value, int (*take)(Config *, const char *)) {
        _cleanup_free_ char *copy = strdup(value);
        char *next = copy, *word;

        if (!copy)
                return -ENOMEM;
        while ((word = strsep(&next, " ,\t"))) {
                int r = *word == '\0' ? 0 : take(config, word);

                if (r < 0)
                        return r;
        }

        return 0;
}

static int take_resolver(Config *config, const char *word) {
        struct in_addr address;
        int r;

        if (config->n_resolvers >= CONFIG_RESOLVERS_MAX)
                return -E2BIG;
        r = parse_ipv4(word, &address);
        if (r == 0)
                config->resolvers[config->n_resolvers++] = address;
        return r;
}

static int set_resolvers(Config *config, const ConfigKey *key, const char *value) {
        config->n_resolvers = 0;
        return for_each_word(config, value, take_resolver);
}

static void write_resolvers(const Config *config, const ConfigKey *key, FILE *out) {
        (void)fprintf(out, "%s =", key->name);
        for (size_t i = 0; i < config->n_resolvers; i++) {
                char text[INET_ADDRSTRLEN];

                (void)inet_ntop(AF_INET, &config->resolvers[i], text, sizeof(text));
                (void)fprintf(out, " %s", text);
        }
        (void)fprintf(out, "\n");
}

/* "443", "443/tcp" or "443/udp" */
static int take_public_port(Config *config, const char *word) {
        ConfigPort port = {.protocol = IPPROTO_TCP};
        const char *slash = strchr(word, '/');
        char number[8];
        uint32_t value;

        if (config->n_public_ports >= CONFIG_PUBLIC_PORTS_MAX)
                return -E2BIG;
        if (slash && strcmp(slash, "/udp") == 0)
                port.protocol = IPPROTO_UDP;
        else if (slash && strcmp(slash, "/tcp") != 0)
                return -EINVAL;
        if ((slash ? (size_t)(slash - word) : strlen(word)) >= sizeof(number))
                return -EINVAL;
        (void)snprintf(number, sizeof(number), "%.*s", (int)strcspn(word, "/"), word);
        if (parse_u32(number, &value) < 0 || value == 0 || value > UINT16_MAX)
                return -EINVAL;

        port.port = (uint16_t)value;
        config->public_ports[config->n_public_ports++] = port;
        return 0;
}

static int set_public_ports(Config *config, const ConfigKey *key, const char *value) {
        config->n_public_ports = 0;
        return for_each_word(config, value, take_public_port);
}

static void write_public_ports(const Config *config, const ConfigKey *key, FILE *out) {
        (void)fprintf(out, "%s =", key->name);
        for (size_t i = 0; i < config->n_public_ports; i++)
                (void)fprintf(
                        out,
                        " %u%s",
                        config->public_ports[i].port,
                        config->public_ports[i].protocol == IPPROTO_UDP ? "/udp" : "");
        (void)fprintf(out, "\n");
}

static int take_missing(Config *config, const char *word) {
        for (MissingLayer layer = 0; layer < _MISSING_MAX; layer++)
                if (strcmp(word, missing_layer_to_string(layer)) == 0) {
                        config->allow_missing |= UINT32_C(1) << layer;
                        return 0;
                }

        return -EINVAL;
}

static int set_missing(Config *config, const ConfigKey *key, const char *value) {
        config->allow_missing = 0;
        return for_each_word(config, value, take_missing);
}

static void write_missing(const Config *config, const ConfigKey *key, FILE *out) {
        (void)fprintf(out, "%s =", key->name);
        for (MissingLayer layer = 0; layer < _MISSING_MAX; layer++)
                if ((config->allow_missing & UINT32_C(1) << layer) != 0)
                        (void)fprintf(out, " %s", missing_layer_to_string(layer));
        (void)fprintf(out, "\n");
}

static int set_scratch(Config *config, const ConfigKey *key, const char *value) {
        static const ConfigKey place = {.offset = offsetof(Config, scratch_place)};
        int r;

        if (value[0] == '/') {
                r = set_path(config, &place, value);
                if (r == 0)
                        config->scratch = SCRATCH_PLACE;
                return r;
        }
        if (strcmp(value, "image") == 0)
                config->scratch = SCRATCH_IMAGE;
        else if (strcmp(value, "tmpfs") == 0)
                config->scratch = SCRATCH_TMPFS;
        else
                return -EINVAL;

        free(config->scratch_place);
        config->scratch_place = NULL;
        return 0;
}

static void write_scratch(const Config *config, const ConfigKey *key, FILE *out) {
        (void)fprintf(
                out,
                "%s = %s\n",
                key->name,
                config->scratch == SCRATCH_IMAGE   ? "image"
                : config->scratch == SCRATCH_TMPFS ? "tmpfs"
                                                   : config->scratch_place);
}

/* ---- the keys ---- */

#define OF(field) offsetof(Config, field)
#define IS_PATH set_path, write_path
#define IS_U32 set_u32, write_u32
#define IS_U64 set_u64, write_u64
#define IS_SIZE set_size, write_u64 /* a bare number is bytes */
#define IS_DURATION set_duration, write_duration

static const char path_wanted[] = "an absolute path of at most 200 characters";
static const char user_wanted[] = "a user of /etc/passwd, or a number";

/* clang-format off */
static const ConfigKey config_keys[] = {
        {"state_dir",   IS_PATH, OF(state_dir),   0, 0, path_wanted, "/var/lib/%s"},
        {"run_dir",     IS_PATH, OF(run_dir),     0, 0, path_wanted, "/run/%s"},
        {"libexec_dir", IS_PATH, OF(libexec_dir), 0, 0, path_wanted, DYNOD_LIBEXECDIR},
        {"data_dir",    IS_PATH, OF(data_dir),    0, 0, path_wanted, DYNOD_DATADIR},
        {"cgroup_root", IS_PATH, OF(cgroup_root), 0, 0, path_wanted, NULL},
        {"supervisor_user", set_user,  write_u32, OF(supervisor_uid), 0, 0, user_wanted, NULL},
        {"logger_user",     set_user,  write_u32, OF(logger_uid),     0, 0, user_wanted, NULL},
        {"control_group",   set_group, write_u32, OF(control_gid),    0, 0, "a group of /etc/group, or a number", NULL},
        /* Above every range that Debian, systemd and adduser give out; the last uid is 2^32 - 2. */
        {"uid_base", IS_U32, OF(uid_base), 65536, UINT32_MAX - 1 - CONFIG_UIDS, "a number from 65536 on, 17408 uids below the last", "1879048192"},
        {"allow_missing", set_missing, write_missing, 0, 0, 0, "some of: apparmor cgroup-memory cgroup-cpu cgroup-pids cgroup-io quota tc", ""},
        {"max_dynos",      IS_U32, OF(max_dynos),      1, CONFIG_DYNOS_MAX, "a number from 1 to 16384", "1000"},
        {"start_parallel", IS_U32, OF(start_parallel), 1, 64, "a number from 1 to 64", "4"},
        {"pool",           IS_U32, OF(pool),           0, 256, "a number from 0 to 256", "8"},
        {"watchdog",       IS_DURATION, OF(watchdog_usec), 0, 3600 * USEC_PER_SEC, "a time from 0 to 1h", "60s"},
        {"memory_overcommit", IS_SIZE, OF(memory_overcommit), 0, INT64_MAX, "a size such as 16G, or 0", "0"},
        {"scratch", set_scratch, write_scratch, 0, 0, 0, "image, tmpfs, or the path of a device or mount point", "image"},
        {"scratch_size", IS_SIZE, OF(scratch_size), 0, INT64_MAX, "a size such as 20G, or 0", "0"},
        {"network", set_network, write_network, 0, 0, 0, "a network such as 172.16.0.0/12, from /8 to /28", "172.16.0.0/12"},
        {"resolvers", set_resolvers, write_resolvers, 0, 0, 0, "at most 4 IPv4 addresses", NULL},
        {"service_address", set_address, write_address, OF(service_address), 0, 0, "an IPv4 address", "172.16.0.1"},
        {"public_ports", set_public_ports, write_public_ports, 0, 0, 0, "at most 16 ports such as 443 or 443/udp", NULL},
        {"web_port", IS_U32, OF(web_port), 1, 65535, "a port", "5000"},
        /* The contract's limits on archives. */
        {"import_max_entries", IS_U64, OF(import_max_entries), 1, INT64_MAX, "a number", "1000000"},
        {"import_max_ratio",   IS_U64, OF(import_max_ratio),   1, INT64_MAX, "a number", "1000"},
        {"stack_max_size", IS_SIZE, OF(stack_max_bytes), 1, INT64_MAX, "a size such as 20G", "20G"},
        {"slug_max_size",  IS_SIZE, OF(slug_max_bytes),  1, INT64_MAX, "a size such as 4G", "4G"},
        {"boot_timeout", IS_DURATION, OF(boot_timeout_usec), USEC_PER_SEC, 180 * USEC_PER_SEC, "a time from 1s to 180s", "60s"},
        {"stop_grace",   IS_DURATION, OF(stop_grace_usec),   0, 3600 * USEC_PER_SEC, "a time from 0 to 1h", "30s"},
};

/*
 * heroku-runtime's table of sizes. Shared CPU has a weight of its share, dedicated CPU 1000.
 * Heroku publishes no numbers for what follows: a small dyno gets half of a gigabit link, and
 * connections so that sixteen of them leave a default connection table half empty, until as
 * many as they have open have closed seconds ago (NET_CLOSED_SEC).
 */
#define SMALL   64 * MB,   4 * GB,  262144,  2048,  256
#define MEDIUM 128 * MB,   8 * GB,  524288,  8192, 1024
#define LARGE  512 * MB,  16 * GB, 1048576, 32768, 4096
static const DynoSize default_sizes[] = {
        {"Eco",               512 * MB,    1 * GB,   100, 256, SMALL},
        {"Basic",             512 * MB,    1 * GB,   100, 256, SMALL},
        {"Standard-1X",       512 * MB,    1 * GB,   100, 256, SMALL},
        {"Standard-2X",         1 * GB,    2 * GB,   200, 512, MEDIUM},
        {"Private-S",           1 * GB,    1 * GB,  1000, 512, MEDIUM},
        {"Shield-S",            1 * GB,    1 * GB,  1000, 512, MEDIUM},
        {"Performance-M",    2560 * MB,    5 * GB,  1000, 16384, LARGE},
        {"Private-M",        2560 * MB, 2560 * MB,  1000, 16384, LARGE},
        {"Shield-M",         2560 * MB, 2560 * MB,  1000, 16384, LARGE},
        {"Performance-L",      14 * GB,   28 * GB,  1000, 32768, LARGE},
        {"Private-L",          14 * GB,   14 * GB,  1000, 32768, LARGE},
        {"Shield-L",           14 * GB,   14 * GB,  1000, 32768, LARGE},
        {"Performance-L-RAM",  30 * GB,   36 * GB,  1000, 24576, LARGE},
        {"Private-L-RAM",      30 * GB,   30 * GB,  1000, 24576, LARGE},
        {"Shield-L-RAM",       30 * GB,   30 * GB,  1000, 24576, LARGE},
        {"Performance-XL",     62 * GB,   74 * GB,  1000, 32768, LARGE},
        {"Private-XL",         62 * GB,   62 * GB,  1000, 32768, LARGE},
        {"Shield-XL",          62 * GB,   62 * GB,  1000, 32768, LARGE},
        {"Performance-2XL",   126 * GB,  151 * GB,  1000, 65536, LARGE},
        {"Private-2XL",       126 * GB,  126 * GB,  1000, 65536, LARGE},
        {"Shield-2XL",        126 * GB,  126 * GB,  1000, 65536, LARGE},
};
/* clang-format on */

static const ConfigKey *find_key(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(config_keys); i++)
                if (strcmp(config_keys[i].name, name) == 0)
                        return &config_keys[i];

        return NULL;
}

int config_set(Config *config, const char *name, const char *value, ConfigError *reterr) {
        const ConfigKey *key = find_key(name);
        int r;

        if (!key)
                return config_refuse(reterr, "There is no key \"%s\". See dynod.conf(5).", name);

        r = key->set(config, key, value);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return config_refuse(
                        reterr,
                        "%s = %s: must be %s.",
                        name,
                        value[0] ? value : "(empty)",
                        key->wanted);

        return 0;
}

static int set_default(Config *config, const ConfigKey *key) {
        char value[256];
        const char *hole = strstr(key->value, "%s");

        if (hole)
                (void)snprintf(
                        value,
                        sizeof(value),
                        "%.*s%s%s",
                        (int)(hole - key->value),
                        key->value,
                        config->instance,
                        hole + 2);
        else
                (void)snprintf(value, sizeof(value), "%s", key->value);

        return key->set(config, key, value);
}

int config_set_defaults(Config *config) {
        for (size_t i = 0; i < ARRAY_SIZE(config_keys); i++) {
                int r = config_keys[i].value ? set_default(config, &config_keys[i]) : 0;

                if (r < 0)
                        return r;
        }

        static_assert(ARRAY_SIZE(default_sizes) <= CONFIG_SIZES_MAX, "room for more sizes");
        memcpy(config->sizes, default_sizes, sizeof(default_sizes));
        config->n_sizes = ARRAY_SIZE(default_sizes);
        config->supervisor_uid = config->logger_uid = (uid_t)-1;
        config->supervisor_gid = config->logger_gid = config->control_gid = (gid_t)-1;
        return 0;
}

/* ---- sizes ---- */

static DynoSize *make_size(Config *config, const char *name) {
        DynoSize *size;

        for (size_t i = 0; i < config->n_sizes; i++)
                if (strcasecmp(config->sizes[i].name, name) == 0)
                        return &config->sizes[i];
        if (config->n_sizes >= CONFIG_SIZES_MAX)
                return NULL;

        size = &config->sizes[config->n_sizes++];
        *size = *config_find_size(config, "Standard-1X");
        field_set(size->name, sizeof(size->name), name);
        return size;
}

typedef struct SizeKey {
        const char *name;
        size_t offset, width; /* of the field in DynoSize */
        bool is_bytes;        /* "512M" */
        uint64_t min, max;
} SizeKey;

#define SIZE_FIELD(field) offsetof(DynoSize, field), sizeof(((DynoSize *)NULL)->field)

/* clang-format off */
static const SizeKey size_keys[] = {
        {"memory",          SIZE_FIELD(memory_quota),    true,  DYNO_MEMORY_MIN, INT64_MAX},
        {"memory_kill",     SIZE_FIELD(memory_kill),     true,  DYNO_MEMORY_MIN, INT64_MAX},
        {"cpu_weight",      SIZE_FIELD(cpu_weight),      false, 1, 10000},
        {"processes",       SIZE_FIELD(process_limit),   false, 1, 4194304},
        {"bandwidth",       SIZE_FIELD(bandwidth),       true,  0, INT64_MAX},
        {"disk",            SIZE_FIELD(disk),            true,  0, INT64_MAX},
        {"disk_files",      SIZE_FIELD(disk_files),      false, 0, INT64_MAX},
        {"connections",     SIZE_FIELD(connections),     false, 0, 1000000},
        {"connection_rate", SIZE_FIELD(connection_rate), false, 0, 1000000},
};
/* clang-format on */

static const SizeKey *find_size_key(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(size_keys); i++)
                if (strcmp(size_keys[i].name, name) == 0)
                        return &size_keys[i];
        return NULL;
}

static uint64_t size_value(const DynoSize *size, const SizeKey *key) {
        const char *field = (const char *)size + key->offset;
        uint64_t wide = 0;
        uint32_t narrow = 0;

        if (key->width == sizeof(wide)) {
                memcpy(&wide, field, sizeof(wide));
                return wide;
        }
        memcpy(&narrow, field, sizeof(narrow));
        return narrow;
}

static void size_set_value(DynoSize *size, const SizeKey *key, uint64_t value) {
        char *field = (char *)size + key->offset;
        uint32_t narrow = (uint32_t)value;

        if (key->width == sizeof(value))
                memcpy(field, &value, sizeof(value));
        else
                memcpy(field, &narrow, sizeof(narrow));
}

int config_set_size(
        Config *config, const char *name, const char *key, const char *value, ConfigError *reterr) {
        const SizeKey *size_key = find_size_key(key);
        DynoSize *size = make_size(config, name);
        uint64_t number = 0;
        int r;

        if (!size)
                return config_refuse(
                        reterr, "There are %d sizes already: that is the most.", CONFIG_SIZES_MAX);
        if (!size_key)
                return config_refuse(
                        reterr,
                        "%s = %s: a size has memory, memory_kill, cpu_weight, processes, "
                        "bandwidth, "
                        "disk, disk_files, connections and connection_rate.",
                        key,
                        value);

        r = size_key->is_bytes ? parse_size(value, &number) : parse_u64(value, &number);
        if (r == 0 && size_key->min == DYNO_MEMORY_MIN && number < size_key->min)
                return config_refuse(
                        reterr,
                        "%s = %s: must be at least %" PRIu64 "M, or no dyno of that size could be "
                        "started.",
                        key,
                        value,
                        size_key->min >> 20);
        if (r < 0 || number < size_key->min || number > size_key->max)
                return config_refuse(
                        reterr,
                        "%s = %s: must be %s from %" PRIu64 " to %" PRIu64 ".",
                        key,
                        value,
                        size_key->is_bytes ? "a size such as 512M," : "a number",
                        size_key->min,
                        size_key->max);

        size_set_value(size, size_key, number);
        return 0;
}

/* ---- after the files ---- */

/* The servers of resolv.conf(5) that a dyno could reach: a loopback address is not one. */
static void find_resolvers(Config *config) {
        _cleanup_fclose_ FILE *file = fopen("/etc/resolv.conf", "re");
        char line[512];

        while (file && fgets(line, sizeof(line), file)) {
                char *value = line + 10;
                struct in_addr address;

                if (strncmp(line, "nameserver", 10) != 0 || !strchr(" \t", *value))
                        continue;
                value += strspn(value, " \t");
                value[strcspn(value, " \t\r\n#")] = '\0';
                if (parse_ipv4(value, &address) == 0 &&
                    (ntohl(address.s_addr) >> IN_CLASSA_NSHIFT) != IN_LOOPBACKNET &&
                    config->n_resolvers < CONFIG_RESOLVERS_MAX)
                        config->resolvers[config->n_resolvers++] = address;
        }
}

static bool was_set(const Config *config, const char *name) {
        for (const ConfigText *text = config->text; text; text = text->next)
                if (text->section[0] == '\0' && strcmp(text->key, name) == 0)
                        return true;

        return false;
}

/* No dyno may have an id that opens something outside; -1 is "leave it" to setresuid(2): root. */
static int check_ids(const Config *config, ConfigError *reterr) {
        const struct {
                const char *key;
                uint32_t id;
        } ids[] = {
                {"supervisor_user", config->supervisor_uid},
                {"supervisor_user", config->supervisor_gid},
                {"logger_user", config->logger_uid},
                {"logger_user", config->logger_gid},
                {"control_group", config->control_gid},
        };

        for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
                if (ids[i].id == UINT32_MAX)
                        return config_refuse(
                                reterr, "%s cannot be %" PRIu32 ".", ids[i].key, ids[i].id);
                if (ids[i].id - config->uid_base < CONFIG_UIDS)
                        return config_refuse(
                                reterr,
                                "%s has the id %" PRIu32 ", one of the %d from uid_base on, which "
                                "belong to dynos.",
                                ids[i].key,
                                ids[i].id,
                                CONFIG_UIDS);
        }

        return 0;
}

/* The package's users, unless the files name others. */
static int find_users(Config *config, ConfigError *reterr) {
        static const struct {
                const char *key, *value;
        } users[] = {
                {"supervisor_user", "dynod-sv"},
                {"logger_user", "dynod-log"},
                {"control_group", "dynod"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
                const ConfigKey *key = find_key(users[i].key);
                int r;

                if (was_set(config, users[i].key))
                        continue;
                r = key->set(config, key, users[i].value);
                if (r < 0)
                        return config_refuse(
                                reterr,
                                "There is no %s \"%s\" on this host. Install the package, or set "
                                "%s.",
                                key->set == set_group ? "group" : "user",
                                users[i].value,
                                users[i].key);
        }
        if (config->supervisor_uid == 0 || config->logger_uid == 0)
                return config_refuse(reterr, "supervisor_user and logger_user cannot be root.");
        if (config->supervisor_uid == config->logger_uid)
                return config_refuse(reterr, "supervisor_user and logger_user must differ.");

        return check_ids(config, reterr);
}

int config_finish(Config *config, ConfigError *reterr) {
        int r;

        if (!was_set(config, "resolvers"))
                find_resolvers(config);
        r = find_users(config, reterr);
        if (r < 0)
                return r;

        if (config->scratch_size != 0 &&
            config->scratch_size < (config->scratch == SCRATCH_IMAGE ? IMAGE_MIN : MB))
                return config_refuse(
                        reterr,
                        "scratch_size must be at least %s.",
                        config->scratch == SCRATCH_IMAGE ? "64M for an image" : "1M");
        for (size_t i = 0; i < config->n_sizes; i++)
                if (config->sizes[i].memory_kill < config->sizes[i].memory_quota)
                        return config_refuse(
                                reterr,
                                "[size %s] memory_kill must be at least memory.",
                                config->sizes[i].name);

        return 0;
}

/* ---- printing ---- */

void config_write_values(const Config *config, FILE *out) {
        for (size_t i = 0; i < ARRAY_SIZE(config_keys); i++)
                config_keys[i].write(config, &config_keys[i], out);
        for (size_t i = 0; i < config->n_sizes; i++) {
                (void)fprintf(out, "[size %s]\n", config->sizes[i].name);
                for (size_t j = 0; j < ARRAY_SIZE(size_keys); j++)
                        (void)fprintf(
                                out,
                                "%s = %" PRIu64 "\n",
                                size_keys[j].name,
                                size_value(&config->sizes[i], &size_keys[j]));
        }
}

static const ConfigText *find_text(const Config *config, const char *section, const char *key) {
        for (const ConfigText *text = config->text; text; text = text->next)
                if (strcmp(text->section, section) == 0 && strcmp(text->key, key) == 0)
                        return text;

        return NULL;
}

void config_print(const Config *config, FILE *out) {
        _cleanup_free_ char *values = NULL;
        _cleanup_fclose_ FILE *memory = NULL;
        char section[SIZE_NAME_SIZE] = "";
        char *next, *line;
        size_t size;

        memory = open_memstream(&values, &size);
        if (!memory)
                return;
        config_write_values(config, memory);
        if (fflush(memory) != 0)
                return;

        next = values;
        while ((line = strsep(&next, "\n"))) {
                char key[64] = "";
                const ConfigText *text;

                if (line[0] == '[') {
                        (void)snprintf(
                                section,
                                sizeof(section),
                                "%.*s",
                                (int)strcspn(line + 6, "]"),
                                line + 6);
                        (void)fprintf(out, "\n%s\n", line);
                        continue;
                }
                if (line[0] == '\0')
                        continue;
                (void)snprintf(key, sizeof(key), "%.*s", (int)strcspn(line, " "), line);
                text = find_text(config, section, key);
                if (text)
                        (void)fprintf(
                                out,
                                "%s = %s    # %s:%u\n",
                                key,
                                text->value,
                                text->file,
                                text->line);
                else
                        (void)fprintf(out, "%s    # default\n", line);
        }
}

const char *missing_layer_to_string(MissingLayer layer) {
        static const char *const names[_MISSING_MAX] = {
                [MISSING_APPARMOR] = "apparmor",
                [MISSING_CGROUP_MEMORY] = "cgroup-memory",
                [MISSING_CGROUP_CPU] = "cgroup-cpu",
                [MISSING_CGROUP_PIDS] = "cgroup-pids",
                [MISSING_CGROUP_IO] = "cgroup-io",
                [MISSING_QUOTA] = "quota",
                [MISSING_TC] = "tc",
        };

        return layer < _MISSING_MAX ? names[layer] : "?";
}
