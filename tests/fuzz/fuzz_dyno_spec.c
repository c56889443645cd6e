/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What dyno-init makes of any bytes: it parses them or refuses them, and stays inside. What
 * it parses, the supervisor's side writes again to the same bytes, as root accepts them.
 *
 * Covers: ipc/dyno_spec.c
 */

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/dyno_spec.h"

static void write_again(const DynoSpec *spec, const uint8_t *data, size_t size) {
        _cleanup_free_ char *written = malloc(size + 1);
        int fd = -EBADF;

        assert(written);
        assert(dyno_spec_write(&fd, &spec->header, spec->args, spec->env) == 0);
        assert(dyno_spec_check_fd(fd) == 0);
        assert(pread(fd, written, size + 1, 0) == (ssize_t)size);
        assert(memcmp(written, data, size) == 0);
        (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *buf = malloc(size > 0 ? size : 1); /* exact: for the sanitizer */
        DynoSpec spec = {0};
        size_t total = 0;
        int r;

        if (!buf)
                return 0;
        memcpy(buf, data, size);

        r = dyno_spec_parse(&spec, buf, size);
        if (r < 0) {
                assert(r == -EBADMSG || r == -ENOMEM);
                assert(!spec.args && !spec.env);
                return 0;
        }

        for (uint32_t i = 0; i < spec.header.n_args; i++)
                total += strlen(spec.args[i]) + 1;
        for (uint32_t i = 0; i < spec.header.n_env; i++)
                total += strlen(spec.env[i]) + 1;
        assert(total == spec.header.strings_size);
        assert(!spec.args[spec.header.n_args] && !spec.env[spec.header.n_env]);
        write_again(&spec, data, size);
        dyno_spec_clear(&spec);
        return 0;
}
