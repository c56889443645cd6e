/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One table names every key with its parser and its printer. Values are set three
 * times at most: from the table's defaults, from dynod.conf, from dynod.conf.d; the
 * last one wins and its place is remembered.
 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/build_config.h"
#include "base/file.h"
#include "base/parse.h"
#include "config/config_internal.h"

int config_refuse(ConfigError *reterr, const char *fmt, ...) {
        va_list ap;

        va_start(ap, fmt);
        (void)vsnprintf(reterr->text, sizeof(reterr->text), fmt, ap);
        va_end(ap);
        return -EINVAL;
}

static ConfigText *config_text_free(ConfigText *text) {
        for (; text;) {
                ConfigText *next = text->next;

                free(text->section);
                free(text->key);
                free(text->value);
                free(text->file);
                free(text);
                text = next;
        }
        return NULL;
}
DEFINE_CLEANUP(ConfigText, config_text_free)

Config *config_free(Config *config) {
        if (!config)
                return NULL;

        free(config->state_dir);
        free(config->run_dir);
        free(config->libexec_dir);
        free(config->data_dir);
        free(config->cgroup_root);
        free(config->scratch_place);
        config->text = config_text_free(config->text);
        free(config);
        return NULL;
}

/* Remembers a value and where it is from; a later one of the same key replaces it. */
static int remember(Config *config, const ConfigPlace *place, const char *key, const char *value) {
        _cleanup_(config_text_freep) ConfigText *text = NULL;
        ConfigText **at = &config->text;

        text = calloc(1, sizeof(*text));
        if (!text)
                return -ENOMEM;
        text->section = strdup(place->section);
        text->key = strdup(key);
        text->value = strdup(value);
        text->file = strdup(place->file);
        text->line = place->line;
        if (!text->section || !text->key || !text->value || !text->file)
                return -ENOMEM;

        for (; *at; at = &(*at)->next)
                if (strcmp((*at)->section, text->section) == 0 && strcmp((*at)->key, key) == 0) {
                        ConfigText *old = *at;

                        *at = old->next;
                        old->next = NULL;
                        (void)config_text_free(old);
                        break;
                }
        for (; *at; at = &(*at)->next)
                ;
        *at = TAKE_PTR(text);
        return 0;
}

static char *trim(char *text) {
        char *end;

        text += strspn(text, " \t\r");
        end = text + strlen(text);
        while (end > text && strchr(" \t\r", end[-1]))
                end--;
        *end = '\0';
        return text;
}

/* "[size NAME]": the only section there is. */
static int parse_section(ConfigPlace *place, char *line, ConfigError *reterr) {
        size_t len = strlen(line);
        char *name;

        if (line[len - 1] != ']')
                return config_refuse(reterr, "\"%s\" has no closing bracket.", line);
        line[len - 1] = '\0';
        name = trim(line + 1);
        if (strncmp(name, "size ", 5) != 0)
                return config_refuse(
                        reterr, "There is no section [%s]. The only one is [size NAME].", name);
        name = trim(name + 5);
        if (*name == '\0' || strlen(name) >= SIZE_NAME_SIZE)
                return config_refuse(
                        reterr, "A size has a name of 1 to %d characters.", SIZE_NAME_SIZE - 1);
        for (const char *p = name; *p; p++)
                if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-", *p))
                        return config_refuse(reterr, "\"%s\" is no name for a size.", name);

        field_set(place->section, sizeof(place->section), name);
        return 0;
}

static int parse_line(Config *config, ConfigPlace *place, char *line, ConfigError *reterr) {
        char *equals, *key, *value;
        int r;

        line = trim(line);
        if (*line == '\0' || *line == '#' || *line == ';')
                return 0;
        if (*line == '[')
                return parse_section(place, line, reterr);

        equals = strchr(line, '=');
        if (!equals)
                return config_refuse(reterr, "\"%s\" has no \"=\". Write: key = value", line);
        *equals = '\0';
        key = trim(line);
        value = trim(equals + 1);

        r = place->section[0] != '\0' ? config_set_size(config, place->section, key, value, reterr)
                                      : config_set(config, key, value, reterr);
        if (r < 0)
                return r;

        return remember(config, place, key, value);
}

int config_parse_text(Config *config, const char *file, char *text, ConfigError *reterr) {
        ConfigPlace place = {.file = file};
        char *next = text;

        while (next) {
                char *line = strsep(&next, "\n");
                int r;

                place.line++;
                r = parse_line(config, &place, line, reterr);
                if (r < 0) {
                        (void)snprintf(reterr->file, sizeof(reterr->file), "%s", file);
                        reterr->line = place.line;
                        return r;
                }
        }

        return 0;
}

