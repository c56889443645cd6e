/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as dynod.conf and two files of dynod.conf.d, parted by a byte 1: they are
 * refused with a place, or every process reads the same values from the merged text.
 *
 * Covers: config/config.c config/config_keys.c base/parse.c
 */

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "fuzz_folder.h"

static const char *const files[] = {
        "dynod.conf", "dynod.conf.d/a.conf", "dynod.conf.d/b.conf", "dynod.conf.d/unread"};

static size_t write_files(const char *folder, const char *data, size_t size) {
        size_t n = 0;

        for (; n < ARRAY_SIZE(files); n++) {
                const char *end = memchr(data, 1, size);
                size_t part = end ? (size_t)(end - data) : size;

                fuzz_write(folder, files[n], data, part);
                if (!end)
                        return n + 1;
                data += part + 1;
                size -= part + 1;
        }
        return n;
}

static char *merged(const Config *config, int *ret_fd) {
        char *text = calloc(1, 1 << 20);

        if (!text || config_to_memfd(config, ret_fd) < 0)
                abort();
        assert(pread(*ret_fd, text, (1 << 20) - 1, 0) > 0);
        return text;
}

/* What the launcher read is what its children read. */
static void check_children(const Config *config) {
        _cleanup_(config_freep) Config *child = NULL;
        _cleanup_free_ char *first = NULL, *second = NULL;
        _cleanup_close_ int fd = -EBADF, child_fd = -EBADF;
        ConfigError error;

        first = merged(config, &fd);
        assert(config_read_fd(&child, fd, &error) == 0);
        second = merged(child, &child_fd);
        assert(strcmp(first, second) == 0);
        assert(config->n_sizes == child->n_sizes);
        for (size_t i = 0; i < config->n_sizes; i++) {
                const DynoSize *size = &config->sizes[i];

                assert(size->memory_kill >= size->memory_quota && size->process_limit > 0);
                assert(config_find_size(child, size->name));
        }
        assert(config->max_dynos <= CONFIG_DYNOS_MAX && config->web_port <= 65535);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static char folder[FUZZ_PATH_SIZE], path[FUZZ_PATH_SIZE + 16];
        _cleanup_(config_freep) Config *config = NULL;
        ConfigError error = {0};
        size_t n;
        int r;

        if (folder[0] == '\0') {
                fuzz_folder(folder);
                fuzz_mkdir(folder, "dynod.conf.d");
                (void)snprintf(path, sizeof(path), "%s/dynod.conf", folder);
        }
        n = write_files(folder, (const char *)data, size);
        r = config_read(&config, "fuzz", path, &error);
        if (r == 0)
                check_children(config);
        else
                assert(!config && (r != -EINVAL || error.text[0] != '\0'));
        for (size_t i = 0; i < n; i++)
                fuzz_unlink(folder, files[i]);

        if (size > 0 && data[0] == 'i') {
                _cleanup_(config_freep) Config *child = NULL;
                int fd = fuzz_memfd(data, size);

                (void)!config_read_fd(&child, fd, &error);
                (void)close(fd);
        }
        return 0;
}
