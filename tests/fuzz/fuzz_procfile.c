/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as a Procfile: valid process types and clean commands, or a line that is named.
 *
 * Covers: image/procfile.c
 */

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "image/procfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *text = (const char *)data;
        ProcfileError error = {0};
        Procfile procfile = {0};
        int r;

        r = procfile_parse(&procfile, text, size, &error);
        if (r < 0) {
                assert(r == -EINVAL || r == -ENOMEM);
                assert(!procfile.processes);
                assert(r != -EINVAL || (error.why && error.line > 0));
                assert(r != -EINVAL || error.text >= text);
                assert(r != -EINVAL || error.text + error.text_size <= text + size);
                return 0;
        }
        for (size_t i = 0; i < procfile.n_processes; i++) {
                const char *command = procfile.processes[i].command;

                assert(process_type_is_valid(procfile.processes[i].type));
                assert(*command && strlen(command) < PROCFILE_COMMAND_SIZE);
                assert(!strpbrk(command, "\r\n"));
        }
        procfile_clear(&procfile);
        return 0;
}