/* A configuration is a few lines; what is larger is some other file. */
#define CONFIG_FILE_MAX ((size_t)256 * 1024)

static int parse_file(Config *config, const char *path, ConfigError *reterr) {
        _cleanup_free_ char *text = malloc(CONFIG_FILE_MAX);
        ssize_t n;

        if (!text)
                return -ENOMEM;

        n = read_text_at(AT_FDCWD, path, text, CONFIG_FILE_MAX);
        if (n < 0) {
                (void)snprintf(reterr->file, sizeof(reterr->file), "%s", path);
                return (int)n;
        }
        if (memchr(text, '\0', (size_t)n)) {
                (void)snprintf(reterr->file, sizeof(reterr->file), "%s", path);
                return config_refuse(reterr, "The file is not text.");
        }

        return config_parse_text(config, path, text, reterr);
}

static int is_conf_file(const struct dirent *entry) {
        size_t len = strlen(entry->d_name);

        return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

static int parse_drop_ins(Config *config, const char *path, ConfigError *reterr) {
        _cleanup_free_ char *dir = NULL;
        struct dirent **entries;
        int n, r = 0;

        if (asprintf(&dir, "%s.d", path) < 0) {
                dir = NULL;
                return -ENOMEM;
        }

        n = scandir(dir, &entries, is_conf_file, alphasort);
        if (n < 0)
                return errno == ENOENT ? 0 : -errno;

        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *file = NULL;

                if (r == 0 && asprintf(&file, "%s/%s", dir, entries[i]->d_name) < 0) {
                        file = NULL;
                        r = -ENOMEM;
                }
                if (r == 0)
                        r = parse_file(config, file, reterr);
                free(entries[i]);
        }
        free(entries);

        return r;
}

static int config_new(Config **ret, const char *instance) {
        _cleanup_(config_freep) Config *config = calloc(1, sizeof(*config));
        int r;

        if (!config)
                return -ENOMEM;
        field_set(config->instance, sizeof(config->instance), instance);
        r = config_set_defaults(config);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(config);
        return 0;
}

int config_read(Config **ret, const char *instance, const char *path, ConfigError *reterr) {
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_free_ char *usual = NULL;
        bool optional = !path;
        int r;

        assert(instance_name_is_valid(instance));

        *reterr = (ConfigError){0};
        r = config_new(&config, instance);
        if (r < 0)
                return r;

        if (!path) {
                if (asprintf(&usual, "/etc/%s/dynod.conf", instance) < 0) {
                        usual = NULL;
                        return -ENOMEM;
                }
                path = usual;
        }

        r = parse_file(config, path, reterr);
        if (r == -ENOENT && optional)
                r = 0;
        if (r < 0)
                return r;
        r = parse_drop_ins(config, path, reterr);
        if (r < 0)
                return r;
        r = config_finish(config, reterr);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(config);
        return 0;
}

int config_to_memfd(const Config *config, int *ret_fd) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        _cleanup_fclose_ FILE *out = NULL;
        size_t size;
        int r;

        out = open_memstream(&text, &size);
        if (!out)
                return -ENOMEM;
        (void)fprintf(out, "instance = %s\n", config->instance);
        config_write_values(config, out);
        if (fflush(out) != 0)
                return -ENOMEM;

        fd = memfd_create("dynod-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        r = write_all(fd, text, size);
        if (r < 0)
                return r;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                return -errno;

        *ret_fd = TAKE_FD(fd);
        return 0;
}

int config_read_fd(Config **ret, int fd, ConfigError *reterr) {
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_free_ char *text = calloc(1, CONFIG_FILE_MAX);
        char *instance, *rest;
        ssize_t n;
        int r;

        *reterr = (ConfigError){0};
        if (!text)
                return -ENOMEM;

        /* pread: the descriptor's offset is shared with other readers of the same memfd */
        n = pread(fd, text, CONFIG_FILE_MAX - 1, 0);
        if (n < 0)
                return -errno;

        rest = text;
        instance = strsep(&rest, "\n");
        if (!rest || strncmp(instance, "instance = ", 11) != 0 ||
            !instance_name_is_valid(instance + 11))
                return config_refuse(reterr, "The configuration begins with no instance.");

        r = config_new(&config, instance + 11);
        if (r < 0)
                return r;
        r = config_parse_text(config, "dynod", rest, reterr);
        if (r < 0)
                return r;
        r = config_finish(config, reterr);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(config);
        return 0;
}

const DynoSize *config_find_size(const Config *config, const char *name) {
        for (size_t i = 0; i < config->n_sizes; i++)
                if (strcasecmp(config->sizes[i].name, name) == 0)
                        return &config->sizes[i];

        return NULL;
}
