/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as a stream of log records, the way herokuctl reads one. What passes the
 * check must have names that end and a text that fits, and its text must come out of the
 * terminal's and JSON's filters harmless.
 *
 * Covers: ipc/log_proto.c
 */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/text.h"
#include "ipc/log_proto.h"

static void use_text(const char *text, size_t size) {
        char *clean = text_clean(text, size), *utf8 = text_to_utf8(text, size);

        assert(clean && utf8);
        for (const char *p = clean; *p; p++)
                assert(*p == '\t' || ((unsigned char)*p >= 0x20 && *p != 0x7f));
        assert(strlen(clean) <= size && strlen(utf8) <= 3 * size);
        free(clean);
        free(utf8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        LogRecord record;

        /* And as a message to the logger, with up to two descriptors. */
        for (size_t n_fds = 0; n_fds <= 2; n_fds++)
                (void)!log_message_check(data, size, n_fds);
        while (size >= sizeof(record)) {
                memcpy(&record, data, sizeof(record));
                data += sizeof(record);
                size -= sizeof(record);
                if (log_record_check(&record) < 0)
                        break;
                assert(strnlen(record.app, sizeof(record.app)) < sizeof(record.app));
                assert(strnlen(record.procid, sizeof(record.procid)) < sizeof(record.procid));
                assert(record.text_size <= LOG_TEXT_MAX);
                assert(log_source_to_string(record.source) != NULL);
                if (record.text_size > size)
                        break;
                use_text((const char *)data, record.text_size);
                data += record.text_size;
                size -= record.text_size;
        }
        use_text((const char *)data, size);
        return 0;
}
